"""A Hydra LLM as a directory.

```
hydra.json              schema, lineage and fingerprint of the body, default table
body/                   transformers layout without a vocabulary: config, weights, body.json
tables/NAME/            a table: table.json, table.safetensors, tokenizer files
tables/NAME/route.json  languages and scripts that go to it
README.md               the model card
```

The tables are those that lie there: adding a language adds one directory and touches no other file.
"""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from franken.composition.hydra.model import HydraModel
from franken.composition.hydra.routing import Router, check_table_name
from franken.errors import ArtifactError, CompatibilityError
from franken.files import link_or_copy, read_json, write_atomically, write_json
from franken.parts.body import DESCRIPTION_FILE as BODY_FILE
from franken.parts.body import control_tokens_of_body, load_body, save_body
from franken.parts.checkpoint import Checkpoint
from franken.parts.disk_surgery import new_directory
from franken.parts.fingerprint import body_fingerprint
from franken.parts.model import ModelRef, apply_deltas, check_body
from franken.parts.segmented import view_of
from franken.parts.table import DESCRIPTION_FILE as TABLE_FILE
from franken.parts.table import Table, load_table, read_description, save_table

FILE = "hydra.json"
ROUTE_FILE = "route.json"
SCHEMA = 1


@dataclass(frozen=True)
class HydraRef:
    """Where the parts of a Hydra LLM lie, and how texts find its tables."""

    body: Path
    tables: dict[str, Path]
    lineage: str
    fingerprint: str
    deltas: tuple[Path, ...] = ()
    languages: dict[str, str] = field(default_factory=dict)
    """Language or tag -> table, beside the tables' own names."""
    scripts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Table -> scripts."""
    default: str | None = None

    def router(self) -> Router:
        """How texts find the tables."""
        return Router(tuple(self.tables), dict(self.languages), dict(self.scripts), self.default)

    def plain(self, table: str) -> ModelRef:
        """The ordinary model that reads and writes one table.

        Raises:
            CompatibilityError: for an unknown name.
        """
        self.router().check(table)
        return ModelRef(self.body, self.tables[table], self.deltas, self.lineage, self.fingerprint)


def assemble_hydra(
    ref: HydraRef,
    *,
    dtype: torch.dtype | None = None,
    device: str | torch.device = "cpu",
    verify: bool = True,
) -> HydraModel:
    """Load the body once and every table; deltas are merged.

    Args:
        ref: the parts.
        dtype: number format; default: as the body is stored.
        device: where the model goes.
        verify: check the tables' checksums.

    Raises:
        CompatibilityError: where a table belongs to another base.
        ArtifactError: where a part is damaged, or no longer the one that was referred to.
    """
    check_body(
        ModelRef(ref.body, next(iter(ref.tables.values()), ref.body), (), ref.lineage,
                 ref.fingerprint)
    )  # fmt: skip
    body = load_body(ref.body, dtype=dtype)
    tables = {name: load_table(path, verify=verify) for name, path in ref.tables.items()}
    if ref.deltas:
        apply_deltas(body, ref.plain(next(iter(tables))), merge=True)
    model = HydraModel(
        body, tables, lineage=ref.lineage, router=ref.router(),
        previous=control_tokens_of_body(ref.body),
    )  # fmt: skip
    return model.to(device)


def open_hydra(directory: Path) -> HydraRef:
    """The parts of a Hydra directory.

    Raises:
        ArtifactError: where it is none, or a part is missing.
    """
    directory = Path(directory)
    description = _description(directory)
    tables: dict[str, Path] = {}
    languages: dict[str, str] = {}
    scripts: dict[str, tuple[str, ...]] = {}
    for path in sorted((directory / "tables").glob(f"*/{TABLE_FILE}")):
        name = path.parent.name
        if name.startswith("."):  # left by an addition that was killed
            continue
        tables[name] = path.parent
        route = path.parent / ROUTE_FILE
        content = read_json(route) if route.is_file() else {}
        languages |= dict.fromkeys(content.get("languages", []), name)
        if content.get("scripts"):
            scripts[name] = tuple(content["scripts"])
    if not tables:
        raise ArtifactError(f"{directory} holds no table under tables/; expected at least one")
    return HydraRef(
        directory / "body", default_first(tables, description["default"]),
        description["lineage"], description["fingerprint"], (), languages, scripts,
        description["default"],
    )  # fmt: skip


def load_hydra(directory: Path, **options: Any) -> HydraModel:
    """Read a Hydra directory; ``options`` as of ``assemble_hydra``."""
    return assemble_hydra(open_hydra(directory), **options)


def link_hydra(directory: Path, target: Path) -> HydraRef:
    """Give the body and the tables of a Hydra directory a second place, linked where possible.

    Args:
        directory: as written by ``write_hydra``.
        target: gets ``body/`` and ``tables/NAME/``.

    Returns:
        The parts where they lay before.

    Raises:
        ArtifactError: where a part is damaged or missing.
        CompatibilityError: where a table belongs to another base.
    """
    ref = open_hydra(directory)
    check_body(ref.plain(next(iter(ref.tables))))
    _copy_files(ref.body, target / "body")
    for name, path in ref.tables.items():
        _check_lineage(name, load_table(path).lineage, ref.lineage)
        _copy_files(path, target / "tables" / name)
        (target / "tables" / name / ROUTE_FILE).unlink(missing_ok=True)
    return ref


def write_hydra(ref: HydraRef, directory: Path, *, card: str) -> None:
    """Write the whole as a directory that needs nothing beside it.

    Without deltas the body's files are linked or copied, never loaded; with deltas they are merged
    in float32.

    Raises:
        ArtifactError: where a part is damaged, or the target exists. Nothing is left behind.
        CompatibilityError: where a table belongs to another base.
    """
    with new_directory(Path(directory)) as scratch:
        fingerprint = _write_body(ref, scratch / "body")
        for name, path in ref.tables.items():
            _check_lineage(name, str(read_description(path)["lineage"]), ref.lineage)
            _copy_files(path, scratch / "tables" / name)
            _write_route(ref, name, scratch / "tables" / name)
        _describe(scratch, ref.lineage, fingerprint, ref.default, card)


def save_hydra(model: HydraModel, directory: Path, *, card: str = "") -> None:
    """Write a model that is in memory.

    Raises:
        ArtifactError: where the target exists.
    """
    with new_directory(Path(directory)) as scratch:
        fingerprint = save_hydra_body(model, scratch / "body")
        router = model.router
        for name, module in model.tables.items():
            folder = scratch / "tables" / name
            save_table(module.table(), folder)
            own = [tag for tag, table in router.languages.items() if table == name]
            _route(folder, own, router.scripts.get(name, ()))
        _describe(scratch, model.lineage, fingerprint, router.default, card)


def save_hydra_body(model: HydraModel, directory: Path) -> str:
    """Write the body alone; returns its fingerprint."""
    name, module = next(iter(model.tables.items()))
    plain = view_of(model.body, {name: module}, previous=model.previous)
    return save_body(plain, directory, tokenizer=module.tokenizer, lineage=model.lineage)


def add_table(
    directory: Path,
    name: str,
    table: Table | Path,
    *,
    languages: Sequence[str] = (),
    scripts: Sequence[str] = (),
) -> None:
    """Put one more table into a Hydra directory; no other file changes.

    Args:
        directory: as written by ``write_hydra``.
        name: of the new table.
        table: the rows, or the directory of a table.
        languages: languages and tags that go to it beside its own name.
        scripts: Unicode scripts that go to it.

    Raises:
        CompatibilityError: where the table is of another base, the name is no plain name, or a
            language or script goes to another table already.
        ArtifactError: where the name is taken.
    """
    directory = Path(directory)
    lineage = _description(directory)["lineage"]
    check_table_name(name)
    _check_unclaimed(open_hydra(directory), name, languages, scripts)
    made = table.lineage if isinstance(table, Table) else read_description(table)["lineage"]
    _check_lineage(name, str(made), lineage)
    with new_directory(directory / "tables" / name) as scratch:
        if isinstance(table, Table):
            save_table(table, scratch)
        else:
            shutil.copytree(table, scratch, dirs_exist_ok=True)
        _route(scratch, languages, scripts)


def _describe(
    directory: Path, lineage: str, fingerprint: str, default: str | None, card: str
) -> None:
    write_json(
        directory / FILE,
        {"kind": "hydra", "schema": SCHEMA, "lineage": lineage, "fingerprint": fingerprint,
         "default": default},
    )  # fmt: skip
    write_atomically(directory / "README.md", card.encode())


def _description(directory: Path) -> dict[str, Any]:
    path = directory / FILE
    if not path.is_file():
        raise ArtifactError(f"{directory} is no Hydra LLM: it has no {FILE}")
    try:
        content = read_json(path)
    except ValueError as error:
        raise ArtifactError(f"{path} is damaged: {error}") from error
    if content.get("kind") != "hydra" or content.get("schema") != SCHEMA:
        raise ArtifactError(
            f"{path} is of kind {content.get('kind')!r}, schema {content.get('schema')!r}; this "
            f"version reads kind 'hydra', schema {SCHEMA}"
        )
    found: dict[str, Any] = content
    return found


def _check_lineage(name: str, made: str, lineage: str) -> None:
    if made != lineage:
        raise CompatibilityError(
            f"table {name!r} was made for base body {made[:12]}, but this body descends from "
            f"{lineage[:12]}; a table only fits bodies of its own base"
        )


def _check_unclaimed(
    ref: HydraRef, name: str, languages: Sequence[str], scripts: Sequence[str]
) -> None:
    owners = {script: table for table, own in ref.scripts.items() for script in own}
    for kind, wanted, owned in (
        ("language", languages, ref.languages),
        ("script", scripts, owners),
    ):
        for item in wanted:
            if owned.get(item, name) != name:
                raise CompatibilityError(
                    f"{kind} {item!r} goes to the table {owned[item]!r} already; leave it out of "
                    f"those of {name!r}"
                )


def default_first(tables: Mapping[str, Path], default: str | None) -> dict[str, Path]:
    """The default table, then the others by name: an order that no listing changes."""
    return {name: tables[name] for name in sorted(tables, key=lambda name: (name != default, name))}


def _write_body(ref: HydraRef, folder: Path) -> str:
    if ref.deltas:
        return save_hydra_body(assemble_hydra(ref), folder)
    check_body(ref.plain(next(iter(ref.tables))))
    folder.mkdir(parents=True)
    for path in sorted(ref.body.iterdir()):
        if path.is_file() and path.name != "README.md":
            link_or_copy(path, folder / path.name)
    if not (folder / BODY_FILE).is_file():  # a checkpoint with a vocabulary of its own
        tokens = control_tokens_of_body(ref.body)
        write_json(
            folder / BODY_FILE,
            {"kind": "body", "schema": 1, "family": Checkpoint(folder).anatomy().family,
             "fingerprint": ref.fingerprint, "lineage": ref.lineage,
             "control_tokens": None if tokens is None else tokens.to_json()},
        )  # fmt: skip
    return body_fingerprint(folder, Checkpoint(folder).anatomy())


def _copy_files(source: Path, target: Path) -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_file():
            link_or_copy(path, target / path.name)


def _write_route(ref: HydraRef, name: str, folder: Path) -> None:
    (folder / ROUTE_FILE).unlink(missing_ok=True)
    own = [tag for tag, table in ref.languages.items() if table == name]
    _route(folder, own, ref.scripts.get(name, ()))


def _route(folder: Path, languages: Sequence[str], scripts: Sequence[str]) -> None:
    write_json(folder / ROUTE_FILE, {"languages": list(languages), "scripts": list(scripts)})
