"""Go on with BPE where a finished tokenizer stopped."""

import json
from collections.abc import Iterator, Mapping

from franken.config.base_model import TokenizerKind
from franken.tokenizer.compose import Merge
from franken.tokenizer.learn import training_backend
from franken.tokenizer.pipeline import Pipeline, spec_of
from franken.tokenizer.sampling import Lines, encode_in_chunks, lines_of

FIRST_LETTER = 0x10000
"""Each base token is written as one character from here on, so a stock trainer can merge tokens."""


def continue_merges(
    pipeline: Pipeline, alphabet: list[str], streams: Mapping[str, Lines], count: int
) -> tuple[list[str], list[Merge]]:
    """Learn merges of neighbouring tokens inside a word.

    Args:
        pipeline: A BPE tokenizer.
        alphabet: Characters that join its vocabulary first.
        streams: Training lines per language.
        count: New pieces wanted; fewer come back where the text is short.

    Returns:
        The new pieces, best first, and the merges that build them. A merge may also lead to a
        piece that the pipeline has already: then there is one more way to it.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    pieces = {**pipeline.pieces}
    for char in alphabet:
        pieces.setdefault(char, len(pieces))
    names = sorted(pieces, key=lambda piece: pieces[piece])
    dense = {piece: index for index, piece in enumerate(names)}
    extended = Pipeline(
        pipeline.kind,
        {**pipeline.spec, "post_processor": None},
        dense,
        pipeline.merges,
        added=pipeline.added,
    )
    spec = spec_of(extended)
    spec["pre_tokenizer"] = json.loads(training_backend(pipeline).to_str())["pre_tokenizer"]
    encoder = Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    apart = {dense[piece] for piece in {token["content"] for token in pipeline.added}}
    if pipeline.kind is not TokenizerKind.byte_level_bpe:
        apart |= {dense[piece] for piece in pipeline.reserved().values()}

    trainee = Tokenizer(models.BPE())
    trainee.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=len(names) + 2 * count,
        min_frequency=2,
        special_tokens=[],
        show_progress=False,
    )
    lines = (line for texts in streams.values() for line in lines_of(texts()))
    trainee.train_from_iterator(_as_letters(encoder, lines, apart), trainer=trainer)

    found: dict[str, None] = {}
    merges: list[Merge] = []
    for left, right in json.loads(trainee.to_str())["model"]["merges"]:
        merge = (_piece(left, names), _piece(right, names))
        piece = "".join(merge)
        if piece not in dense and piece not in found:
            if len(found) == count:
                break
            found[piece] = None
        merges.append(merge)
    return list(found), list(dict.fromkeys(merges))


def _as_letters(encoder: "object", lines: Iterator[str], apart: set[int]) -> Iterator[str]:
    """Each line as words of letters, one letter per token; tokens in ``apart`` end a word."""
    for _, encodings in encode_in_chunks(encoder, lines):  # type: ignore[arg-type]
        for encoding in encodings:
            letters: list[str] = []
            before: int | None = None
            for index, word in zip(encoding.ids, encoding.word_ids, strict=True):
                if index in apart:
                    letters.append(" ")
                    continue
                if word != before:
                    letters.append(" ")
                    before = word
                letters.append(chr(FIRST_LETTER + index))
            yield "".join(letters)


def _piece(letters: str, names: list[str]) -> str:
    return "".join(names[ord(letter) - FIRST_LETTER] for letter in letters)
