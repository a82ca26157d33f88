"""``python -m franken.declare``: write the files that say what the declarations say.

``--write`` writes them; without it, stale ones are listed and the exit code is 1.
"""

import argparse
import sys

from franken.cli.paths import config_dir
from franken.declare.files import stale_files, written_files
from franken.declare.tables import docs_with_tables
from franken.files import write_atomically


def main() -> int:
    """Exit code: 0 all fresh (or written), 1 some are stale."""
    parser = argparse.ArgumentParser(prog="python -m franken.declare", description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the stale files")
    write = parser.parse_args().write
    conf = config_dir()
    stale = stale_files(conf)
    texts = {**written_files(conf), **docs_with_tables(conf.parent / "docs")}
    for path in stale:
        if write:
            write_atomically(path, texts[path].encode())
        print(f"{'written' if write else 'stale'}: {path}")
    return int(bool(stale) and not write)


if __name__ == "__main__":
    sys.exit(main())
