r"""Split patterns that cut words at their vowel signs, and their repair.

Llama 3, Qwen 3 and GPT-2 take ``\p{L}+`` for a word. In most scripts of India and South-East Asia,
and in decomposed text of any script, a word also holds combining marks (``\p{M}``), so these
patterns cut it at each of them, and no piece can ever be longer than the letters between two.
"""

import copy
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import regex

from franken.tokenizer.pipeline import Pipeline

if TYPE_CHECKING:
    from tokenizers import Tokenizer

GPT2_PATTERN = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""What the ``ByteLevel`` step splits by where it is told to."""
ACROSS = r"@DIGITS@| ?[^\s\p{L}\p{M}\p{N}]{2,}|\s+(?!\S)|[^\S ]+"
"""What pieces across blanks may not cross."""
_WORD = regex.compile(r"[\p{L}\p{M}]+")
_MARK = regex.compile(r"\p{M}")
MEASURED_WORDS = 5_000


def repair_marks(pipeline: Pipeline) -> tuple[Pipeline, int]:
    """Let marks be parts of words wherever a split pattern leaves them out.

    Text without combining marks is split as before.

    Returns:
        The pipeline and the number of patterns that were changed.
    """
    step = copy.deepcopy(pipeline.spec.get("pre_tokenizer"))
    step, changed = _repaired(step)
    return replace(pipeline, spec={**pipeline.spec, "pre_tokenizer": step}), changed


def across_words(pipeline: Pipeline) -> Pipeline:
    r"""A byte-level pipeline that no longer cuts where a word ends.

    What stays apart: digits as before (alone, or three by three where a pattern says so), two and
    more symbols in a row, white space other than the one blank before a word, and lines; the second
    stage of SuperBPE (arXiv 2503.13423), whose pattern does not know of marks and lines.
    """
    steps = pipeline.components("pre_tokenizer")
    kept = [step for step in steps if step["type"] not in ("ByteLevel", "Split")]
    patterns = [str(step["pattern"].get("Regex")) for step in steps if step["type"] == "Split"]
    threes = any(r"\p{N}{1,3}" in pattern for pattern in patterns)
    pattern = {"Regex": ACROSS.replace("@DIGITS@", r"\p{N}{1,3}" if threes else r"\p{N}")}
    cut = {"type": "Split", "pattern": pattern, "behavior": "Isolated", "invert": False}
    bytes_ = [step | {"use_regex": False} for step in steps if step["type"] == "ByteLevel"]
    step = {"type": "Sequence", "pretokenizers": [*kept, cut, *bytes_]}
    return replace(pipeline, spec={**pipeline.spec, "pre_tokenizer": step})


def with_marks(pattern: str) -> str:
    r"""A pattern with ``\p{M}`` beside every ``\p{L}``; unchanged where it names marks already."""
    if r"\p{M}" in pattern or r"\p{L}" not in pattern:
        return pattern
    parts, inside, index = [], False, 0
    while index < len(pattern):
        if pattern.startswith(r"\p{L}", index):
            parts.append(r"\p{L}\p{M}" if inside else r"[\p{L}\p{M}]")
            index += len(r"\p{L}")
            continue
        width = 2 if pattern[index] == "\\" else 1
        symbol = pattern[index : index + width]
        inside = (inside or symbol == "[") and symbol != "]"
        parts.append(symbol)
        index += width
    return "".join(parts)


def cut_words(backend: "Tokenizer", lines: Iterable[str]) -> tuple[int, int]:
    """How many words hold a mark at which the pre-tokeniser cuts them, and of how many words."""
    if backend.pre_tokenizer is None:
        return 0, 0
    cut = total = 0
    known: dict[str, bool] = {}
    for line in lines:
        for word in _WORD.findall(line):
            total += 1
            if _MARK.search(word):
                if word not in known:
                    known[word] = _is_cut(backend, word)
                cut += known[word]
        if total >= MEASURED_WORDS:
            break
    return cut, total


def _is_cut(backend: "Tokenizer", word: str) -> bool:
    text = word if backend.normalizer is None else backend.normalizer.normalize_str(word)
    return _MARK.search(text) is not None and len(backend.pre_tokenizer.pre_tokenize_str(text)) > 1


def _repaired(step: dict[str, Any] | None) -> tuple[dict[str, Any] | None, int]:
    if step is None:
        return None, 0
    if "pretokenizers" in step:
        inner = [_repaired(each) for each in step["pretokenizers"]]
        found = [each for each, _ in inner if each is not None]
        return {**step, "pretokenizers": found}, sum(count for _, count in inner)
    if step["type"] == "Split" and "Regex" in step["pattern"]:
        pattern = with_marks(step["pattern"]["Regex"])
        changed = pattern != step["pattern"]["Regex"]
        return {**step, "pattern": {"Regex": pattern}}, int(changed)
    if step["type"] == "ByteLevel" and step.get("use_regex", True):
        words = {
            "type": "Split",
            "pattern": {"Regex": with_marks(GPT2_PATTERN)},
            "behavior": "Isolated",
            "invert": False,
        }
        return {"type": "Sequence", "pretokenizers": [words, {**step, "use_regex": False}]}, 1
    return step, 0
