"""Learn WordPiece pieces from text, equally at every call.

The trainer of ``tokenizers`` gives other vocabularies for the same text
(``findings/tokenizers_wordpiece_trainer.sh``). Here letters inside a word become letters of their
own, BPE is learned over these, and what it joins is spelled back with ``##``.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from franken.tokenizer.pipeline import Pipeline
from franken.tokenizer.sampling import Lines, lines_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_INNER = 0xF0000
"""Private code points stand for letters inside a word; letters of text from there on are left
out."""


def learn_wordpiece(
    backend: "Tokenizer", pipeline: Pipeline, streams: Mapping[str, Lines], count: int, longest: int
) -> tuple[list[str], list[str]]:
    """Letters and longer pieces, in WordPiece's spelling, the most frequent and the best first.

    Args:
        backend: an empty tokenizer with the pipeline's normaliser and splits.
        pipeline: gives the spelling of what is inside a word.
        streams: lines per language.
        count: letters and pieces together; at most half of them are letters.
        longest: characters of a piece.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    letters: Counter[str] = Counter()
    for word in _words(backend, streams):
        letters.update([word[0], *(f"{_INNER:x}{char}" for char in word[1:])])
    ranked = sorted(letters, key=lambda letter: (-letters[letter], letter))[: max(1, count // 2)]
    prefix = f"{_INNER:x}"
    kept = [letter.removeprefix(prefix) for letter in ranked if letter.startswith(prefix)]
    inner = {char: chr(_INNER + number) for number, char in enumerate(sorted(kept))}
    first = {letter for letter in ranked if not letter.startswith(prefix)}
    spelled = {own: char for char, own in inner.items()}

    def spelling(piece: str) -> str:
        plain = "".join(spelled.get(char, char) for char in piece)
        return plain if piece[0] in first else f"{pipeline.continuation}{plain}"

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=count, min_frequency=2, initial_alphabet=sorted([*first, *spelled]),
        special_tokens=[], max_token_length=longest, show_progress=False,
    )  # fmt: skip
    known = (
        word[0] + "".join(inner[char] for char in word[1:])
        for word in _words(backend, streams)
        if word[0] in first and all(char in inner for char in word[1:])
    )
    trained.train_from_iterator(known, trainer=trainer)
    by_id = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    alphabet = [
        letter if letter in first else f"{pipeline.continuation}{letter.removeprefix(prefix)}"
        for letter in ranked
    ]
    return alphabet, [spelling(piece) for piece, _ in by_id if len(piece) > 1]


def _words(backend: "Tokenizer", streams: Mapping[str, Lines]) -> Iterator[str]:
    normalizer, splitter = backend.normalizer, backend.pre_tokenizer
    for texts in streams.values():
        for line in lines_of(texts()):
            text = line if normalizer is None else normalizer.normalize_str(line)
            parts = [text] if splitter is None else [w for w, _ in splitter.pre_tokenize_str(text)]
            for word in parts:
                if word.strip() and max(map(ord, word)) < _INNER:
                    yield word
