"""Which pieces text can produce."""

from typing import Any


def is_reachable(model: Any, piece: str) -> bool:
    """Whether the model writes ``piece`` as one token.

    Exact for BPE, Unigram and word-initial pieces of WordPiece: a token is formed inside its own
    characters, so a piece that its own spelling does not yield is not yielded by any longer text
    either.

    Args:
        model: The model of a ``tokenizers`` backend.
        piece: In the model's own spelling.
    """
    tokens = model.tokenize(piece)
    return len(tokens) == 1 and tokens[0].value == piece
