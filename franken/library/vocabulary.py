"""``build_vocab``: a tokenizer for the languages of a text, made from another one."""

from typing import Any

from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from franken.errors import DataError
from franken.library.given import Texts, gather
from franken.library.options import chosen
from franken.library.origin import check_objects
from franken.tokenizer.types import VocabTexts
from franken.vocab import build_vocabulary


def build_vocab(
    base_tokenizer: PreTrainedTokenizerBase,
    method: Any = "prune_extend",
    *,
    texts: Texts | None = None,
    source_texts: Texts | None = None,
    source_language: str = "en",
    seed: int = 0,
    report: dict[str, Any] | None = None,
    **options: Any,
) -> PreTrainedTokenizerFast:
    """Make a tokenizer of the base one's kind for other languages.

    Args:
        base_tokenizer: the model's tokenizer; it stays as it is.
        method: ``prune_extend`` (keep what the source text uses, fill with new pieces),
            ``extension``, ``scratch``, ``original`` or ``from_pretrained``, or its options.
        texts: lines of the target language, or a mapping from language to lines; a mapping may hold
            the source language too.
        source_texts: lines of the source language: ``prune_extend`` keeps the pieces that they use.
        source_language: its code.
        seed: draws the lines that a trainer reads.
        report: is filled with what was done and how the new tokenizer does on the texts.
        options: of the method, e.g. ``size=32_000``.

    Returns:
        The tokenizer, fast.

    Raises:
        ConfigError: for an unknown method or option, or a value out of range.
        DataError: where the method needs text that is not there.
    """
    name = method if isinstance(method, str) else getattr(method, "name", "")
    call = f"build_vocab(method={name!r})"
    check_objects(call, base_tokenizer=base_tokenizer)
    config = chosen("vocab", method, options, call)
    given = gather(texts, source_texts, source_language=source_language)
    targets = {key: lines for key, lines in given.texts.items() if key != source_language}
    if hasattr(config, "max_lines_per_language") and not targets:
        raise DataError(f"{call} trains new pieces, and needs texts= of the target language")
    if hasattr(config, "probe_sentences") and source_language not in given.texts:
        raise DataError(
            f"{call} keeps the pieces that the source language uses, and needs source_texts= "
            f"(or {source_language!r} among texts=)"
        )
    source = given.texts.get(source_language, tuple)
    result = build_vocabulary(base_tokenizer, config, VocabTexts(source, targets), seed)
    if report is not None:
        report.update(result.report)
    return result.tokenizer
