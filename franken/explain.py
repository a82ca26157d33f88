"""Where the rows of a new table came from.

``python -m franken.explain MAP [PIECE ...]`` explains pieces, ``--worst N`` the rows with the least
support; ``python -m franken.explain compare MAP MAP`` sets two maps beside each other;
``python -m franken.explain --new RUN`` says what became of new tokens (a task ``new_tokens``).
"""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franken.commands import answered, whole
from franken.errors import ArtifactError, DataError
from franken.token_map.storage import load_map

if TYPE_CHECKING:
    from rich.console import Console

    from franken.token_map.token_map import TokenMap

_COLOURS = {
    "special": "magenta",
    "copied": "green",
    "computed": "cyan",
    "fallback": "yellow",
    "padding": "dim",
    "given": "blue",
}
_BAR = 24


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry of the command; returns the exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["compare"]:
        compared = _compare_parser().parse_args(given[1:])
        return answered(lambda: _compare(compared))
    if given[:1] == ["--new"]:
        asked = _new_parser().parse_args(given[1:])
        return answered(lambda: _new_tokens(asked))
    options = _parser().parse_args(given)
    return answered(lambda: _explain(options))


def _explain(options: argparse.Namespace) -> int:
    token_map = load_map(find_map(options.map))
    answer = _answer(token_map, options.piece, options.worst)
    _give(answer, _show, as_json=options.json)
    for problem in answer.get("unknown", []):
        print(f"error: {problem}", file=sys.stderr)
    return 2 if "unknown" in answer else 0


def find_map(place: Path) -> Path:
    """The directory itself, or the one map below it (a step's artefact holds ``token_map/``)."""
    if (place / "token_map.json").is_file():
        return place
    found = sorted(path.parent for path in place.glob("*/token_map.json"))
    if len(found) == 1:
        return found[0]
    listed = f" (several: {', '.join(map(str, found))})" if found else ""
    raise ArtifactError(
        f"{place} holds no token_map.json{listed}; name the token_map directory of an initialise "
        "step, see python -m franken.store list"
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m franken.explain",
        description="Where the rows of a new table came from.",
        epilog="python -m franken.explain compare MAP MAP sets two maps beside each other.",
    )
    parser.add_argument("map", type=Path, help="directory of a token map, or of its step")
    parser.add_argument("piece", nargs="*", help='pieces of the new vocabulary, e.g. "nyumba"')
    parser.add_argument("--worst", type=whole(1), metavar="N", help="the N least supported rows")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _compare_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m franken.explain compare",
        description="How two maps over one source vocabulary differ.",
    )
    parser.add_argument("first", type=Path, help="directory of a token map, or of its step")
    parser.add_argument("second", type=Path)
    parser.add_argument(
        "--top", type=whole(1), default=10, metavar="N", help="rows that differ most"
    )
    parser.add_argument("--part", choices=("input", "output"), default="input")
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _new_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m franken.explain --new",
        description="What became of the new tokens of a vocabulary.",
    )
    parser.add_argument("run", type=Path, help="directory of a run whose suite has new_tokens")
    parser.add_argument("piece", nargs="*", help="new pieces to look up")
    parser.add_argument("--dead", type=whole(1), default=10, metavar="N",
                        help="the N most frequent new tokens that are never produced")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="for machines")
    return parser


def _new_tokens(options: argparse.Namespace) -> int:
    from franken.report.new_tokens import most_used_dead, new_token_table
    from franken.report.runs import load_groups

    runs = [run for group in load_groups([options.run]) for run in group]
    table = new_token_table(record for run in runs for record in run.records)
    if table is None:
        raise ArtifactError(
            f"{options.run} holds no figures of new tokens; score an adapted model with a task "
            "of kind new_tokens, e.g. eval_suite=adaptation"
        )
    items = {
        file.stem: [json.loads(line) for line in file.read_text("utf-8").splitlines()]
        for file in sorted(options.run.glob("**/new_tokens/*.jsonl"))
    }
    if options.piece:
        wanted = set(map(_bare, options.piece))
        found = {
            model: [item for item in own if _bare(item["piece"]) in wanted]
            for model, own in items.items()
        }
    else:
        found = {model: most_used_dead(own, options.dead) for model, own in items.items()}
    seen = {_bare(item["piece"]) for own in found.values() for item in own}
    unknown = [piece for piece in options.piece if _bare(piece) not in seen]
    for piece in unknown:
        print(
            f"error: {piece!r} is no new token that was read or written in {options.run}",
            file=sys.stderr,
        )
    if options.json:
        rows = [dict(zip(table.keys, label, strict=True)) for label in table.labels]
        print(json.dumps({"rows": rows, "tokens": found}, ensure_ascii=False, indent=2))
        return 2 if unknown else 0
    from rich.console import Console

    from franken.report.text import print_table

    console = Console(highlight=False)
    print_table(table, console)
    for model, own in found.items():
        console.print(f"{model}: {'looked up' if options.piece else 'read but never produced'}")
        for item in own:
            known = item.get("probability")
            console.print(
                f"  {item['lang']:<6} {item['piece']:<24} in the text {item['in_text']:>6,}  "
                f"most likely {item['most_likely']:>6,}  written {item['written']:>5,}"
                + (f"  probability {known:.4f}" if known is not None else ""),
                markup=False,
                soft_wrap=True,
            )
    return 2 if unknown else 0


def _bare(piece: str) -> str:
    """A piece without the sign of a leading space."""
    return piece.lstrip("\u2581 ")


def _compare(options: argparse.Namespace) -> int:
    from franken.token_map.compare import compare_maps

    maps = [load_map(find_map(place)) for place in (options.first, options.second)]
    answer = compare_maps(*maps, top=options.top, part=options.part)
    _give(answer, _show_comparison, as_json=options.json)
    return 0


def _give(
    answer: dict[str, Any], show: Callable[[dict[str, Any], "Console"], None], *, as_json: bool
) -> None:
    """Print an answer, for machines or for people."""
    if as_json:
        print(json.dumps(answer, ensure_ascii=False, indent=2))
        return
    from rich.console import Console

    show(answer, Console(highlight=False))


def _show_comparison(answer: dict[str, Any], console: "Console") -> None:
    from rich.text import Text

    head = Text(f"{answer['methods'][0]}  |  {answer['methods'][1]}", style="bold")
    head.append(f"  {answer['common_rows']:,} tokens in both", style="not bold dim")
    if any(answer["only_one"]):
        ones = " and ".join(f"{count:,}" for count in answer["only_one"])
        head.append(f", {ones} in one only", style="not bold dim")
    console.print(head)
    for move in answer["moved"]:
        line = Text("  ")
        line.append(f"{move['first']:<9}", style=_COLOURS[move["first"]])
        line.append(" -> ", style="dim")
        line.append(f"{move['second']:<9}", style=_COLOURS[move["second"]])
        share = move["rows"] / answer["common_rows"]
        line.append(f"{move['rows']:>9,}  {share:>6.1%}  {'█' * round(share * _BAR)}")
        console.print(line)
    console.print(
        Text(f"  same weights {answer['same_weights']:,}", style="dim").append(
            f"; of {answer['judged_rows']:,} rows weighted in both and not copied in both"
            if answer["judged_rows"]
            else ""
        )
    )
    if answer["judged_rows"]:
        for name, words in (
            ("jaccard", "source rows in common"),
            ("cosine", "cosine of the weights"),
            ("l1", "L1 distance (0 equal, 2 disjoint)"),
        ):
            console.print(Text(f"  {answer[name]:>9.3f}  mean {words}"))
    if answer["differing"]:
        console.print(Text("rows that differ most", style="bold"))
    width = max(map(len, answer["methods"]))
    for found in answer["differing"]:
        line = Text(f"  {found['l1']:>6.3f}  ")
        console.print(line.append(found["piece"], style="bold"))
        for side, name in enumerate(("first", "second")):
            line = Text(f"{'':10}{answer['methods'][side]:<{width}}  ", style="dim")
            words = found[name].split(" <- ", 1)[-1]
            line.append(words, style=f"not dim {_COLOURS[found['provenance'][side]]}")
            console.print(line, overflow="ellipsis", no_wrap=True)


def _answer(token_map: "TokenMap", pieces: list[str], worst: int | None) -> dict[str, Any]:
    from franken.token_map.explain import explain, explain_row, worst_rows

    answer: dict[str, Any] = {
        "method": token_map.notes.get("method", ""),
        "rows": token_map.rows,
        "source_rows": token_map.source_rows,
        "counts": token_map.counts(),
    }
    for piece in pieces:
        try:
            answer.setdefault("pieces", []).extend(explain(token_map, piece))
        except DataError as error:
            answer.setdefault("unknown", []).append(str(error))
    if worst is not None:
        answer["worst"] = [explain_row(token_map, row) for row in worst_rows(token_map, worst)]
    return answer


def _show(answer: dict[str, Any], console: "Console") -> None:
    from rich.text import Text

    if "pieces" not in answer and "worst" not in answer:
        _show_counts(answer, console)
    for found in answer.get("pieces", []):
        _show_piece(found, console)
    if answer.get("worst"):
        console.print(Text("least supported rows", style="bold"))
        for found in answer["worst"]:
            console.print(_line(found))


def _show_counts(answer: dict[str, Any], console: "Console") -> None:
    from rich.text import Text

    head = Text(answer["method"], style="bold")
    head.append(f"  {answer['rows']:,} rows from {answer['source_rows']:,}", style="not bold dim")
    console.print(head)
    for kind, count in answer["counts"].items():
        share = count / max(answer["rows"], 1)
        bar = "█" * round(share * _BAR)
        console.print(Text(f"  {kind:<9}{count:>9,}  {share:>6.1%}  {bar}", style=_COLOURS[kind]))


def _show_piece(found: dict[str, Any], console: "Console") -> None:
    from rich.text import Text

    head = Text(found["piece"], style="bold")
    head.append(f"  id {found['id']}  ", style="not bold dim")
    head.append(found["provenance"], style=f"not bold {_COLOURS[found['provenance']]}")
    console.print(head)
    console.print(Text(f"  {found['how']}", style="dim"))
    _show_sources(found["sources"], _COLOURS[found["provenance"]], console)
    rest = found["source_count"] - len(found["sources"])
    if rest:
        console.print(Text(f"  and {rest} more", style="dim"))
    if "output_sources" in found:
        console.print(Text("  output embeddings:", style="dim"))
        _show_sources(found["output_sources"], _COLOURS[found["provenance"]], console)


def _show_sources(sources: list[dict[str, Any]], colour: str, console: "Console") -> None:
    from rich.text import Text

    heaviest = max((abs(item["weight"]) for item in sources), default=1.0) or 1.0
    for item in sources:
        bar = "█" * max(1, round(abs(item["weight"]) / heaviest * _BAR))
        line = Text(f"  {item['weight']:>7.3f}  ")
        line.append(f"{bar:<{_BAR}}", style=colour)
        line.append(f"  {item['piece']}")
        console.print(line)


def _line(found: dict[str, Any]) -> "Any":
    from rich.text import Text

    line = Text(f"  {found['id']:>7}  ")
    line.append(f"{found['piece']:<20}", style="bold")
    line.append(f" {found['provenance']:<9}", style=_COLOURS[found["provenance"]])
    shares = ", ".join(f"{item['weight']:.2f} {item['piece']}" for item in found["sources"][:4])
    rest = found["source_count"] - min(4, len(found["sources"]))
    line.append(f" <- {shares}" + (f" and {rest} more" if rest else "") if shares else found["how"])
    return line


if __name__ == "__main__":
    sys.exit(main())
