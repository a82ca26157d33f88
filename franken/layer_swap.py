"""``python -m franken.layer_swap TASK LANGUAGE -o DIR``: outer layers of a language expert."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from franken.commands import answered, whole


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    options = parser().parse_args(sys.argv[1:] if arguments is None else arguments)
    from franken.parts.layer_swap import TablesOf, swap_layers

    def command() -> int:
        swap = swap_layers(
            options.task, options.language, options.output, bottom=options.bottom,
            top=options.top, transition=options.transition, tables=TablesOf(options.tables),
        )  # fmt: skip
        print(json.dumps(asdict(swap)))
        return 0

    return answered(command)


def parser() -> argparse.ArgumentParser:
    """What the command takes."""
    made = argparse.ArgumentParser(prog="python -m franken.layer_swap", description=__doc__)
    made.add_argument("task", type=Path, help="tuned on the task, in the language of its data")
    made.add_argument("language", type=Path, help="tuned on the language, from the same base")
    made.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    made.add_argument("--bottom", type=whole(0), help="default: 5 of 32 layers, in proportion")
    made.add_argument("--top", type=whole(0), help="default: 2 of 32 layers, in proportion")
    made.add_argument("--transition", type=whole(0), default=0, help="averaged layers at each seam")
    made.add_argument("--tables", choices=["language", "task"], default="language")
    return made


if __name__ == "__main__":
    sys.exit(main())
