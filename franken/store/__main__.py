"""``python -m franken.store``: list, explain, verify and prune what was computed."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from franken.errors import FrankenError
from franken.store import tables
from franken.store.artifact import Artifact
from franken.store.difference import explain_difference
from franken.store.disk import disk_faults, megabytes
from franken.store.graph import Graph
from franken.store.prune import Policy, apply_prune, plan_prune
from franken.store.root import require_store
from franken.store.store import Store, resolve
from franken.store.verify import inspect


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0 fine, 1 damage found, 2 a wrong request."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    root = Path(options.root)
    width = None if sys.stdout.isatty() else 160
    console = Console(width=width, highlight=False, soft_wrap=False)
    try:
        with disk_faults(options.command, root):
            require_store(root)
            code: int = options.run(Store(root), options, console)
    except FrankenError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    return code


def _common() -> argparse.ArgumentParser:
    """Options that stand before or after the command; anew each time, for parsers share them."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument("--root", metavar="DIR", help="the store (default: outputs/store)")
    common.add_argument("--json", action="store_true", help="print JSON for machines")
    return common


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m franken.store", description=__doc__, parents=[_common()]
    )
    commands = parser.add_subparsers(dest="command", required=True)

    listing = commands.add_parser("list", parents=[_common()], help="all artefacts, oldest first")
    listing.add_argument("--kind", help="only artefacts of this kind")
    listing.set_defaults(run=_list)

    explain = commands.add_parser(
        "explain", parents=[_common()], help="what an artefact was made from, and why it is another"
    )
    explain.add_argument("key", help="first digits of the key")
    explain.add_argument("--against", metavar="KEY", help="show in what the two differ")
    explain.set_defaults(run=_explain)

    verify = commands.add_parser(
        "verify", parents=[_common()], help="compare every file with its sha256; exit 1 on damage"
    )
    verify.add_argument("keys", nargs="*", metavar="KEY", help="first digits; all when left out")
    verify.set_defaults(run=_verify)

    prune = commands.add_parser(
        "prune",
        parents=[_common()],
        help="remove what nothing needs (shows the plan; --yes carries it out)",
        description="Without --runs, --keep-kind or --older-than no artefact is touched. With one "
        "of them all artefacts go that nothing kept needs. Do not prune by runs while "
        "a run goes on whose directory is not named.",
    )
    prune.add_argument(
        "--runs", nargs="+", type=Path, default=[], metavar="DIR", help="keep what these refer to"
    )
    prune.add_argument("--keep-kind", action="append", default=[], metavar="KIND")
    prune.add_argument("--older-than", type=_days, metavar="DAYS", help="keep what is younger")
    prune.add_argument("--scratch", action="store_true", help="also unfinished work")
    prune.add_argument("--damaged", action="store_true", help="also what was moved to damaged/")
    prune.add_argument("--yes", action="store_true", help="remove; without it nothing is changed")
    prune.set_defaults(run=_prune)
    parser.set_defaults(root="outputs/store", json=False)
    return parser


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = -1.0
    if not 0 <= days < 1e6:
        raise argparse.ArgumentTypeError(f"expected a number of days from 0, got {text!r}")
    return days


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def _summary(artifact: Artifact) -> dict[str, Any]:
    names = ("kind", "key", "label", "size", "created", "seconds", "inputs", "path")
    return {name: getattr(artifact, name) for name in names}


def _list(store: Store, options: argparse.Namespace, console: Console) -> int:
    found = sorted(store.entries(), key=lambda item: (item.created, item.kind, item.key))
    if options.kind is not None:
        found = [item for item in found if item.kind == options.kind]
    if options.json:
        _print_json([_summary(item) for item in found])
        return 0
    if found:
        console.print(tables.list_table(found))
    console.print(f"{len(found)} artefacts, {megabytes(sum(item.own_size for item in found))}")
    for name, hint in (("scratch", "unfinished"), ("damaged", "damaged")):
        place = store.root / name
        count = len(list(place.iterdir())) if place.is_dir() else 0
        if count:
            console.print(f"{count} {hint} in {place} (prune --{name})")
    return 0


def _explain(store: Store, options: argparse.Namespace, console: Console) -> int:
    artifact = resolve(store, options.key)
    graph = Graph(store)
    if options.against is None:
        if options.json:
            inputs = {k: _summary(graph.artifacts[k]) for k in graph.reachable([artifact.key])
                      if k in graph.artifacts}  # fmt: skip
            _print_json({"manifest": artifact.manifest, "artifacts": inputs})
            return 0
        console.print(tables.input_tree(graph, artifact))
        console.print(tables.facts_table(artifact))
        return 0
    other = resolve(store, options.against)
    found = explain_difference(graph, artifact, other)
    if options.json:
        _print_json([item.as_dict() for item in found])
    elif found:
        console.print(tables.difference_table(artifact, other, found))
    else:
        console.print("the same artefact: nothing differs")
    return 0


def _verify(store: Store, options: argparse.Namespace, console: Console) -> int:
    places = list(store.places())
    if options.keys:
        wanted = [prefix.rpartition("/")[2] for prefix in options.keys]
        chosen = [place for place in places if place.name.startswith(tuple(wanted))]
        for prefix in wanted:
            if not any(place.name.startswith(prefix) for place in chosen):
                resolve(store, prefix)  # raises, and says what there is
        places = chosen
    faults = [fault for place in places for fault in inspect(place)[1]]
    damaged = {place for place in places if any(place in (f.file, *f.file.parents) for f in faults)}
    if options.json:
        _print_json(
            {
                "checked": len(places),
                "damaged": sorted(str(place) for place in damaged),
                "faults": [vars(fault) for fault in faults],
            }
        )
    else:
        for fault in faults:
            console.print(f"damaged: {fault}", markup=False, soft_wrap=True)
        console.print(f"{len(places)} artefacts checked, {len(damaged)} damaged")
        if damaged:
            console.print("The next run that needs them moves them aside and does them again.")
    return 1 if faults else 0


def _prune(store: Store, options: argparse.Namespace, console: Console) -> int:
    policy = Policy(
        runs=tuple(options.runs),
        keep_kinds=tuple(options.keep_kind),
        older_than_days=options.older_than,
        scratch=options.scratch,
        damaged=options.damaged,
    )
    plan = plan_prune(store, policy)
    removed = apply_prune(store, plan) if options.yes else []
    if options.json:
        _print_json(
            {
                "removals": [vars(item) for item in plan.removals],
                "removed": [item.path for item in removed],
                "kept": plan.kept,
                "unknown_keys": plan.unknown,
                "bytes": plan.size,
            }
        )
        return 0
    if plan.removals:
        console.print(tables.plan_table(plan))
    if plan.unknown:
        console.print(f"{len(plan.unknown)} keys named by runs are not in this store")
    if options.yes:
        freed = megabytes(sum(item.size for item in removed))
        console.print(f"removed {len(removed)} directories, {freed}; kept {plan.kept} artefacts")
    else:
        console.print(
            f"would remove {len(plan.removals)} directories, {megabytes(plan.size)}, and keep "
            f"{plan.kept} artefacts. Nothing was changed; --yes carries this out."
        )
        if not policy.touches_artifacts:
            console.print(
                "No artefact is up for removal without --runs, --keep-kind, --older-than."
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
