"""``python -m franken.skillpack``: pack, unpack, inspect, diff, apply, verify; figures."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from franken.commands import answered
from franken.errors import FrankenError

DEFAULT_POLICY = "module_aware"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns 0 fine, 1 damage or differences, 2 a wrong request."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    console = Console(width=None if sys.stdout.isatty() else 160, highlight=False)
    return answered(lambda: int(options.run(options, console)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m franken.skillpack", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    pack = commands.add_parser("pack", help="compress the difference of two checkpoints")
    pack.add_argument("base", type=Path)
    pack.add_argument("tuned", type=Path)
    pack.add_argument("out", type=Path)
    pack.add_argument(
        "overrides", nargs="*", metavar="pack=NAME | pack.KEY=VALUE",
        help=f"policy, as on the franken command line (default: pack={DEFAULT_POLICY})",
    )  # fmt: skip
    pack.add_argument("--name", help="what the pack is called (default: the directory's name)")
    pack.add_argument("--licence", help="terms of teachers and data, kept in the manifest")
    pack.set_defaults(run=_pack)

    unpack = commands.add_parser("unpack", help="write the decoded changes as plain safetensors")
    unpack.add_argument("pack", type=Path)
    unpack.add_argument("out", type=Path, help="a .safetensors file, or with --peft a directory")
    unpack.add_argument("--peft", action="store_true", help="low-rank changes as a LoRA adapter")
    unpack.add_argument(
        "--base", type=Path,
        help="with --peft: the pack's base, so that rows of its tables go along",
    )  # fmt: skip
    unpack.set_defaults(run=_unpack)

    inspect = commands.add_parser("inspect", help="what a pack holds, tensor by tensor")
    inspect.add_argument("pack", type=Path)
    inspect.add_argument("--json", action="store_true")
    inspect.set_defaults(run=_inspect)

    diff = commands.add_parser("diff", help="compare two packs of one base; exit 1 if they differ")
    diff.add_argument("first", type=Path)
    diff.add_argument("second", type=Path)
    diff.set_defaults(run=_diff)

    apply = commands.add_parser("apply", help="write a checkpoint with packs put in")
    apply.add_argument("base", type=Path)
    apply.add_argument("out", type=Path)
    apply.add_argument("packs", type=Path, nargs="+")
    apply.add_argument("--weights", type=float, nargs="+")
    apply.add_argument("--force", action="store_true", help="on a relative of the packs' base")
    apply.set_defaults(run=_apply)

    figures = commands.add_parser("figures", help="score against size, forgetting, from results")
    figures.add_argument("paths", type=Path, nargs="+", help="runs or results.jsonl")
    figures.add_argument("--out", type=Path, help="where size.png and size.json go")
    figures.add_argument(
        "--task", metavar="TASK:METRIC[@LANG]", help="default: what the tuned model learnt best"
    )
    figures.add_argument(
        "--tasks", metavar="TASK:METRIC[@LANG],...",
        default="arithmetic:acc_exact,topic_classification:acc,bits_per_byte:bits_per_byte@id",
        help="in the order in which they are learnt; bits per byte are shown, not averaged",
    )  # fmt: skip
    figures.add_argument("--lang", default="en")
    figures.set_defaults(run=_figures)

    verify = commands.add_parser("verify", help="check bytes and, with --base, ancestry")
    verify.add_argument("packs", type=Path, nargs="+")
    verify.add_argument("--base", type=Path)
    verify.set_defaults(run=_verify)
    return parser


def _pack(options: argparse.Namespace, console: Console) -> int:
    from franken.config.pack import Rounding
    from franken.errors import ConfigError
    from franken.parts.weights import StoredWeights
    from franken.skillpack.extract import pack_difference

    policy = read_policy(options.overrides)
    if policy.quant.method is Rounding.gptq:
        raise ConfigError(
            "pack.quant.method=gptq calibrates on text, of which this command has none; pack in a "
            "recipe (recipe=graft), or choose rtn"
        )
    found = pack_difference(
        StoredWeights.of_checkpoint(options.base), StoredWeights.of_checkpoint(options.tuned),
        policy, options.out, name=options.name or options.out.name,
        notes={"licence": options.licence} if options.licence else None,
    )  # fmt: skip
    dense = found.manifest["size"]["dense_bytes"]
    console.print(
        f"{options.out}: {found.bytes_count} bytes, {100 * found.bytes_count / dense:.2f} % of the "
        f"dense bfloat16 difference, relative error {found.manifest['relF']:.4f}"
    )
    return 0


def read_policy(overrides: Sequence[str]) -> Any:
    """A policy from Hydra overrides of the group ``pack``.

    Raises:
        ConfigError: naming the key that is wrong.
    """
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    from franken.cli.check import check_command_line
    from franken.cli.paths import config_dir
    from franken.config.checks import collect_faults, faults_later
    from franken.config.register import register_schemas
    from franken.errors import ConfigError

    wrong = [text for text in overrides if not text.startswith(("pack=", "pack.", "+pack."))]
    if wrong:
        raise ConfigError(f"{wrong[0]!r} is no override of pack; expected pack=NAME or pack.KEY=V")
    register_schemas(())
    chosen = [f"+{text}" for text in overrides if text.startswith("pack=")]
    values = [text for text in overrides if not text.startswith("pack=")]
    asked = [*(chosen or [f"+pack={DEFAULT_POLICY}"]), *values]
    try:
        with initialize_config_dir(str(config_dir()), version_base="1.3"), faults_later():
            # the group alone: the whole config takes half a second to compose
            policy: Any = OmegaConf.to_object(compose(overrides=asked).pack)
        faults = collect_faults(policy, "pack")
        doubtful = any(text.startswith("+") for text in overrides)  # Hydra adds what nobody reads
    except (HydraException, OmegaConfBaseException):
        doubtful = True
    if doubtful:
        register_schemas()
        faults = check_command_line(list(overrides), config_dir())
    if faults:
        raise ConfigError("\n".join(map(str, faults)))
    return policy


def _unpack(options: argparse.Namespace, console: Console) -> int:
    from franken.parts.skillpack import SkillPack

    pack = SkillPack(options.pack)
    if options.peft:
        from franken.skillpack.peft_export import export_peft

        left_out = export_peft(pack, options.out, base=options.base)
        console.print(f"{options.out}: adapter; not in it: {', '.join(left_out) or 'nothing'}")
        return 0
    from franken.skillpack.unpack import unpack_to_file

    unpack_to_file(pack, options.out)
    console.print(f"{options.out}: {len(pack.names())} decoded changes")
    return 0


def _inspect(options: argparse.Namespace, console: Console) -> int:
    from franken.parts.skillpack import SkillPack

    pack = SkillPack(options.pack)
    if options.json:
        print(json.dumps(pack.manifest, indent=2, ensure_ascii=False, allow_nan=False))
        return 0
    table = RichTable("tensor", "class", "form", "shape", "detail", "relF", "bytes")
    for name, item in sorted(pack.tensors.items()):
        table.add_row(
            name, str(item.get("class", "")), item["form"], "x".join(map(str, item["shape"])),
            _detail(item), f"{item.get('relF', 0.0):.4f}", str(item["bytes"]),
        )  # fmt: skip
    console.print(table)
    size = pack.manifest["size"]
    console.print(
        f"{pack.name}: {pack.bytes_count} bytes on disk ({size['payload']} payload, "
        f"{size['header']} header, the rest manifest), "
        f"{100 * pack.bytes_count / size['dense_bytes']:.2f} % of the dense bfloat16 difference; "
        f"made on body {pack.body[:12]}"
    )
    for name in pack.manifest["skipped"]:
        console.print(f"skipped: {name}")
    return 0


def _detail(item: dict[str, Any]) -> str:
    if item["form"] == "lowrank":
        shown = " ".join(f"{columns}@{bits}" for bits, columns, *_ in item["groups"])
        excess = item.get("excess")
        return shown if excess is None else f"{shown}, SVD {100 * excess:.3f} % above the best"
    if item["form"] == "sparse":
        return f"{item['nnz']} entries @{item['bits']}, {item['index']}"
    return str(item.get("dtype", ""))


def _diff(options: argparse.Namespace, console: Console) -> int:
    from franken.parts.skillpack import SkillPack
    from franken.skillpack.unpack import compare

    rows = compare(SkillPack(options.first), SkillPack(options.second))
    table = RichTable("tensor", "relative distance", "cosine", "bytes", "bytes of the other")
    differ = False
    for row in rows:
        differ |= row.distance > 0
        table.add_row(
            row.name, f"{row.distance:.6f}", f"{row.cosine:.6f}", str(row.bytes_first),
            str(row.bytes_second),
        )  # fmt: skip
    console.print(table)
    return int(differ)


def _apply(options: argparse.Namespace, console: Console) -> int:
    from franken.parts.skillpack import SkillPack
    from franken.skillpack.apply import apply_to_checkpoint

    apply_to_checkpoint(
        options.base, [SkillPack(path) for path in options.packs], options.out,
        weights=options.weights, check=not options.force,
    )  # fmt: skip
    console.print(f"{options.out}: written")
    return 0


def _figures(options: argparse.Namespace, console: Console) -> int:
    from franken.errors import DataError
    from franken.skillpack import plots as figures

    records = figures.read_all(options.paths)
    order = [figures.Task(*_task(text, options.lang)) for text in options.tasks.split(",")]
    learnt = figures.forgetting_of(records, order)
    if learnt:
        names = [f"{task.name} after {len(order)}" for task in order]
        table = RichTable("method", *names, "average", "forgetting", "backward transfer")
        for found in learnt:
            last = [
                f"{100 * value:.1f}" if task.counts else f"{value:.3f}"
                for task, value in zip(order, found.scores[-1], strict=True)
            ]
            means = (found.average, found.forgetting, found.backward_transfer)
            table.add_row(found.method, *last, *(f"{100 * value:.1f}" for value in means))
        console.print(table)
    asked = _task(options.task, options.lang) if options.task else figures.learnt_task(records)
    task, metric, lang = asked or ("arithmetic", "acc_exact", options.lang)
    try:
        points = figures.size_points(records, task=task, metric=metric, lang=lang)
    except DataError as error:
        if not learnt:
            raise
        console.print(f"no figure of sizes: {error}")
        return 0
    table = RichTable("pack", "bytes", "% of dense", metric, "gain kept")
    for point in points:
        kept = "-" if point.recovery is None else f"{100 * point.recovery:.1f} %"
        row = (point.policy, str(point.bytes), f"{100 * point.ratio:.1f}", f"{point.score:.4f}")
        table.add_row(*row, kept)
    console.print(table)
    if options.out:
        figures.write_size_figure(points, options.out / "size", title=f"{task} ({lang})")
        console.print(f"figure: {options.out / 'size.png'}")
    return 0


def _task(text: str, lang: str) -> tuple[str, str, str]:
    whole, _, own = text.partition("@")
    task, _, metric = whole.partition(":")
    return task, metric or "acc", own or lang


def _verify(options: argparse.Namespace, console: Console) -> int:
    from franken.parts.skillpack import SkillPack, check_base
    from franken.parts.weights import StoredWeights

    base = StoredWeights.of_checkpoint(options.base) if options.base else None
    faults = 0
    for path in options.packs:
        try:
            pack = SkillPack(path)
            if base is not None:
                check_base(pack, base)
        except FrankenError as error:
            faults += 1
            console.print(f"{path}: {error}")
        else:
            console.print(f"{path}: fine")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
