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

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from franken.composition.hydra.model import HydraModel
from franken.composition.hydra.routing import TableRouter
from franken.errors import ArtifactError, CompatibilityError
from franken.files import read_json
from franken.parts.body import control_tokens_of_body, load_body
from franken.parts.description import read_described
from franken.parts.model import ModelRef, apply_deltas, check_body
from franken.parts.table import DESCRIPTION_FILE as TABLE_FILE
from franken.parts.table import load_table

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

    def router(self) -> TableRouter:
        """How texts find the tables."""
        return TableRouter(
            tuple(self.tables), dict(self.languages), dict(self.scripts), self.default
        )

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
        CompatibilityError: where two tables claim one language or script.
    """
    directory = Path(directory)
    description = read_hydra_description(directory)
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
        for language in content.get("languages", []):
            if languages.setdefault(language, name) != name:
                raise CompatibilityError(
                    f"language {language!r} goes to the table {languages[language]!r} and, by "
                    f"{route}, to {name!r}; take it out of one of the two {ROUTE_FILE}"
                )
        if content.get("scripts"):
            scripts[name] = tuple(content["scripts"])
    if not tables:
        raise ArtifactError(f"{directory} holds no table under tables/; expected at least one")
    ref = HydraRef(
        directory / "body", default_first(tables, description["default"]),
        description["lineage"], description["fingerprint"], (), languages, scripts,
        description["default"],
    )  # fmt: skip
    ref.router()
    return ref


def load_hydra(directory: Path, **options: Any) -> HydraModel:
    """Read a Hydra directory; ``options`` as of ``assemble_hydra``."""
    return assemble_hydra(open_hydra(directory), **options)


def read_hydra_description(directory: Path) -> dict[str, Any]:
    """The content of ``hydra.json``.

    Raises:
        ArtifactError: where there is none, or it is damaged or of another schema.
    """
    return read_described(directory / FILE, "Hydra LLM", {"hydra": SCHEMA})


def default_first(tables: Mapping[str, Path], default: str | None) -> dict[str, Path]:
    """The default table, then the others by name: an order that no listing changes."""
    return {name: tables[name] for name in sorted(tables, key=lambda name: (name != default, name))}
