"""Trim a vocabulary: pieces go, nothing comes in their place.

The most asked-for operation on multilingual models (vocabulary-trimmer, Ushio et al. 2023): a table
of 256,000 rows serves languages that one never reads. What text uses stays, and all that BPE makes
on the way to it, so that text is cut as before; so do control tokens, the bytes, ASCII and runs of
white space, by which any other text can still be written, in more tokens.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from franken.errors import ConfigError
from franken.tokenizer.compose import compose
from franken.tokenizer.leaves import without_leaves
from franken.tokenizer.pieces import Reading
from franken.tokenizer.pipeline import Pipeline, editable_pipeline_of
from franken.tokenizer.pruning import has_kept_script, needed_by_the_rest, worth
from franken.tokenizer.reachability import unreachable_pieces
from franken.tokenizer.sampling import encode_in_chunks, lines_of, usage_counts

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

EVERY_LANGUAGE = ("Common", "Inherited")
"""Scripts of digits, punctuation and accents, which every language shares."""
CHECKED_LINES = 2_000


@dataclass(frozen=True)
class Trimmed:
    """A smaller vocabulary, and where its rows are in the old one."""

    tokenizer: "PreTrainedTokenizerFast"
    source_ids: list[int]
    """Old id of each new id."""
    report: dict[str, Any]
    """JSON: how many stay and why, and how text is cut."""


def trim_vocabulary(
    base: "PreTrainedTokenizerBase",
    texts: Iterable[str] = (),
    *,
    scripts: Sequence[str] = (),
    min_count: int = 1,
    size: int | None = None,
    drop_idle: bool = False,
) -> Trimmed:
    """Keep the pieces that texts use, or that are written in some scripts.

    Args:
        base: a fast tokenizer, BPE, Unigram or WordPiece.
        texts: text of everything that the model shall go on reading and writing; read twice.
        scripts: Unicode scripts (``Latin``, ``Tamil``) of which every piece stays.
        min_count: a piece that the texts use less often goes, unless others are made of it.
        size: at most so many tokens; those that text misses least go, in leaf order.
        drop_idle: also drop ``<unused7>`` and the like.

    Returns:
        Ids in the old order. Control tokens keep their ids where these are below the new size.

    Raises:
        ConfigError: where neither texts nor scripts say what stays, or ``size`` is too small.
    """
    pipeline = editable_pipeline_of(base, "trim", wordpiece=True)
    lines = list(lines_of(texts))
    if not lines and not scripts:
        raise ConfigError("trim: neither texts nor scripts say what stays; every piece would go")
    usage = usage_counts(base.backend_tokenizer, lines, pipeline.size)
    worths = worth(pipeline, usage, np.zeros_like(usage))
    kept_scripts = [*scripts, *EVERY_LANGUAGE] if scripts else []
    written = {p for p in worths if scripts and has_kept_script(pipeline, p, kept_scripts)}
    kept = written | {piece for piece, uses in worths.items() if uses >= max(1, min_count)}
    idle = pipeline.idle() if drop_idle else []
    without_idle = pipeline.without(idle)
    if size is not None:
        kept = without_leaves(pipeline, usage, kept, _room(without_idle, worths, size))
    kept |= needed_by_the_rest(pipeline, [piece for piece in worths if piece not in kept])
    in_order = [piece for piece in pipeline.normal() if piece in kept]
    tokenizer = compose(without_idle, in_order, pipeline.merges, pipeline.scores)
    new = Reading.of(tokenizer)
    by_id = sorted(new.pipeline.pieces, key=new.pipeline.pieces.__getitem__)
    source_ids = [pipeline.pieces[piece] for piece in by_id]
    report = {
        "size": {"base": pipeline.size, "new": len(source_ids)},
        "parts": {
            "reserved": len(without_idle.reserved()),
            "used": int(sum(1 for uses in worths.values() if 0 < uses < math.inf)),
            "essential": sum(uses == math.inf for uses in worths.values()),
            "by_script": len(written),
            "idle_dropped": len(idle),
        },
        "control_tokens_moved": _moved(pipeline, new.pipeline),
        "text": _cut(base, tokenizer, source_ids, lines[:CHECKED_LINES]),
        "unreachable": len(unreachable_pieces(tokenizer, in_order, reading=new)),
    }
    return Trimmed(tokenizer, source_ids, report)


def _room(pipeline: Pipeline, worths: dict[str, float], size: int) -> int:
    room = size - len(pipeline.reserved())
    needed = sum(uses == math.inf for uses in worths.values())
    if room < needed:
        raise ConfigError(
            f"trim: a size of {size} cannot hold the {size - room} control and byte tokens and the "
            f"{needed} characters that any text needs; take at least {size - room + needed}"
        )
    return room


def _moved(old: Pipeline, new: Pipeline) -> dict[str, list[int]]:
    """Control tokens whose ids changed: name -> old and new id."""
    return {
        token["content"]: [old.pieces[token["content"]], new.pieces[token["content"]]]
        for token in new.added
        if old.pieces[token["content"]] != new.pieces[token["content"]]
    }


def _cut(
    base: "PreTrainedTokenizerBase",
    new: "PreTrainedTokenizerFast",
    source_ids: Sequence[int],
    lines: Sequence[str],
) -> dict[str, Any]:
    """How the lines that decided are cut: the same tokens as before, or more of them."""
    old_of = np.asarray(source_ids)
    before = after = same = 0
    for chunk, encodings in encode_in_chunks(new.backend_tokenizer, lines):
        olds = base.backend_tokenizer.encode_batch_fast(chunk, add_special_tokens=False)
        for old, own in zip(olds, encodings, strict=True):
            before, after = before + len(old.ids), after + len(own.ids)
            same += bool(np.array_equal(np.asarray(old.ids), old_of[np.asarray(own.ids, int)]))
    return {"lines": len(lines), "cut_as_before": same, "tokens": {"base": before, "new": after}}
