"""Token pairs that mean the same without parallel text: equal bytes, numbers, roles.

Trans-Tokenization calls this plus-one smoothing (section 3).
"""

import unicodedata
from collections.abc import Iterable

import numpy as np
from transformers import PreTrainedTokenizerBase

from franken.token_map.builder import MapBuilder
from franken.token_map.options import NumberRule, SpecialRule
from franken.token_map.token_map import Provenance
from franken.tokenizer.pieces import ROLE_RANK, special_roles, text_of

Part = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Target rows, source rows, counts."""

ROLE_PARTNERS = {
    "pad": ("pad", "unk"),
    "unk": ("unk",),
    "bos": ("bos", "cls", "unk"),
    "eos": ("eos", "sep", "unk"),
    "cls": ("cls", "bos", "unk"),
    "sep": ("sep", "eos", "unk"),
    "mask": ("mask", "pad", "unk"),
}
"""Role of a target token -> roles of the source to take, the first that there is."""


def identity(builder: MapBuilder, count: float) -> Part:
    """``count`` for every text piece and the source piece of the same bytes."""
    rows = [row for row in builder.overlap if builder.target_bytes[row] is not None]
    columns = [builder.overlap[row] for row in rows]
    return _part((row, column, count) for row, column in zip(rows, columns, strict=True))


def numbers(builder: MapBuilder, rule: NumberRule) -> Part:
    """Evidence for pieces that are numbers."""
    if rule is NumberRule.digits:
        return _digits(builder)
    if rule is NumberRule.first_piece:
        return _first_pieces(builder)
    return _part(())


def decide_special(builder: MapBuilder, rule: SpecialRule) -> None:
    """Rows of control tokens by :data:`ROLE_PARTNERS`; tokens without a role keep their partner."""
    if rule is SpecialRule.shared:
        return
    partners = special_roles(builder.source.tokenizer)
    by_row: dict[int, list[int]] = {}
    roles = special_roles(builder.target)
    for role in sorted(roles, key=lambda name: (name != "eos", _rank(name))):
        found = [partners[name] for name in ROLE_PARTNERS.get(role, ()) if name in partners]
        found = [index for index in found if index < builder.source.rows]
        if found:
            by_row.setdefault(roles[role], []).append(found[0])
    builder.release(list(by_row))
    for row, sources in by_row.items():
        taken = sources if rule is SpecialRule.summed else sources[:1]
        same = len(set(taken)) == 1
        builder.put(
            row,
            taken[:1] if same else taken,
            [1.0] if same else [1.0 / len(taken)] * len(taken),
            Provenance.special if same else Provenance.computed,
        )


def _digits(builder: MapBuilder) -> Part:
    """One count for each piece of digits, shared by the digit pieces of its source tokenization.

    Digits of other scripts are read as 0 to 9. A piece that the source has takes that one.
    """
    rows = [row for row, data in enumerate(builder.target_bytes) if _is_number(data)]
    entries = [(row, builder.overlap[row], 1.0) for row in rows if row in builder.overlap]
    rows = [row for row in rows if row not in builder.overlap]
    texts = [_in_ascii(builder.target_bytes[row] or b"") for row in rows]
    for row, ids in zip(rows, builder.encode(texts), strict=True):
        kept = [index for index in ids if (builder.source_bytes[index] or b"").strip()] or ids
        entries += [(row, index, 1.0 / len(kept)) for index in kept]
    return _part(entries)


def _first_pieces(builder: MapBuilder) -> Part:
    """The reference's rules for the strings 0 to 9998 and 00 to 098, each of which adds 1."""
    strings = [*map(str, range(9999)), *(f"0{number}" for number in range(99))]
    spaced = [f" {text}" for text in strings]
    source, target = builder.source.tokenizer, builder.target
    source_names, target_names = source.get_vocab(), target.get_vocab()
    entries = []
    for texts in (strings, spaced):
        first = [ids[:1] for ids in _encoded(source, texts)]
        whole = _encoded(target, texts)
        for text, pieces, ids in zip(texts, first, whole, strict=True):
            if text in target_names:
                named = [source_names[text]] if text in source_names else pieces
                entries += [(target_names[text], index, 1.0) for index in named]
            if len(ids) == 1:
                entries += [(ids[0], index, 1.0) for index in pieces]
    known, source_bytes = builder.target_bytes, builder.source_bytes
    return _part(
        entry
        for entry in entries
        if known[entry[0]] is not None
        and entry[1] < len(source_bytes)
        and source_bytes[entry[1]] is not None
    )


def _encoded(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[list[int]]:
    """Ids as in running text from its beginning, by the tokenizer's own rules."""
    backend = tokenizer.backend_tokenizer
    return [found.ids for found in backend.encode_batch_fast(texts, add_special_tokens=False)]


def _is_number(data: bytes | None) -> bool:
    return (text_of(data) or "").removeprefix(" ").isdecimal()


def _in_ascii(data: bytes) -> bytes:
    return "".join(
        str(unicodedata.decimal(char)) if char.isdecimal() else char for char in data.decode()
    ).encode()


def _rank(role: str) -> int:
    return ROLE_RANK.index(role) if role in ROLE_RANK else len(ROLE_RANK)


def _part(entries: Iterable[tuple[int, int, float]]) -> Part:
    array = np.array(list(entries), dtype=np.float64).reshape(-1, 3)
    return array[:, 0].astype(np.int64), array[:, 1].astype(np.int64), array[:, 2]
