"""``python -m franken --help``: groups, options and experiments with one line each."""

from collections.abc import Iterator
from pathlib import Path

from franken.declare import entry_points_of

ADDED = {"eval_set": "+eval_set@data.evaluation.TASK", "experiment": "+experiment"}
"""Groups without a default, as they are written on the command line."""

USAGE = """\
franken: cross-lingual vocabulary and embedding surgery on language models

  python -m franken +experiment=NAME [GROUP=OPTION ...] [KEY=VALUE ...]   one run
  python -m franken -m +experiment=NAME GROUP=A,B seed=0,1,2              a grid of runs
  (with sweep.take=free started any number of times: each takes jobs that nobody has)

  --estimate            memory and time of the job's trainings, and stop
  --cfg job             print the composed config and stop
  --info defaults-tree  show how it is composed
  --config-dir DIR      a directory of your own options and experiments
  -sc install=bash      shell completion
  --hydra-help          Hydra's own flags

  python -m franken.report PATH...    rebuild or compare the reports of any runs
  python -m franken.store  list       what is computed; explain, verify, prune
  python -m franken.explain MAP WORD  where the row of a token came from
"""


def groups_of(conf: Path) -> list[str]:
    """The groups in the order of ``config.yaml``'s defaults list, then those without a default."""
    lines = (conf / "config.yaml").read_text(encoding="utf-8").splitlines()
    chosen = [
        line.strip("- ").removeprefix("override ").partition(":")[0]
        for line in lines
        if line.startswith("  - ")
    ]
    return [*(name for name in chosen if (conf / name).is_dir()), *ADDED]


def summary_of(path: Path) -> str:
    """The comment lines at the head of a YAML file, as one line; what is for tools is left out."""
    words = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("# ").strip()
        if not text.startswith(("@package", "Written from ")):
            words.append(text)
    return " ".join(words)


def options_of(group: str, conf: Path) -> Iterator[tuple[str, str]]:
    """Names of a group's options with their one-line meanings; nested ones as ``paper/name``."""
    for path in sorted((conf / group).rglob("*.yaml")):
        yield path.relative_to(conf / group).with_suffix("").as_posix(), summary_of(path)
    if points := entry_points_of(group):
        from franken.declare.reading import summary

        for point in points:
            yield point.name, f"{summary(point.load())} (from {point.value.partition(':')[0]})."


def help_text(conf: Path) -> str:
    """The whole help page."""
    parts = [USAGE]
    for group in groups_of(conf):
        options = list(options_of(group, conf))
        width = max((len(name) for name, _ in options), default=0)
        parts.append(ADDED.get(group, group))
        parts += [f"  {name:<{width}}  {summary}" for name, summary in options]
        parts.append("")
    return "\n".join(parts)
