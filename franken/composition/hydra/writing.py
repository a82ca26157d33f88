"""Writing the directory of a Hydra LLM, whole or table by table; the layout is in ``storage``."""

import shutil
from collections.abc import Sequence
from pathlib import Path

from franken.composition.hydra.card import hydra_card
from franken.composition.hydra.model import HydraModel
from franken.composition.hydra.routing import check_table_name
from franken.composition.hydra.storage import (
    FILE,
    ROUTE_FILE,
    SCHEMA,
    HydraRef,
    assemble_hydra,
    open_hydra,
    read_hydra_description,
)
from franken.errors import CompatibilityError
from franken.files import link_or_copy, new_directory, write_atomically, write_json
from franken.parts.body import DESCRIPTION_FILE as BODY_FILE
from franken.parts.body import control_tokens_of_body, save_body
from franken.parts.card import CardFacts
from franken.parts.checkpoint import Checkpoint
from franken.parts.fingerprint import body_fingerprint
from franken.parts.model import check_body
from franken.parts.segmented import view_of
from franken.parts.table import Table, load_table, read_description, save_table

CARD_FILE = "README.md"


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


def save_hydra(model: HydraModel, directory: Path, *, card: str | None = None) -> None:
    """Write a model that is in memory.

    Args:
        model: any.
        directory: is made.
        card: text of ``README.md``; default: what the parts say of themselves.

    Raises:
        ArtifactError: where the target exists.
    """
    directory = Path(directory)
    with new_directory(directory) as scratch:
        fingerprint = save_hydra_body(model, scratch / "body")
        router = model.router
        for name, module in model.tables.items():
            folder = scratch / "tables" / name
            save_table(module.table(), folder)
            own = [tag for tag, table in router.languages.items() if table == name]
            _route(folder, own, router.scripts.get(name, ()))
        _describe(scratch, model.lineage, fingerprint, router.default, card or "")
        if card is None:
            made = hydra_card(open_hydra(scratch), CardFacts(title=directory.name))
            write_atomically(scratch / CARD_FILE, made.encode())


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
    lineage = read_hydra_description(directory)["lineage"]
    check_table_name(name)
    open_hydra(directory).router().with_table(name, languages=languages, scripts=scripts)
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
    write_atomically(directory / CARD_FILE, card.encode())


def _check_lineage(name: str, made: str, lineage: str) -> None:
    if made != lineage:
        raise CompatibilityError(
            f"table {name!r} was made for base body {made[:12]}, but this body descends from "
            f"{lineage[:12]}; a table only fits bodies of its own base"
        )


def _write_body(ref: HydraRef, folder: Path) -> str:
    if ref.deltas:
        return save_hydra_body(assemble_hydra(ref), folder)
    check_body(ref.plain(next(iter(ref.tables))))
    _copy_files(ref.body, folder, leave=CARD_FILE)
    if not (folder / BODY_FILE).is_file():  # a checkpoint with a vocabulary of its own
        tokens = control_tokens_of_body(ref.body)
        write_json(
            folder / BODY_FILE,
            {"kind": "body", "schema": 1, "family": Checkpoint(folder).anatomy().family,
             "fingerprint": ref.fingerprint, "lineage": ref.lineage,
             "control_tokens": None if tokens is None else tokens.to_json()},
        )  # fmt: skip
    return body_fingerprint(folder, Checkpoint(folder).anatomy())


def _copy_files(source: Path, target: Path, *, leave: str = "") -> None:
    target.mkdir(parents=True)
    for path in sorted(source.iterdir()):
        if path.is_file() and path.name != leave:
            link_or_copy(path, target / path.name)


def _write_route(ref: HydraRef, name: str, folder: Path) -> None:
    (folder / ROUTE_FILE).unlink(missing_ok=True)
    own = [tag for tag, table in ref.languages.items() if table == name]
    _route(folder, own, ref.scripts.get(name, ()))


def _route(folder: Path, languages: Sequence[str], scripts: Sequence[str]) -> None:
    write_json(folder / ROUTE_FILE, {"languages": list(languages), "scripts": list(scripts)})
