"""``trim BASE TEXT ... -o DIR``: a model or tokenizer with the pieces that one needs, no others."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.commands import whole
from franken.errors import ConfigError
from franken.vocab.commands.common import check_files, pocket, read_text, save, tokenizer_at

SCRIPTS = {
    "Hans": ["Han"],
    "Hant": ["Han"],
    "Jpan": ["Han", "Hiragana", "Katakana"],
    "Kore": ["Hangul", "Han"],
}
"""ISO 15924 codes that name no script of Unicode's; all others the regex library knows itself."""


def add_to(commands: Any) -> None:
    """Add the command to the parser's."""
    parser = commands.add_parser(
        "trim", help="drop the pieces that text does not use; cut a model's table to match, on disk"
    )
    parser.add_argument("base", metavar="BASE", help="directory of a model, or of a tokenizer")
    parser.add_argument(
        "texts", nargs="*", type=Path, metavar="TEXT",
        help="files of all that the model shall go on reading and writing: plain lines, or JSON "
        "lines with a field text",
    )  # fmt: skip
    parser.add_argument(
        "--languages", nargs="+", default=[], metavar="CODE",
        help="tam_Taml keeps every piece of that script; en, sw, tt: text of the package",
    )  # fmt: skip
    parser.add_argument(
        "--scripts", nargs="+", default=[], help="keep every piece of them: Latin, Tamil, ..."
    )
    parser.add_argument(
        "--min-count",
        type=whole(1),
        default=1,
        help="rarer pieces go, unless others are made of them",
    )
    parser.add_argument("--size", type=whole(1), help="at most so many tokens, in leaf order")
    parser.add_argument(
        "--drop-unused", action="store_true", help="drop <unused7> and the like as well"
    )
    parser.add_argument(
        "--pad-to-multiple", type=whole(1), default=1, metavar="N",
        help="add rows without a token up to a multiple of N (8, 64, 128: faster on accelerators)",
    )  # fmt: skip
    parser.add_argument(
        "--copy", action="store_true",
        help="copy shards without a table instead of hard-linking them",
    )  # fmt: skip
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="DIR")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """Trim, write, and print the report."""
    from franken.files import check_new_directory
    from franken.parts.table_rows import rows_of_checkpoint
    from franken.tokenizer.trim import trim_vocabulary

    check_files(options.texts)
    check_new_directory(options.output)
    scripts, files = languages(options.languages)
    scripts = known_scripts([*options.scripts, *scripts])
    is_model = (Path(options.base) / "config.json").is_file()
    base = (
        rows_of_checkpoint(Path(options.base)).tokenizer if is_model else tokenizer_at(options.base)
    )
    trimmed = trim_vocabulary(
        base,
        (line for path in [*options.texts, *files] for line in read_text(path)),
        scripts=scripts,
        min_count=options.min_count,
        size=options.size,
        drop_idle=options.drop_unused,
    )
    report = trimmed.report
    if is_model:
        report |= _write_model(options, trimmed)
    else:
        save(trimmed.tokenizer, report, options.output)
    print(json.dumps(report, ensure_ascii=False, indent=2))


def languages(codes: Sequence[str]) -> tuple[list[str], list[Path]]:
    """Scripts, and files of text, that codes of languages stand for.

    Raises:
        ConfigError: for a code that says neither.
    """
    scripts: list[str] = []
    files: list[Path] = []
    inside = pocket("train")
    for code in codes:
        script = code.partition("_")[2]
        if script:
            scripts += SCRIPTS.get(script, [script])
        elif code in inside:
            files.append(Path(inside[code]))
        else:
            raise ConfigError(
                f"--languages {code!r}: write it with its script (tam_Taml), which keeps every "
                f"piece of the script, or give text of it; text of {', '.join(inside)} is inside"
            )
    return scripts, files


def known_scripts(names: Sequence[str]) -> list[str]:
    """The names, each once.

    Raises:
        ConfigError: for one that Unicode does not have.
    """
    import regex

    for name in names:
        try:
            regex.compile(rf"\p{{Script={name}}}")
        except regex.error:
            raise ConfigError(
                f"{name!r} is no Unicode script; --scripts takes names such as Latin, Cyrillic, "
                "Ethiopic, --languages codes such as eng_Latn, rus_Cyrl, amh_Ethi"
            ) from None
    return list(dict.fromkeys(names))


def _write_model(options: argparse.Namespace, trimmed: Any) -> dict[str, Any]:
    """The model with the rows of the kept ids, streamed; what the table was and is, in bytes."""
    from franken.files import write_json
    from franken.parts.checkpoint import Checkpoint
    from franken.parts.disk_surgery import replace_tables_on_disk
    from franken.parts.row_selection import selected_rows
    from franken.vocab.commands.common import REPORT_FILE

    directory = Path(options.base)
    rows = selected_rows(
        directory, trimmed.tokenizer, trimmed.source_ids, pad_to_multiple=options.pad_to_multiple
    )
    replace_tables_on_disk(
        directory, rows, options.output, link=not options.copy, lineage=rows.lineage
    )
    sizes = {
        name: sum(path.stat().st_size for path in Checkpoint(place).shards())
        for name, place in (("base", directory), ("new", options.output))
    }
    found = {"rows": rows.count, "weights_bytes": sizes}
    write_json(options.output / REPORT_FILE, {**trimmed.report, **found})
    return found
