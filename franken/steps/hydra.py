"""Assemble a Hydra LLM: the body of one step, a table each of others; references only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field
from typing import Any, ClassVar

from franken.composition.base import Composition
from franken.composition.hydra import HydraComposition
from franken.config.checks import is_folder_name
from franken.errors import CompatibilityError
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    from franken.composition.hydra import TableRouter
    from franken.config.root import Config
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import Place, read_places, require_relatives, write_model


@step
class HydraStep(Step):
    """Assemble one body and several named tables of the same ancestry (a Hydra LLM)."""

    seeded: ClassVar[bool] = False
    inputs: ClassVar[dict[str, Part]] = {"body": Part.model, "tables": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("body", "tables")
    body: str = ""
    tables: dict[str, str] = field(default_factory=lambda: {})
    """Name of a table -> step that gives it (its table of that name, else its only one)."""
    names: dict[str, str] = field(default_factory=lambda: {})
    """Key of ``tables`` -> name that the table gets here; for names that an interpolation gives,
    such as ``${data.languages.0}``, which a key cannot hold."""
    keep: bool = False
    """Whether the tables and the routing of a ``body`` that is a Hydra LLM stay, beside
    ``tables``, none of which may have the name of one that stays."""
    composition: Composition = field(default_factory=Composition)

    def name_of(self, key: str) -> str:
        """The name that a table of ``tables`` gets."""
        return self.names.get(key, key)

    def references(self) -> dict[str, str]:
        """One reference per table."""
        tables = {f"tables.{name}": step for name, step in self.tables.items()}
        return {"body": self.body, **tables}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.composition, HydraComposition):
            yield "composition", f"is {self.composition.name!r}; choose composition=hydra"
            return
        if not self.tables:
            yield "tables", "names no table; give at least one, e.g. {source: base}"
        for key in self.names.keys() - self.tables.keys():
            yield f"names.{key}", f"no table has this key; tables: {', '.join(self.tables)}"
        made = [self.name_of(key) for key in self.tables]
        for name in made:
            if not is_folder_name(name):
                yield (
                    "tables",
                    f"{name!r} cannot name a directory and a tag; rename the table",
                )
        for name in {name for name in made if made.count(name) > 1}:
            yield "names", f"gives the name {name!r} to several tables; names must differ"
        named = {
            **{f"languages.{k}": v for k, v in self.composition.languages.items()},
            **{f"scripts.{k}": k for k in self.composition.scripts},
        }
        if self.composition.default is not None:
            named["default"] = self.composition.default
        for key, table in named.items() if not self.keep else ():
            if self.tables and table not in made:
                yield (
                    f"composition.{key}",
                    f"names the table {table!r}; tables: {', '.join(made)}",
                )

    def key(self, config: Config) -> dict[str, Any]:
        """Routing, the order of tables and their names."""
        own: dict[str, Any] = {"keep": True} if self.keep else {}
        if self.names:
            own["names"] = self.names
        return {"composition": asdict(self.composition), "tables": list(self.tables), **own}

    def run(self, context: StepContext) -> dict[str, Any]:
        """Nothing is copied; adding a table to a recipe makes one more reference.

        Raises:
            CompatibilityError: where a table was made for another base, a Hydra LLM has several
                tables but none of the name, a kept table has the name of a new one, or the routing
                names a table that is not there, or sends a language or a script to two.
        """
        body = read_places(context.inputs["body"])
        tables: dict[str, Place] = dict(body.get("tables", {})) if self.keep else {}
        kept = list(tables)
        for key in self.tables:
            name = self.name_of(key)
            if name in kept:
                raise CompatibilityError(
                    f"step {context.name!r}: {self.body!r} has the tables {', '.join(kept)}, which "
                    f"stay (keep=true), so {name!r} is taken; set recipe.steps.{context.name}."
                    f"names.{key} to another name"
                )
            places = read_places(context.inputs[f"tables.{key}"])
            lineages = {"the body": body["lineage"], f"table {name!r}": places["lineage"]}
            require_relatives(context, lineages, "a table only fits bodies of its own base")
            several = places.get("tables", {key: places["table"]})
            if key not in several:
                raise CompatibilityError(
                    f"step {context.name!r}: {self.tables[key]!r} has no table {key!r} but "
                    f"{', '.join(several)}; choose one by a select_table step"
                )
            tables[name] = several[key]
        routing = _routing(self, body.get("routing") or {}, context)
        TableRouter(
            tuple(tables), routing["languages"],
            {name: tuple(scripts) for name, scripts in routing["scripts"].items()},
            routing["default"],
        )  # fmt: skip
        default = routing["default"] or next(iter(tables))
        write_model(
            context, body=body["body"], table=tables[default], deltas=body["deltas"],
            lineage=body["lineage"], fingerprint=body["fingerprint"], tables=tables,
            routing=routing,
        )  # fmt: skip
        return {"tables": list(tables)}


def _routing(step: HydraStep, kept: dict[str, Any], context: StepContext) -> dict[str, Any]:
    """The composition's, beside that of the body where its tables stay."""
    own = step.composition
    assert isinstance(own, HydraComposition)
    old = kept if step.keep else {}
    languages, scripts = dict(old.get("languages", {})), dict(old.get("scripts", {}))
    for tag, table in own.languages.items():
        if languages.setdefault(tag, table) != table:
            raise CompatibilityError(
                f"step {context.name!r}: {tag!r} goes to the table {languages[tag]!r} of "
                f"{step.body!r} already; leave it out of composition.languages"
            )
    owners = {script: table for table, claimed in scripts.items() for script in claimed}
    for table, claimed in own.scripts.items():
        for script in claimed:
            if owners.get(script, table) != table:
                raise CompatibilityError(
                    f"step {context.name!r}: the script {script!r} goes to the table "
                    f"{owners[script]!r} of {step.body!r} already; leave it out of "
                    "composition.scripts"
                )
        scripts[table] = list(claimed)
    return {
        "languages": languages,
        "scripts": scripts,
        "default": own.default if own.default is not None else old.get("default"),
    }
