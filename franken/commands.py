"""What the small commands (``python -m franken.vocab``, ``.draft``, ...) share.

Numbers that mean nothing are refused where they are typed; an error is one line and exit code 2.
"""

import argparse
import math
import sys
from collections.abc import Callable

from franken.errors import FrankenError


def answered(command: Callable[[], int]) -> int:
    """Exit code of a command: its own, or 2 with the error where its request cannot be met."""
    try:
        return command()
    except FrankenError as error:
        print(f"error: {error}", file=sys.stderr)
    except BrokenPipeError:  # `| head` has seen enough
        sys.stderr.close()
        return 0
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(
            f"error: {where}{error.strerror or error}; name another place, or mend this one",
            file=sys.stderr,
        )
    return 2


def whole(least: int) -> Callable[[str], int]:
    """Type of an argument that is a whole number of at least so much."""

    def read(text: str) -> int:
        digits = text.strip().lstrip("+-")
        count = int(text) if digits.isdecimal() else least - 1
        if count < least:
            raise argparse.ArgumentTypeError(
                f"expected a whole number of at least {least}, got {text!r}"
            )
        return count

    return read


def above_zero(text: str) -> float:
    """Type of an argument that is a finite number above 0."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (math.isfinite(number) and number > 0):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return number
