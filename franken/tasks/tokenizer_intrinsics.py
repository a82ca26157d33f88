"""Tokenizer intrinsics: how finely a vocabulary cuts a language, and what it loses."""

from __future__ import annotations

import re
from itertools import islice
from typing import Any, ClassVar

from franken.errors import DataError
from franken.lazy import later
from franken.tasks.base import EvalTask, Guesses, task_kind

with later():
    from franken.eval_suite.encoding import Encoder
    from franken.eval_suite.languages import spaces_words
    from franken.eval_suite.suite import Item, TaskRun
    from franken.statistics import Units


BYTE_PIECE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
KEPT_FAILURES = 20
"""Lines that do not survive a round trip, stored per language."""


@task_kind
class TokenizerIntrinsics(EvalTask):
    """Tokens per byte and per word, parity to the source language, byte pieces, round trips."""

    reads_text: ClassVar[bool] = True
    guesses: ClassVar[Guesses] = Guesses.either

    def run(self, task: TaskRun) -> None:
        """Score the ``valid`` lines of a text role; shares are per token unless named otherwise."""
        role = task.config.source
        for lang in task.languages(lambda lang: task.data.has(role, lang)):
            _score_lines(task, lang, task.held_out(lang))
            if lang != task.source_language and task.data.has("parallel", lang):
                _score_parity(task, lang)


def _score_lines(task: TaskRun, lang: str, lines: list[str]) -> None:
    encoder, tokenizer = task.encoder, task.encoder.tokenizer
    ids = encoder.held_out(lines)
    counts = [float(len(line)) for line in ids]
    n = len(lines)

    def add_ratio(metric: str, above: list[float], below: list[float]) -> None:
        if sum(below):
            task.score(lang, metric, Units.of(range(n), above, below))

    add_ratio("tokens_per_byte", counts, [float(len(line.encode())) for line in lines])
    if spaces_words(lang):
        add_ratio("tokens_per_word", counts, [float(len(line.split())) for line in lines])
    bytes_only = {token for token in set().union(*ids) if is_byte_piece(tokenizer, token)}
    add_ratio(
        "byte_piece_share", [float(sum(t in bytes_only for t in line)) for line in ids], counts
    )
    unknown = tokenizer.unk_token_id
    add_ratio("unknown_share", [float(line.count(unknown)) for line in ids], counts)
    failures = [
        index for index, line in enumerate(lines) if not survives(encoder, line, ids[index])
    ]
    lost = set(failures)
    task.score(
        lang, "round_trip_failures", Units.of(range(n), [float(at in lost) for at in range(n)])
    )
    ordinary = len(tokenizer) - len(set(tokenizer.all_special_ids))
    used = len(set().union(*ids) - set(tokenizer.all_special_ids))
    task.figure(lang, "vocabulary_utilisation", used / max(1, ordinary), n, used=used)
    kept: list[Item] = [
        {"lang": lang, "id": index, "text": lines[index], "decoded": decode(tokenizer, ids[index])}
        for index in failures[:KEPT_FAILURES]
    ]
    task.keep(kept)


def _score_parity(task: TaskRun, lang: str) -> None:
    """Tokens of a text against tokens of its source-language counterpart (Petrov et al. 2023)."""
    from franken.eval_suite.suite import VALID

    try:
        pairs = list(islice(task.data.pairs(lang, VALID), task.config.limit))
    except DataError:
        pairs = []
    if not pairs:
        return
    own = [float(len(ids)) for ids in task.encoder.held_out([pair.target for pair in pairs])]
    source = [float(len(ids)) for ids in task.encoder.held_out([pair.source for pair in pairs])]
    task.score(lang, "parity", Units.of(range(len(pairs)), own, source))


def is_byte_piece(tokenizer: Any, token: int) -> bool:
    """Whether a token is a byte-fallback piece, or holds only a part of some character."""
    piece = tokenizer.convert_ids_to_tokens(token)
    if piece is None or BYTE_PIECE.fullmatch(piece):
        return piece is not None
    return "\ufffd" in decode(tokenizer, [token]) and "\ufffd" not in piece


def survives(encoder: Encoder, line: str, ids: list[int]) -> bool:
    """Whether decoding gives the line back, character by character."""
    return decode(encoder.tokenizer, ids) == line


def decode(tokenizer: Any, ids: list[int]) -> str:
    """Text of ids, nothing skipped and no spaces tidied."""
    return str(tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False))
