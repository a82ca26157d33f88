"""Answer aligned prompts under an inference option; keep every answer beside the figures."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import Any, ClassVar

from franken.config.data import ChatForm, DataConfig
from franken.config.prompts import DefectPolicy, Portion, PromptsConfig
from franken.data import DataSource, open_data
from franken.files import write_json
from franken.inference.base import Inference, Numbers
from franken.inference.xtransplant import XTransplant
from franken.inference.xtransplant.choices import DonorKind, Site, Stop
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.file_hashes import hash_or_missing
from franken.steps.common.key_parts import options, texts

with later():
    import torch

    from franken.config.root import Config
    from franken.eval_suite.progress import shown_progress
    from franken.inference.xtransplant import rows as row_files
    from franken.inference.xtransplant.bounds import blocks
    from franken.inference.xtransplant.contract import Pair
    from franken.inference.xtransplant.host import Host, open_host
    from franken.inference.xtransplant.plan import absolute, pair_set
    from franken.inference.xtransplant.progress import Progress
    from franken.inference.xtransplant.rows import RowFiles
    from franken.inference.xtransplant.samples import Sample, Tokens, gather
    from franken.inference.xtransplant.scores import scores_of
    from franken.inference.xtransplant.selection import ChosenPairs
    from franken.inference.xtransplant.session import Session
    from franken.parts.model import assemble
    from franken.prompts import Defect, check_prompts, languages_of
    from franken.steps.common.context import StepContext
    from franken.steps.common.models import open_model

log = logging.getLogger(__name__)

_TILING = ("share", "max_rows", "draft_rows", "batch_tokens")


@step
class TransplantStep(Step):
    """Answer aligned prompts under an inference option; holds scores of its own."""

    version: ClassVar[int] = 3
    output: ClassVar[Part] = Part.grid
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "pairs": Part.layer_pairs}
    model: str = ""
    pairs: str | None = None
    """A step that chose a pair per set and language; it takes the place of ``inference.pairs``. One
    pair has no budget to compare, so nothing is sampled."""
    inference: Inference = field(default_factory=Inference)
    prompts: PromptsConfig = field(default_factory=PromptsConfig)
    data: DataConfig = field(default_factory=DataConfig)
    portion: Portion = Portion.pilot
    donor: DonorKind | None = None
    """Takes the place of ``inference.donor``: the controls of one recipe. They repeat neither the
    sampled answers nor the baselines, but for vanilla."""
    site: Site | None = None
    """Takes the place of ``inference.site``."""

    def capabilities(self) -> tuple[str, ...]:
        """Vectors go from one place in a layer to another."""
        return ("layer_grids",)

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.prompts.sets:
            yield "prompts", "holds no set; choose prompts=NAME"
        if self.pairs is not None and self.inference.name == "none":
            yield "pairs", "are used by inference=xtransplant, not by inference=none"

    def key(self, config: Config) -> dict[str, Any]:
        """The grid, the prompts and what stands for the donor."""
        return {
            "inference": _inference(self), "prompts": options(self.prompts, "name"),
            "portion": str(self.portion), "data": texts(self.data), "donor": self.donor,
            "site": self.site,
        }  # fmt: skip

    def check(self, data: DataSource) -> None:
        check_prompts(self.prompts, data, self.portion)

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``rows.parquet``, ``summary.json`` and ``scores.json``.

        While it runs, finished samples lie as Parquet files in the scratch directory that
        ``transplants/<step>.progress.json`` in the run directory names, with rate and time left.
        """
        config = _configured(self)
        model, tokenizer = assemble(
            open_model(context.inputs["model"], context.store), device=context.device,
            dtype=getattr(torch, str(config.dtype)),
        )  # fmt: skip
        host = open_host(model)
        tokens = Tokens(tokenizer, config, host.readout.positions)
        data = open_data(self.data)
        groups, defects = _samples(self, config, data, tokens, context.seed)
        for defect in defects:
            log.warning("%s", defect)
        files = RowFiles(context.scratch / "rows")
        with shown_progress(True, lines=False) as advance:
            progress = Progress(
                context.run_dir / "transplants" / f"{context.name}.progress.json", files.directory,
                lambda done, total: advance(context.name, done, total),
            )  # fmt: skip
            session = Session(
                host, tokens, config, self.prompts, files,
                _pairs(self, config, context, host, groups),
                progress, context.seed,
            )  # fmt: skip
            session.run(groups)
        table = files.join(context.directory / row_files.FILE)
        totals = files.totals()
        sets = blocks(table, host.depth, cut=totals.cut_samples > 0)
        summary = {
            "step": context.name, "model": self.model, "depth": host.depth,
            "inference": {key: _plain(value) for key, value in asdict(config).items()},
            "portion": str(self.portion), "engine_check": session.checked.to_json()
            if session.checked else None,
            "unstable_rows": sum(bool(x) for x in table["unstable"].to_pylist()),
            "unstable_below": session.unstable_below,
            "cut_samples": totals.cut_samples,
            "truncated": sum(sample.truncated for group in groups for sample in group),
            "truncated_baselines": dict(session.truncated),
            "dropped": self.prompts.defects is DefectPolicy.drop,
            "defects": [{**asdict(d), "rows": list(d.rows)[:20], "count": len(d.rows)}
                        for d in defects],
            "sets": sets,
        }  # fmt: skip
        write_json(context.directory / "summary.json", summary)
        prompted = f"{self.model} {self.portion}"
        scores = scores_of(sets, context.name, prompted, _roles(data, groups), _chance(groups))
        write_json(context.directory / "scores.json", list(scores))
        return {
            "rows": table.num_rows, "samples": sum(map(len, groups)),
            "layer_tokens": totals.layer_tokens, "unstable": summary["unstable_rows"],
        }  # fmt: skip


def _configured(step: TransplantStep) -> Inference:
    """The inference option with what the step itself says."""
    config = step.inference
    if isinstance(config, XTransplant):
        if step.donor is not None:
            config = replace(config, donor=step.donor, baselines=["vanilla"], samples=0)
        if step.pairs is not None:
            config = replace(config, samples=0)
        if step.site is not None:
            config = replace(config, site=step.site)
    return config


def _samples(
    step: TransplantStep, config: Inference, data: DataSource, tokens: Tokens, seed: int
) -> tuple[list[list[Sample]], list[Defect]]:
    groups, defects = [], []
    donor = config.donor if isinstance(config, XTransplant) else DonorKind.translation
    stop = config.stop if isinstance(config, XTransplant) else Stop.text
    for name, prompts in step.prompts.sets.items():
        for lang in languages_of(prompts, data):
            samples, found = gather(
                step.prompts, name, data, lang, step.portion, tokens,
                donor=donor, stop=stop, seed=seed,
            )  # fmt: skip
            groups.append(samples)
            defects += found
    return groups, defects


def _pairs(
    step: TransplantStep,
    config: Inference,
    context: StepContext,
    host: Host,
    groups: list[list[Sample]],
) -> Any:
    """(set, language) -> pairs of layers."""
    if not isinstance(config, XTransplant):
        return lambda name, lang: []
    if step.pairs is None and config.pairs != "file":
        pairs: list[Pair] = (
            pair_set(config.pairs, host.depth)
            if isinstance(config.pairs, str)
            else absolute(config.pairs, host.depth)
        )
        return lambda name, lang: pairs
    place = Path(config.pairs_file or "")
    if step.pairs:
        place = context.inputs["pairs"].path / "pairs.json"
    chosen = ChosenPairs.read(place, host.depth)
    chosen.check_disjoint([
        f"{s.pair.set}/{s.pair.lang}/{s.pair.id}" for group in groups for s in group
    ])  # fmt: skip
    return lambda name, lang: [chosen.of(name, lang)]


def _roles(data: DataSource, groups: list[list[Sample]]) -> dict[str, str]:
    config = data.config
    langs = {group[0].pair.lang for group in groups}
    return {
        lang: "source" if lang == config.source_language
        else "target" if lang in config.languages else "other"
        for lang in langs
    }  # fmt: skip


def _chance(groups: list[list[Sample]]) -> dict[str, float | None]:
    found: dict[str, float | None] = {}
    for group in groups:
        own = [sample.pair.target.gold.chance for sample in group]
        known = [value for value in own if value is not None]
        key = f"{group[0].pair.set}/{group[0].pair.lang}"
        found[key] = sum(known) / len(known) if len(known) == len(own) else None
    return found


def _plain(value: Any) -> Any:
    return str(value) if hasattr(value, "name") and isinstance(value, str) else value


def _inference(step: TransplantStep) -> dict[str, Any]:
    """Options that can change a row; the engine counts, as margins and marks are its own.

    In half precision products of other shapes round differently, so there everything counts.
    """
    tiling = _TILING if step.inference.dtype is Numbers.float32 else ()
    content = options(step.inference, "select", *tiling)
    if step.inference.chat is ChatForm.off:
        del content["chat"]  # an option that came later keeps old keys while unset
    path = content.pop("pairs_file", None)
    if step.pairs is not None:
        for unused in ("pairs", "samples", "temperature"):
            content.pop(unused, None)
    elif path and content.get("pairs") == "file":
        content["pairs_file"] = hash_or_missing(path)
    return content
