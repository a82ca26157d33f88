"""Rows, or a whole token map, that were made elsewhere.

A directory with ``token_map.json`` is taken as the map; one whose rows were more than the map says
(trained afterwards, or folded from factors) is refused unless ``map_alone``. A safetensors file
holds the rows themselves: they are no weighted sum of source rows, so the map marks them as
``given`` and :func:`given_rows` hands them to the engine, beside the source rows. Control tokens,
copies (where wanted) and pieces that the file lacks follow the usual rules. ``noise_std`` and
``norm_match`` leave given rows as they are.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any, ClassVar

from franken.config.checks import in_range
from franken.declare import option
from franken.errors import CompatibilityError, DataError, FrankenError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.files import read_json
    from franken.parts import table as table_files
    from franken.parts.safetensors_file import TensorRange, read_header, read_tensor
    from franken.parts.table import Table, all_finite
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.storage import load_map
    from franken.token_map.token_map import Provenance, TokenMap
    from franken.tokenizer import pipeline as pipelines
    from franken.tokenizer.pipeline import byte_to_char

_PARTS = ("input", "output", "output_bias")


class TokenSpelling(StrEnum):
    """How a file spells its tokens."""

    exact = "exact"
    """As the target tokenizer does."""
    byte_level = "byte_level"
    """One letter per byte, ``Ġhouse``, ``Ã©`` (GPT-2, ZeTT)."""
    sentencepiece = "sentencepiece"
    """``▁house``, ``<0xE3>``."""


@option
class FromFileInit(InitMethod):
    """Rows or a token map made elsewhere (ZeTT, HyperOFA, another run); set init_method.path."""

    paper: ClassVar[str] = "ZeTT, HyperOFA, other runs"

    path: str = ""
    """A token map's directory, or a safetensors file with ``input`` and, where the model is untied,
    ``output`` (and ``output_bias``)."""
    copy_overlap: bool = False
    """Rows of shared pieces are copied from the source instead of read from the file."""
    tokens: str | None = None
    """JSON list of the file's tokens, row by row; null: row i belongs to token id i."""
    spelling: TokenSpelling = TokenSpelling.exact
    """How ``tokens`` are spelled; other than exact, they are matched by their bytes."""
    keep_special: bool = True
    """Control tokens take the source's rows by role, whatever the file has for them."""
    zero_is_missing: bool = False
    """Rows of zeros mean that the file has none (HyperOFA)."""
    extra_rows: bool = False
    """Allow a file without ``tokens`` to have more rows than the tokenizer has ids (padding)."""
    min_share: float = 0.5
    """Share of the new pieces that the file must have; a lower one means the wrong file."""
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that the file lacks."""
    map_alone: bool = False
    """Take a stored map for what it says, although the rows of its run were trained afterwards or
    folded from factors; refused otherwise."""

    def paths(self) -> dict[str, str]:
        return {"path": self.path} | ({"tokens": self.tokens} if self.tokens else {})

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from in_range("min_share", self.min_share, 0.0, 1.0)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Read the map, or say which rows the file has; ``resources`` are not used.

        Raises:
            DataError: where the file is missing, is no such file, or its rows are not finite.
            CompatibilityError: where it belongs to other tables or another vocabulary.
        """
        path = Path(self.path).expanduser()
        builder = MapBuilder(source, target, self, seed)
        names = {field: Path(place).name for field, place in self.paths().items()}
        builder.notes["options"] = {**asdict(self), **names}  # where files lay is nobody's business
        if (path / "token_map.json").is_file():
            return _stored_map(path, builder, alone=self.map_alone)
        tensors = _open(path)
        _check_shapes(path, tensors, source)
        places = _places(path, tensors, target, self, builder)
        if self.zero_is_missing:
            rows = read_tensor(path, tensors["input"])
            places = {row: place for row, place in places.items() if bool((rows[place] != 0).any())}
        if not self.keep_special:
            builder.release([row for row in places if builder.target_bytes[row] is None])
        builder.copy_overlap()
        new = set(builder.undecided())
        given = sorted(row for row in places if row in new or builder.falls_back(row))
        builder.mark(given, Provenance.given)
        found = len(new & set(given))
        builder.notes |= {
            "file": path.name, "file_rows": tensors["input"].shape[0], "found": found,
            "lacking": len(new) - found,
        }  # fmt: skip
        _check_share(path, self, found, len(new))
        return builder.build_with_fallback(self.fallback)

    def given_rows(
        self, token_map: TokenMap, target: PreTrainedTokenizerBase, part: str
    ) -> Tensor | None:
        """The rows that the map marks as given.

        Args:
            token_map: of :func:`fit` with the same config.
            target: tokenizer of the new table.
            part: ``input``, ``output`` or ``bias``.

        Returns:
            ``(n, D)`` in the file's dtype, by ascending token id; for the bias ``(n,)``, or
            ``None`` where the file has no bias: its entries then follow the fallback rule.

        Raises:
            DataError: where a row is not finite, or an untied model finds no output rows.
        """
        ids = (token_map.provenance == int(Provenance.given)).nonzero().flatten().tolist()
        if not ids:
            return None
        path = Path(self.path).expanduser()
        tensors = _open(path)
        name = "output_bias" if part == "bias" else part
        if name not in tensors:
            if part == "bias":
                return None
            raise DataError(
                f"{path} has no tensor {name!r} (it has {', '.join(tensors)}), but input and "
                "output embeddings of the model are not tied; write both into the file"
            )
        places = _all_places(tensors, target, self)
        rows = read_tensor(path, tensors[name])[torch.tensor([places[row] for row in ids])]
        if not all_finite(rows):
            finite = torch.isfinite(rows).reshape(len(ids), -1).all(dim=1)
            worst = ids[int((~finite).nonzero()[0])]
            raise DataError(
                f"{path}: tensor {name!r} has a NaN or infinite value in the row of "
                f"{token_map.labels.target[worst]!r} (row {places[worst]}); make the file again"
            )
        return rows


def _stored_map(path: Path, builder: MapBuilder, *, alone: bool) -> TokenMap:
    """A map of another run, if it is of these two vocabularies."""
    token_map = load_map(path)
    if not alone and (more := _beyond_the_map(token_map.notes)):
        rows = path.parent / "table" / table_files.WEIGHTS_FILE
        found = f"They are in {rows}" if rows.is_file() else "They are in the table of its step"
        raise CompatibilityError(
            f"the token map in {path} does not say all of its rows: init_method="
            f"{token_map.notes.get('method')} {more}. {found}: name that file as init_method.path, "
            "or set init_method.map_alone=true for the plain sums of the map"
        )
    expected = builder.build()
    for side, size in (("source", token_map.source_rows), ("target", token_map.rows)):
        wanted = getattr(expected, "source_rows" if side == "source" else "rows")
        if size != wanted:
            raise CompatibilityError(
                f"the token map in {path} has {size} {side} rows, the {side} vocabulary here has "
                f"{wanted}; give the map that was fitted on these two vocabularies"
            )
        labels, own = getattr(token_map.labels, side), getattr(expected.labels, side)
        differing = [
            place for place, pair in enumerate(zip(labels, own, strict=True)) if len(set(pair)) > 1
        ]
        if differing:
            place = differing[0]
            raise CompatibilityError(
                f"the token map in {path} was fitted on another {side} vocabulary: row {place} is "
                f"{labels[place]!r} there and {own[place]!r} here ({len(differing)} such rows)"
            )
    if bool((token_map.provenance == int(Provenance.given)).any()):
        raise CompatibilityError(
            f"the token map in {path} has rows that a file gave; name that file as init_method.path"
        )
    made_by = token_map.notes.get("method", "unknown")
    told = {key: value for key, value in token_map.notes.items() if key == "lenders"}
    token_map.notes = {**expected.notes, **told, "file": path.name, "made_by": made_by}
    return token_map


def _beyond_the_map(notes: dict[str, Any]) -> str:
    """What made the rows of a map besides its weights, in words; nothing where the map says all."""
    trained, options = notes.get("trained", {}).get("what"), notes.get("options", {})
    if trained in ("all rows", "new rows"):
        return f"trained {trained} afterwards"
    if notes.get("method") == "unks_everywhere" or options.get("keep_dim") is not None:
        return "folded them from factors of low rank"
    if options.get("head") in ("global_map", "random"):
        return f"made the output embeddings by head={options['head']}"
    return ""


def _open(path: Path) -> dict[str, TensorRange]:
    if not path.is_file():
        raise DataError(
            f"init_method.path={str(path)!r} is no file and no token map (looked in {Path.cwd()}); "
            "give a safetensors file with the tensor input, or the directory of a token map"
        )
    try:
        ranges, _ = read_header(path)
    except FrankenError as error:
        raise DataError(f"init_method.path: {error}") from error
    found = {name: ranges[name] for name in _PARTS if name in ranges}
    if "input" not in found:
        raise DataError(
            f"{path} has no tensor 'input' (found: {', '.join(sorted(ranges)[:8]) or 'none'}); "
            "name the matrices input, output and output_bias"
        )
    return found


def _check_shapes(path: Path, tensors: dict[str, TensorRange], source: Table) -> None:
    rows = tensors["input"].shape[0]
    for name, item in tensors.items():
        wanted = (rows,) if name == "output_bias" else (rows, source.hidden_size)
        if item.shape != wanted:
            raise CompatibilityError(
                f"{path}: tensor {name!r} has shape {item.shape}, expected {wanted} for a model "
                f"with rows of size {source.hidden_size}; make the file for this model"
            )
        if not item.dtype.is_floating_point:
            raise DataError(f"{path}: tensor {name!r} holds {item.dtype}, expected a float format")


def _places(
    path: Path,
    tensors: dict[str, TensorRange],
    target: PreTrainedTokenizerBase,
    config: FromFileInit,
    builder: MapBuilder,
) -> dict[int, int]:
    """Token id -> row of the file, checked against the vocabulary."""
    rows, wanted = tensors["input"].shape[0], len(builder.target_bytes)
    if config.tokens is None and rows > wanted and not config.extra_rows:
        raise CompatibilityError(
            f"{path} has {rows} rows, the target tokenizer has ids up to {wanted - 1}: rows by id "
            "would belong to other tokens. Give init_method.tokens (a JSON list), or set "
            "init_method.extra_rows=true where the surplus is padding"
        )
    return _all_places(tensors, target, config)


def _all_places(
    tensors: dict[str, TensorRange], target: PreTrainedTokenizerBase, config: FromFileInit
) -> dict[int, int]:
    rows, names = tensors["input"].shape[0], target.get_vocab()
    if config.tokens is None:
        return {index: index for index in names.values() if index < rows}
    listed = _token_list(Path(config.tokens).expanduser(), rows)
    if config.spelling == TokenSpelling.exact:
        known = {token: index for index, token in reversed(list(enumerate(listed)))}
        return {index: known[token] for token, index in names.items() if token in known}
    from franken.tokenizer.pieces import canonical_bytes

    by_bytes = {
        spelled_bytes(token, config.spelling): index
        for index, token in reversed(list(enumerate(listed)))
    }
    return {
        index: by_bytes[data]
        for index, data in enumerate(canonical_bytes(target))
        if data is not None and data in by_bytes
    }


def _token_list(path: Path, rows: int) -> list[str]:
    try:
        listed: Any = read_json(path)
    except (OSError, ValueError) as error:
        raise DataError(f"init_method.tokens={str(path)!r} cannot be read: {error}") from error
    if not isinstance(listed, list) or not all(isinstance(token, str) for token in listed):
        raise DataError(f"init_method.tokens: {path} must hold a JSON list of strings")
    if len(listed) != rows:
        raise DataError(
            f"init_method.tokens: {path} lists {len(listed)} tokens, the file has {rows} rows; "
            "give one token per row"
        )
    return listed


def spelled_bytes(token: str, spelling: TokenSpelling) -> bytes:
    """Bytes of a token as a file spells it."""
    if spelling == TokenSpelling.byte_level:
        to_byte = {char: byte for byte, char in byte_to_char().items()}
        if all(char in to_byte for char in token):
            return bytes(to_byte[char] for char in token)
        return token.encode()
    if match := pipelines.BYTE_PIECE.fullmatch(token):
        return bytes([int(match[1], 16)])
    return token.replace(pipelines.SPACE, " ").encode()


def _check_share(path: Path, config: FromFileInit, found: int, wanted: int) -> None:
    if wanted and found < config.min_share * wanted:
        raise CompatibilityError(
            f"{path} has rows for {found} of {wanted} new pieces, fewer than init_method.min_share="
            f"{config.min_share:g}: another vocabulary, or another spelling (init_method.spelling)?"
        )
    if found < wanted:
        warnings.warn(
            f"init_method=from_file: {path.name} lacks {wanted - found} of {wanted} new pieces; "
            f"they follow fallback={config.fallback.value}",
            stacklevel=3,
        )
