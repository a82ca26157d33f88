"""Which pieces of a vocabulary can go, and which first."""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from franken.tokenizer.compose import Merge, replay
from franken.tokenizer.pieces import piece_bytes, text_of
from franken.tokenizer.pipeline import Pipeline, ReadOnlyKind
from franken.tokenizer.scripts import script_of, uses_only_scripts

SHOWN_PER_LOST = 4000
"""Source text may lose one of so many of its tokens to pruning, by the estimate of the probe."""
FOREIGN_SHARE = 0.2
"""Of the unused pieces of a script that other languages share, so many may go."""
FOREIGN_FROM = 0.1
"""A script is shared when so many of its unused pieces hold letters that the source lacks."""
RARE_LETTER = 1e-4
"""Share of the source's letters below which it does without a letter."""
PRIOR = 20
"""Pieces of the average kind that are added to each, since small ones say little."""
RANK_BINS = 6
"""Kinds of pieces are told apart by when they were learnt, in so many steps."""


@dataclass(frozen=True)
class Prunable:
    """Pieces that may go, in the order in which they should."""

    safe: list[str]
    """Unused ones that neither the source nor, by their script, other languages will miss much."""
    unused: list[str]
    """Other unused ones."""
    used: list[str]
    """Pieces that source text uses, the least used first."""
    worths: dict[str, float]
    """What each normal piece is needed for (:func:`worth`)."""
    lost: float
    """Estimated share of source tokens that all of ``safe`` takes with it."""


def prunable_pieces(
    pipeline: Pipeline,
    source: np.ndarray,
    target: np.ndarray,
    *,
    min_count: int = 1,
    first: Iterable[str] = (),
    closure: bool = True,
) -> Prunable:
    """Sort the normal pieces by how little they are missed.

    What target text uses must stay. Of the rest those go first that source text does not use, and
    of these the ones whose *kind* (script, shape, when it was learnt) the probe shows least: where
    ``n1`` pieces of a kind were seen once and ``n0`` never, each of the latter is expected
    ``n1 / n0`` times in as much text again (Good and Turing). Two rules say how many are ``safe``:

    * The expected loss of source text stays below one token in ``SHOWN_PER_LOST``. A small probe
      has seen most of its pieces once, so it hardly gives any away.
    * The probe says nothing of other languages. Where they share a script (Cyrillic, or Latin with
      letters that the source does without), a fifth of the unused pieces may go, the last learnt.
      By Zipf's law these are some 3 % of a language's tokens.

    Args:
        pipeline: of the vocabulary.
        source: ``(size,)`` uses of each id in source text, the probe.
        target: ``(size,)`` uses of each id in target text.
        min_count: pieces with fewer uses in the probe count as unused.
        first: pieces that shall go before all others where they may go.
        closure: whether what a piece is made of stays with it (:func:`worth`).
    """
    worths = worth(pipeline, source, target, closure=closure)
    learnt = _learnt(pipeline)
    texts = {piece: text_of(piece_bytes(pipeline, piece)) or "" for piece in worths}
    loose = [piece for piece, uses in worths.items() if uses < min_count]
    expected = _expected_uses(pipeline, source, texts, loose, learnt)
    if closure and pipeline.is_bpe:
        _inherit(expected, pipeline.merges)
    soon = set(first)
    loose.sort(key=lambda p: (p not in soon, expected[p], -learnt[p], -pipeline.pieces[p]))
    budget = float(source.sum()) / SHOWN_PER_LOST
    safe, unused, spent = [], [], 0.0
    allowed = _spared_by_no_script(pipeline, source, texts, loose, learnt)
    for piece in loose:
        cost = expected[piece] + worths[piece]
        if piece in soon or (piece in allowed and spent + cost <= budget):
            spent += cost
            safe.append(piece)
        else:
            unused.append(piece)
    used = [piece for piece, uses in worths.items() if min_count <= uses < math.inf]
    used.sort(key=lambda p: (p not in soon, worths[p], -learnt[p], -pipeline.pieces[p]))
    return Prunable(safe, unused, used, worths, spent / max(1.0, float(source.sum())))


def worth(
    pipeline: Pipeline, source: np.ndarray, target: np.ndarray, *, closure: bool = True
) -> dict[str, float]:
    """What each normal piece is needed for: uses in source text, or ``inf`` for what must stay.

    Pieces that target text uses and the essential ones (:meth:`Pipeline.essentials`) must stay.
    With ``closure`` a piece is worth as much as the best piece that BPE makes by way of it: a
    merge is never undone, so the symbols on the way to the tokens of a text are exactly
    those that arise while each of them is put together by itself. Text that uses none of the
    pieces that go is therefore cut as before. WordPiece takes the longest piece there is, so there
    any may go; its letters inherit, lest a word becomes unknown where a longer piece goes later.

    Args:
        pipeline: of the vocabulary.
        source: ``(size,)`` uses of each id in source text.
        target: ``(size,)`` uses of each id in target text.
        closure: whether a piece inherits the worth of those that are made of it.
    """
    essentials = set(pipeline.essentials())
    found = {
        piece: math.inf
        if piece in essentials or target[pipeline.pieces[piece]]
        else float(source[pipeline.pieces[piece]])
        for piece in pipeline.normal()
    }
    if closure and pipeline.is_bpe:
        ranks = ranks_of(pipeline)
        for piece, uses in list(found.items()):
            if uses and len(piece) > 1:
                for part in replay(piece, ranks)[1]:
                    if part in found and found[part] < uses:
                        found[part] = uses
    elif closure and pipeline.kind is ReadOnlyKind.wordpiece:
        for piece, uses in list(found.items()):
            for part in pipeline.letters(piece):
                if found.get(part, uses) < uses:
                    found[part] = uses
    return found


def needed_by_the_rest(pipeline: Pipeline, gone: Sequence[str]) -> set[str]:
    """Which of ``gone`` must stay so that all others can still come about."""
    if not pipeline.is_bpe:
        return set()
    needed: set[str] = set()
    ranks, away = ranks_of(pipeline), set(gone)
    while True:
        risky = {
            left + right
            for left, right in pipeline.merges
            if (left in away or right in away) and left + right not in away
        }
        more = {part for piece in risky for part in replay(piece, ranks)[1] if part in away}
        if not more:
            return needed
        needed |= more
        away -= more


def has_kept_script(pipeline: Pipeline, piece: str, scripts: Iterable[str]) -> bool:
    """Whether a piece is written in ``scripts``; part of a character says nothing, so it passes."""
    text = text_of(piece_bytes(pipeline, piece))
    return text is None or uses_only_scripts(text, scripts)


def ranks_of(pipeline: Pipeline) -> dict[Merge, int]:
    """Merge -> rank, the best where one is listed twice."""
    return {merge: rank for rank, merge in reversed(list(enumerate(pipeline.merges)))}


def _learnt(pipeline: Pipeline) -> dict[str, float]:
    """When each piece was learnt: the rank of its best merge, of its probability, or its id.

    Characters are not learnt but given, so they come first of all.
    """
    if pipeline.kind is ReadOnlyKind.wordpiece:  # in the order of the file
        return {
            piece: -math.inf if len(pipeline.letters(piece)) == 1 else float(index)
            for piece, index in pipeline.pieces.items()
        }
    if not pipeline.is_bpe:
        return {
            piece: -math.inf if len(piece) == 1 else -pipeline.scores.get(piece, 0.0)
            for piece in pipeline.pieces
        }
    first: dict[str, float] = dict.fromkeys(pipeline.pieces, -math.inf)
    for rank, (left, right) in reversed(list(enumerate(pipeline.merges))):
        first[left + right] = float(rank)
    return first


def _expected_uses(
    pipeline: Pipeline,
    source: np.ndarray,
    texts: Mapping[str, str],
    loose: Sequence[str],
    learnt: Mapping[str, float],
) -> dict[str, float]:
    """How often each unused piece is expected in as much source text again."""
    in_order = sorted(texts, key=learnt.__getitem__)
    age = {piece: RANK_BINS * rank // len(in_order) for rank, piece in enumerate(in_order)}
    seen_once = [piece for piece in texts if source[pipeline.pieces[piece]] == 1]
    never_seen = [piece for piece in loose if source[pipeline.pieces[piece]] == 0]
    kinds = {p: (*_shape(texts[p]), age[p]) for p in {*loose, *seen_once}}
    once = Counter(kinds[piece] for piece in seen_once)
    never = Counter(kinds[piece] for piece in never_seen)
    total = len(seen_once) / max(1, len(never_seen))
    rates = {
        kind: (once[kind] + PRIOR * total) / (never[kind] + PRIOR) for kind in set(kinds.values())
    }
    return {piece: rates[kinds[piece]] for piece in loose}


def _inherit(expected: dict[str, float], merges: Sequence[Merge]) -> None:
    """A piece is expected whenever something is that is made of it."""
    known = expected.get
    for left, right in reversed(merges):
        if uses := known(left + right):
            if known(left, uses) < uses:
                expected[left] = uses
            if known(right, uses) < uses:
                expected[right] = uses


def _script(text: str) -> str:
    letter = next(filter(str.isalpha, text), "")
    return script_of(letter) if letter else "symbols" if text else "part of a character"


def _shape(text: str) -> tuple[str, bool, str]:
    """Script, whether a word begins here, and the case of the letters or ``mixed``."""
    inner = text.removeprefix(" ")
    case = "mixed"
    if inner.isalpha():
        if inner.islower():
            case = "lower"
        elif inner.istitle():
            case = "title"
        else:
            case = "upper" if inner.isupper() else "none"
    return _script(text), inner != text, case


def _spared_by_no_script(
    pipeline: Pipeline,
    source: np.ndarray,
    texts: Mapping[str, str],
    loose: Sequence[str],
    learnt: Mapping[str, float],
) -> set[str]:
    """The unused pieces that may go for all that other languages need of their script."""
    letters: Counter[str] = Counter()
    for piece, text in texts.items():
        if uses := int(source[pipeline.pieces[piece]]):
            for char in text:
                letters[char] += uses if char.isalpha() else 0
    known = {char for char, uses in letters.items() if uses > RARE_LETTER * letters.total()}
    groups: dict[str, list[str]] = defaultdict(list)
    for piece in sorted(loose, key=lambda piece: -learnt[piece]):
        groups[_script(texts[piece])].append(piece)
    allowed: set[str] = set()
    for group in groups.values():
        foreign = sum(
            not texts[piece] or any(c.isalpha() and c not in known for c in texts[piece])
            for piece in group
        )
        shared = foreign > FOREIGN_FROM * len(group)
        allowed.update(group[: int(FOREIGN_SHARE * len(group))] if shared else group)
    return allowed
