"""``python -m franken.vocab``: compare tokenizers; extend, adapt or trim one."""

import argparse
import sys
from collections.abc import Sequence

from franken.commands import answered
from franken.vocab.commands import compare, extend, trim


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m franken.vocab", description=__doc__)
    commands = made.add_subparsers(dest="command", required=True)
    for command in (compare, extend, trim):
        command.add_to(commands)
    return made


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)

    def command() -> int:
        options.run(options)
        return 0

    return answered(command)


if __name__ == "__main__":
    sys.exit(main())
