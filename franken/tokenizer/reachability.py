"""Which pieces text can produce."""

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING

from franken.config.base_model import TokenizerKind
from franken.tokenizer.pieces import PieceEncoder, Reading, encode_pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def unreachable_pieces(
    tokenizer: "PreTrainedTokenizerBase", pieces: Iterable[str], *, reading: Reading | None = None
) -> list[str]:
    """Pieces that no text can produce.

    Each piece's own text goes through normaliser, pre-tokeniser and model, as in the middle of a
    running text. A token is formed inside its own characters, so a piece that its own text does not
    yield as one token is not yielded by any longer text either. Where the model takes a whole word
    without asking its merges (``ignore_merges``), that word alone is such a text.

    Args:
        tokenizer: any fast one.
        pieces: in the model's own spelling; WordPiece's ``##`` pieces have no text of their own.
        reading: of the tokenizer, where it was read before.
    """
    reading = reading or Reading.of(tokenizer)
    asked = [piece for piece in pieces if reading.bytes[reading.pipeline.pieces[piece]]]
    texts = [reading.bytes[reading.pipeline.pieces[piece]] or b"" for piece in asked]
    encoded = PieceEncoder(tokenizer, reading).encode(texts)
    return [
        piece
        for piece, ids in zip(asked, encoded, strict=True)
        if ids != [reading.pipeline.pieces[piece]]
    ]


def shadowed_ids(tokenizer: "PreTrainedTokenizerBase", reading: Reading) -> list[int]:
    """Ids whose text is always written as another token that means the same bytes.

    Llama 2 and Gemma have ``<0x41>`` beside ``A``; the former is in no training text. WordPiece has
    none: its ``##a`` stands where ``a`` cannot.
    """
    if not isinstance(reading.pipeline.kind, TokenizerKind):
        return []
    times = Counter(data for data in reading.bytes if data)
    asked = [(index, data) for index, data in enumerate(reading.bytes) if data and times[data] > 1]
    if not asked:  # an encoder of a large vocabulary takes seconds to make
        return []
    encoded = encode_pieces(tokenizer, [data for _, data in asked], reading=reading)
    return [index for (index, _), ids in zip(asked, encoded, strict=True) if ids != [index]]
