"""Models as artefacts: ``model.json`` names the body, the table and the deltas by where they lie.

A place is ``[kind, key, folder]``: a folder of an artefact of the store; kind ``here`` is the
artefact itself. So a tuned table costs a table on disk, never a second body.
"""

from pathlib import Path
from typing import Any

from franken.composition.hydra.storage import HydraRef, default_first
from franken.errors import ArtifactError, CompatibilityError
from franken.files import read_json, write_json
from franken.parts.model import ModelRef
from franken.steps.base import HERE
from franken.steps.common.context import StepContext
from franken.store import Artifact, Store

Place = list[str]


def write_model(
    context: StepContext, *, body: Place, table: Place, deltas: list[Place], lineage: str,
    fingerprint: str, tables: dict[str, Place] | None = None,
    routing: dict[str, Any] | None = None, head: Place | None = None,
) -> None:  # fmt: skip
    """Write ``model.json`` and note which other artefacts it points to.

    A Hydra LLM has ``tables`` by name and their ``routing``; its ``table`` is the default one.
    ``head``: one that labels texts or words, which stands on the body.
    """
    several: dict[str, Any] = {} if tables is None else {"tables": tables, "routing": routing}
    if head is not None:
        several["head"] = head
    write_json(
        context.directory / "model.json",
        {"body": body, "table": table, "deltas": deltas, "lineage": lineage,
         "fingerprint": fingerprint, **several},
    )  # fmt: skip
    heads = [] if head is None else [head]
    for place in (body, table, *deltas, *(tables or {}).values(), *heads):
        if place[0] != HERE and place[:2] not in context.references:
            context.references.append(place[:2])


def read_places(artifact: Artifact) -> dict[str, Any]:
    """The content of ``model.json`` with ``here`` replaced by the artefact's own kind and key."""
    places: dict[str, Any] = read_json(artifact.path / "model.json")
    for name in ("body", "table", "head"):
        if name in places:
            places[name] = _absolute(places[name], artifact)
    places["deltas"] = [_absolute(place, artifact) for place in places["deltas"]]
    if "tables" in places:
        places["tables"] = {k: _absolute(v, artifact) for k, v in places["tables"].items()}
    return places


def require_relatives(context: StepContext, lineages: dict[str, str], why: str) -> None:
    """Refuse parts that come from different bases.

    Args:
        context: of the step that would put them together.
        lineages: what each part is called -> the base that it descends from.
        why: what the step does, which only relatives bear.

    Raises:
        CompatibilityError: naming a part of another base than the first one's.
    """
    (first, wanted), *others = lineages.items()
    for name, found in others:
        if found != wanted:
            raise CompatibilityError(
                f"step {context.name!r}: {name} descends from base {found[:12]}, {first} from "
                f"{wanted[:12]}; {why}"
            )


def is_hydra(artifact: Artifact) -> bool:
    """Whether a model artefact has several tables."""
    return "tables" in read_json(artifact.path / "model.json")


def open_hydra_model(artifact: Artifact, store: Store) -> HydraRef:
    """References to the parts of a Hydra LLM, as paths; an ordinary model has one table.

    Raises:
        ArtifactError: when a part is missing.
    """
    places = read_places(artifact)
    plain = open_places(places, artifact, store)
    tables = {
        name: _existing(place, artifact, store)
        for name, place in places.get("tables", {"default": places["table"]}).items()
    }
    routing = places.get("routing") or {}
    default = routing.get("default", "default" if "default" in tables else None)
    return HydraRef(
        plain.body, default_first(tables, default), plain.lineage, plain.fingerprint, plain.deltas,
        dict(routing.get("languages", {})),
        {name: tuple(scripts) for name, scripts in routing.get("scripts", {}).items()},
        default,
    )  # fmt: skip


def open_model(artifact: Artifact, store: Store) -> ModelRef:
    """References to the parts of a model artefact, as paths.

    Raises:
        ArtifactError: when a part is missing.
        CompatibilityError: for a Hydra LLM, none of whose tables stands for the others.
    """
    places = read_places(artifact)
    if "tables" in places:
        raise CompatibilityError(
            f"{artifact.path} is a Hydra LLM with the tables {', '.join(places['tables'])}, where "
            "a model of one table is needed; name one by a select_table step"
        )
    return open_places(places, artifact, store)


def open_places(places: dict[str, Any], artifact: Artifact, store: Store) -> ModelRef:
    """References to parts that ``read_places`` named; ``artifact`` is named where one is missing.

    Raises:
        ArtifactError: when a part is missing.
    """

    def path(place: Place) -> Path:
        return _existing(place, artifact, store)

    return ModelRef(
        body=path(places["body"]),
        table=path(places["table"]),
        deltas=tuple(path(place) for place in places["deltas"]),
        head=path(places["head"]) if "head" in places else None,
        lineage=places["lineage"],
        fingerprint=places["fingerprint"],
    )


def _existing(place: Place, artifact: Artifact, store: Store) -> Path:
    kind, key, folder = place
    found = store.root / kind / key / folder
    if not found.is_dir():
        raise ArtifactError(
            f"{artifact.path / 'model.json'} points to {found}, which is missing; run again, "
            "the step that makes it is redone"
        )
    return found


def _absolute(place: Place, artifact: Artifact) -> Place:
    return [artifact.kind, artifact.key, place[2]] if place[0] == HERE else place
