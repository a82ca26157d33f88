"""Small vocabularies and tables of all three kinds, and a slow obvious engine to compare with."""

import json
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from franken.alignment import WordTable
from franken.config.base_model import TokenizerKind
from franken.declare import options
from franken.init_method import InitResources, Provenance, Reduce, TokenMap
from franken.init_method.base import InitMethod
from franken.parts.table import Table
from franken.token_map.options import Fallback
from franken.tokenizer.families import train_tokenizer
from franken.tokenizer.pieces import canonical_bytes
from tests.init_method.spaces import substring_spaces, word_spaces
from tests.init_method.texts import ENGLISH, LEXICON, SWAHILI

ALIGNMENTS = {
    language: WordTable.of(
        [source for source, _ in pairs],
        [target for _, target in pairs],
        np.stack([np.arange(len(pairs))] * 2, axis=1),
        np.full(len(pairs), 12.0),
    )
    for language, pairs in (
        ("am", LEXICON["am"]),
        ("sw", [("house", "nyumba"), ("water", "maji"), ("book", "kitabu"), ("the", "katika")]),
    )
}
RESOURCES = InitResources(
    alignments=ALIGNMENTS, languages=["sw"], lexicons=LEXICON, texts=lambda language: iter(SWAHILI),
    word_vectors=word_spaces(), piece_vectors=substring_spaces(),
)  # fmt: skip
PADDED = 5
"""Rows of the source table past its tokenizer."""
SUITED: dict[str, dict[str, Any]] = {
    "gold_alignment": {"min_count": 1.0},
    "hyperofa": {"epochs": 1, "hidden": 8, "keep_dim": 8, "words_per_piece": 4},
    "local_least_squares": {"k": 9},
    "omp": {"k": 5},
    "ramen": {"copy_overlap": True},
    "trans_tokenization": {"min_count": 1.0},
    "trans_tokenization_parity": {"copy_overlap": True, "min_count": 1.0},
    "vocadt": {"neighbours": 0},
    "wechsel": {"copy_overlap": True},
}
"""Options other than the defaults, which so little text would leave without anything to show."""


def configs(*, helper: bool) -> dict[str, InitMethod]:
    """Every method that reads a helper, or that reads none; those that name files are left out."""
    made = {name: cls(**SUITED.get(name, {})) for name, cls in options("init_method").items()}
    return {
        name: method
        for name, method in made.items()
        if ("helper" in method.needs()) is helper and not method.paths()
    }


CONFIGS = configs(helper=False)


@cache
def source_tokenizer(kind: TokenizerKind) -> PreTrainedTokenizerFast:
    return train_tokenizer(kind, ENGLISH, 420)


@cache
def target_tokenizer(kind: TokenizerKind) -> PreTrainedTokenizerFast:
    return train_tokenizer(kind, [*ENGLISH, *SWAHILI], 480)


def source_table(
    kind: TokenizerKind,
    *,
    tied: bool = True,
    dtype: torch.dtype = torch.float32,
    size: int = 12,
    tokenizer: PreTrainedTokenizerFast | None = None,
) -> Table:
    """Random rows around a common offset; rows past the tokenizer hold values nothing may use."""
    tokenizer = tokenizer or source_tokenizer(kind)
    rows = len(tokenizer) + PADDED
    generator = torch.Generator().manual_seed(7)

    def matrix(*shape: int) -> Tensor:
        values = torch.randn(*shape, generator=generator) + 0.5
        values[-PADDED:] = 1e4
        return values.to(dtype)

    return Table(
        tokenizer,
        matrix(rows, size),
        None if tied else matrix(rows, size),
        None if tied else matrix(rows),
        lineage="body",
    )


def edited(tokenizer: PreTrainedTokenizerFast, ids: dict[int, int]) -> PreTrainedTokenizerFast:
    """The same tokenizer with pieces moved to other ids (BPE kinds)."""
    spec = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary = spec["model"]["vocab"]
    spec["model"]["vocab"] = {piece: ids.get(index, index) for piece, index in vocabulary.items()}
    from tokenizers import Tokenizer

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(json.dumps(spec)), **tokenizer.special_tokens_map
    )


def row_of(tokenizer: PreTrainedTokenizerFast, text: str) -> int:
    """Id of the piece that stands for these characters; a leading space marks a word's start."""
    return canonical_bytes(tokenizer).index(text.encode())


def text_ids(tokenizer: PreTrainedTokenizerFast) -> list[int]:
    special = set(tokenizer.added_tokens_decoder)
    return sorted(index for index in tokenizer.get_vocab().values() if index not in special)


def written(tokenizer: PreTrainedTokenizerFast) -> Tensor:
    """``(T,)`` bool: ids of text, but for bytes such as <0x41> beside A, never written."""
    spelt = canonical_bytes(tokenizer)
    pieces = tokenizer.convert_ids_to_tokens(range(len(spelt)))
    doubles = [
        p.startswith("<0x") and spelt.count(s) > 1 for p, s in zip(pieces, spelt, strict=True)
    ]
    return torch.tensor([bool(s) and not double for s, double in zip(spelt, doubles, strict=True)])


def hand_made_map(rows: list[dict[int, float]], provenance: list[int], **options) -> TokenMap:
    """A map from rows written out as {source row: weight}."""
    sizes = [len(row) for row in rows]
    source_rows = options.pop("source_rows")
    return TokenMap(
        indptr=torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()]),
        indices=torch.tensor([i for row in rows for i in sorted(row)], dtype=torch.int32),
        weights=torch.tensor([row[i] for row in rows for i in sorted(row)], dtype=torch.float32),
        provenance=torch.tensor(provenance, dtype=torch.uint8),
        exemplars=options.pop("exemplars", torch.ones(source_rows, dtype=torch.bool)),
        keys=options.pop("keys", [b"key%d" % index for index in range(len(rows))]),
        **options,
    )


def reference_rows(token_map: TokenMap, source: Tensor, part: str = "input") -> dict[int, Tensor]:
    """Row after row in float64 by the definition; rows that are drawn are left out."""
    wide = source.double()
    mean = wide[token_map.exemplars].mean(dim=0)
    made = {}
    for row in range(token_map.rows):
        parts = token_map.row(row, part)
        if parts and token_map.reduce is Reduce.max:
            made[row] = torch.stack([wide[index] for index, _ in parts]).amax(dim=0)
        elif parts:
            made[row] = sum(wide[index] * weight for index, weight in parts)
        elif token_map.provenance[row] == Provenance.padding or token_map.fallback.kind in (
            Fallback.mean,
            Fallback.subtoken_mean,
        ):
            made[row] = mean
    return made
