"""Training budgets in bytes of text: models of different tokenizers read the same amount."""

from typing import Any

import numpy as np
import numpy.typing as npt

from franken.data.loader import Planner
from franken.errors import DataError
from franken.tokenizer.pieces import canonical_bytes

MAX_STEPS = 10_000_000


def text_bytes_of_tokens(tokenizer: Any) -> npt.NDArray[np.int64]:
    """``(V,)`` bytes of text that each token stands for; 0 for control tokens and unknown ones."""
    return np.array([len(data or b"") for data in canonical_bytes(tokenizer)], dtype=np.int64)


def steps_for_bytes(planner: Planner, sizes: npt.NDArray[np.int64], budget: int) -> tuple[int, int]:
    """Optimiser steps after which a plan has read so many bytes of text.

    Every token is counted where it is first read: what a sequence repeats of a document that it
    continues is not.

    Args:
        planner: the plan of training.
        sizes: bytes of text per token id.
        budget: bytes.

    Returns:
        The first number of steps that reads the budget, and the bytes it reads.

    Raises:
        DataError: where the plan holds no text.
    """
    cursors = planner.start()
    read = step = 0
    while read < budget:
        before = read
        for stream in planner.streams(step):
            packer, cursor = planner.packers[stream], cursors[stream]
            pieces, cursors[stream] = packer.take(cursor)
            again = int(cursor.offset > 0 and not packer.whole)
            for number, piece in enumerate(pieces):
                start = piece.start + (again if number == 0 else 0)
                read += int(sizes[packer.corpus.tokens[start : piece.stop]].sum())
        step += 1
        if read == before or step > MAX_STEPS:
            raise DataError(
                f"step {step} of training reads no text, so a budget of {budget} bytes is never "
                "used up; look at the mixture's data"
            )
    return step, read
