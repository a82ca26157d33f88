"""A token map as a directory: ``token_map.safetensors`` and ``token_map.json``."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from franken.errors import ArtifactError
from franken.files import sha256_file, write_atomically, write_json
from franken.parts.description import read_described
from franken.token_map.options import Fallback
from franken.token_map.token_map import (
    DrawClasses,
    FallbackRule,
    MapLabels,
    Reduce,
    TokenMap,
)

WEIGHTS_FILE = "token_map.safetensors"
DESCRIPTION_FILE = "token_map.json"
SCHEMA = 1
_FIELDS: dict[str, tuple[Any, str]] = {
    "fallback": (dict, "a mapping"),
    "reduce": (str, "a string"),
    "noise_std": ((int, float), "a number"),
    "norm_match": (bool, "true or false"),
    "source_tokenizer_sha256": (str, "a string"),
    "target_tokenizer_sha256": (str, "a string"),
    "notes": (dict, "a mapping"),
}
"""Fields of the description that are read, and what each is."""
_NOTES: dict[str, tuple[Any, str]] = {
    "method": (str, "a string"),
    "trained": (dict, "a mapping"),
}
"""Of its notes, those that others rely on, where they are there."""


def save_map(token_map: TokenMap, directory: Path) -> None:
    """Write a map; the description with the checksum comes last."""
    token_map.validate()
    tensors: dict[str, Tensor] = {
        "indptr": token_map.indptr,
        "indices": token_map.indices,
        "weights": token_map.weights,
        "provenance": token_map.provenance,
        "exemplars": token_map.exemplars,
    }
    if token_map.output_weights is not None:
        tensors["output_weights"] = token_map.output_weights
    if token_map.classes is not None:
        tensors["source_classes"] = token_map.classes.source
        tensors["target_classes"] = token_map.classes.target
    columns = {
        "keys": token_map.keys,
        "source_pieces": [piece.encode() for piece in token_map.labels.source],
        "target_pieces": [piece.encode() for piece in token_map.labels.target],
    }
    for name, values in columns.items():
        tensors[name], tensors[f"{name}_offsets"] = _joined(values)
    directory = Path(directory)
    write_atomically(directory / WEIGHTS_FILE, save(tensors))
    rule = token_map.fallback
    description = {
        "kind": "token_map",
        "schema": SCHEMA,
        "rows": token_map.rows,
        "source_rows": token_map.source_rows,
        "counts": token_map.counts(),
        "fallback": {"kind": rule.kind.value, "scale": rule.scale, "seed": rule.seed},
        "reduce": token_map.reduce.value,
        "noise_std": token_map.noise_std,
        "norm_match": token_map.norm_match,
        "source_tokenizer_sha256": token_map.labels.source_sha256,
        "target_tokenizer_sha256": token_map.labels.target_sha256,
        "notes": token_map.notes,
        **({} if token_map.classes is None else {"classes": token_map.classes.names}),
        "weights_sha256": sha256_file(directory / WEIGHTS_FILE),
    }
    write_json(directory / DESCRIPTION_FILE, description)


def load_map(directory: Path) -> TokenMap:
    """Read a map back and check it.

    Raises:
        ArtifactError: where files are missing, damaged, or hold no usable map.
    """
    directory = Path(directory)
    description = _read_description(directory)
    tensors = _read_tensors(directory / WEIGHTS_FILE, description)
    try:
        rule = description["fallback"]
        token_map = TokenMap(
            indptr=tensors["indptr"],
            indices=tensors["indices"],
            weights=tensors["weights"],
            provenance=tensors["provenance"],
            exemplars=tensors["exemplars"],
            keys=_column(tensors, "keys"),
            fallback=FallbackRule(Fallback(rule["kind"]), rule["scale"], rule["seed"]),
            reduce=Reduce(description["reduce"]),
            noise_std=description["noise_std"],
            norm_match=description["norm_match"],
            labels=MapLabels(
                [piece.decode() for piece in _column(tensors, "source_pieces")],
                [piece.decode() for piece in _column(tensors, "target_pieces")],
                description["source_tokenizer_sha256"],
                description["target_tokenizer_sha256"],
            ),
            notes=description["notes"],
            output_weights=tensors.get("output_weights"),
            classes=_classes(tensors, description),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(
            f"{directory / DESCRIPTION_FILE} does not describe a token map: {error!r}; fit it again"
        ) from error
    if faults := token_map.faults():
        raise ArtifactError(f"{directory} holds no usable token map: {'; '.join(faults)}")
    return token_map


def _read_description(directory: Path) -> dict[str, Any]:
    path = directory / DESCRIPTION_FILE
    description = read_described(path, "token map", {"token_map": SCHEMA}, again="fit it again")
    _check_fields(description, _FIELDS, path)
    _check_fields({"method": "", "trained": {}, **description["notes"]}, _NOTES, path)
    return description


def _check_fields(found: dict[str, Any], fields: dict[str, tuple[Any, str]], path: Path) -> None:
    for name, (kind, words) in fields.items():
        value = found.get(name)
        if not isinstance(value, kind) or (kind is not bool and isinstance(value, bool)):
            raise ArtifactError(
                f"{path} does not describe a token map: {name} is {value!r}, expected {words}; fit "
                "the map again"
            )


def _read_tensors(path: Path, description: dict[str, Any]) -> dict[str, Tensor]:
    if not path.is_file():
        raise ArtifactError(f"{path} is missing; fit the map again")
    if sha256_file(path) != description.get("weights_sha256"):
        raise ArtifactError(
            f"{path} is damaged: its sha256 is not the one in {DESCRIPTION_FILE}; fit the map again"
        )
    try:
        tensors: dict[str, torch.Tensor] = load(path.read_bytes())
    except SafetensorError as error:
        raise ArtifactError(f"{path} is no safetensors file: {error}; fit the map again") from error
    return tensors


def _classes(tensors: dict[str, Tensor], description: dict[str, Any]) -> DrawClasses | None:
    if "classes" not in description:
        return None
    return DrawClasses(description["classes"], tensors["source_classes"], tensors["target_classes"])


def _column(tensors: dict[str, Tensor], name: str) -> list[bytes]:
    return _parted(tensors[name], tensors[f"{name}_offsets"])


def _joined(values: Sequence[bytes]) -> tuple[Tensor, Tensor]:
    """Join byte strings as two flat tensors, the form in which they go to safetensors.

    Returns:
        ``(sum of lengths,)`` uint8 and ``(N + 1,)`` int64 offsets into it.
    """
    offsets = np.zeros(len(values) + 1, dtype=np.int64)
    np.cumsum([len(value) for value in values], out=offsets[1:])
    blob = np.frombuffer(b"".join(values), dtype=np.uint8).copy()
    return torch.from_numpy(blob), torch.from_numpy(offsets)


def _parted(blob: Tensor, offsets: Tensor) -> list[bytes]:
    """Undo :func:`_joined`."""
    data = blob.numpy().tobytes()
    ends = offsets.tolist()
    return [data[start:stop] for start, stop in pairwise(ends)]
