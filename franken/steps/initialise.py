"""Make the first rows of a table for a new tokenizer, through a token map."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, field, fields
from pathlib import Path
from typing import Any, ClassVar

from franken.alignment.gold import GoldAlignment
from franken.config.checks import hint
from franken.config.data import DataConfig
from franken.config.training import TrainingConfig
from franken.data import open_data
from franken.data.source import ROLES, DataSource
from franken.errors import DataError
from franken.files import sampled_hash, write_json
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.side_resource.base import side_resources
from franken.steps.base import HERE, Part, Step, step
from franken.steps.common.key_parts import precision_of, split_of, texts, training_options

with later():
    from franken.alignment.gold import has_links
    from franken.config.root import Config
    from franken.init_method import InitResources, closeness, fit_map, initialise
    from franken.init_method.gold_alignment import GoldAlignmentInit
    from franken.measure import measured
    from franken.parts.table import Table, load_table, save_table
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.seeds import derive_seed
    from franken.steps.common.context import StepContext
    from franken.steps.common.initialise_large import initialise_large, is_large
    from franken.steps.common.models import open_model, read_places, write_model
    from franken.token_map.storage import save_map


@step
class InitialiseStep(Step):
    """Make the first rows of a table for a new tokenizer."""

    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"base": Part.model, "tokenizer": Part.vocabulary}
    base: str = ""
    tokenizer: str = ""
    method: InitMethod = field(default_factory=InitMethod)
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    """What a learned method trains on."""
    resources: dict[str, str] = field(default_factory=lambda: {})
    """Side resource -> step that makes it, where it is not the one that the graph adds for what
    the method needs."""

    def references(self) -> dict[str, str]:
        """The side resources that the method needs, too."""
        needed = {need: self.resources[need] for need in self.wants() if need in self.resources}
        return {**super().references(), **needed}

    def wanted(self, place: str) -> Part:
        """What a side resource is made of is said where it is declared."""
        known = side_resources()
        return known[place].part if place in known else super().wanted(place)

    def wants(self) -> list[str]:
        """Side resources that the method needs; the roles of the data are none."""
        return sorted(self.method.needs() & side_resources().keys())

    def side_steps(self, config: Config) -> dict[str, Step]:
        """A step for every side resource that the recipe names no step for."""
        known = side_resources()
        return {
            need: known[need].step(config, self.data, self.base, self.tokenizer)
            for need in self.wants()
            if need not in self.resources
        }

    def take_side_step(self, place: str, name: str) -> None:
        self.resources = {**self.resources, place: name}

    def faults(self) -> Iterator[tuple[str, str]]:
        for name in self.resources:
            if name not in side_resources():
                yield "resources", f"{name!r} is no side resource.{hint(name, side_resources())}"

    def key(self, config: Config) -> dict[str, Any]:
        """The split counts where the method learns."""
        content = {"method": method_options(self.method), "data": texts(self.data)}
        if self.method.learned:
            content["split"] = split_of(self.data, self.split)
            content["run"] = {"precision": precision_of(config)}
        return content

    def check(self, data: DataSource) -> None:
        languages = self.data.languages
        for role in sorted(self.method.needs() & set(ROLES)):
            if not any(data.has(role, language) for language in languages):
                raise DataError(
                    f"init_method={self.method.name} reads the role {role}, and data="
                    f"{self.data.name} has none for {', '.join(languages)}; name a source "
                    f"data.{role}, or choose another init_method, such as subtoken_mean"
                )

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes the table, and beside it the token map that says where each row came from."""
        base = context.inputs["base"]
        place = open_model(base, context.store).table
        large = is_large(place) and not self.method.learned
        source = load_table(place, mapped=large)
        tokenizer = load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
        resources = _resources(self, context)
        seed = derive_seed(context.seed, "init_method", self.method.name)
        with measured() as cost:
            if large:
                table, token_map = initialise_large(
                    place, source, tokenizer, self.method, resources, seed,
                    context.directory / "table",
                )  # fmt: skip
            else:
                table, token_map = initialise(source, tokenizer, self.method, resources, seed)
            if self.method.learned:
                from franken.steps.common.learn import learn

                table, token_map = learn(self, context, source, table, token_map)
        if not large:
            save_table(table, context.directory / "table")
        save_map(token_map, context.directory / "token_map")
        self.method.save_beside(token_map, source, context.directory)
        write_json(context.directory / "report.json", table.provenance)
        places = read_places(base)
        write_model(
            context, body=places["body"], table=[HERE, "", "table"], deltas=places["deltas"],
            lineage=places["lineage"], fingerprint=places["fingerprint"],
        )  # fmt: skip
        return {
            "method": self.method.name, "rows": token_map.counts(), "fit_seconds": cost.seconds,
            "fit_peak_bytes": cost.peak_bytes, "gold": _to_gold(self, source, table, seed),
        }  # fmt: skip


def _to_gold(
    step: InitialiseStep, source: Table, table: Table, seed: int
) -> dict[str, float | int] | None:
    """How near the rows are to those of the true word links; ``None`` where the data has none."""
    data, known = open_data(step.data), {}
    for language in step.data.languages:
        if data.has("parallel", language) and has_links(data.pairs(language)):
            known[language] = GoldAlignment().align(data.pairs(language), language)
    if not known:
        return None
    resources = InitResources(step.data.source_language, step.data.languages, alignments=known)
    reference = fit_map(source, table.tokenizer, GoldAlignmentInit(), resources, seed)
    return closeness(table.input, reference, source.input)


def _resources(step: InitialiseStep, context: StepContext) -> InitResources:
    """What the method needs, from the data and from the steps that made it."""
    data, languages = open_data(step.data), step.data.languages
    known = [language for language in languages if data.has("lexicon", language)]
    resources = InitResources(
        source_language=step.data.source_language,
        languages=list(languages),
        lexicons={language: data.lexicon(language) for language in known},
        texts=lambda language: data.texts("monolingual", language),
        device=context.device,
    )
    known_sides = side_resources()
    for name, artifact in context.inputs.items():
        if name in known_sides:
            known_sides[name].read(artifact.path, resources)
    return resources


def method_options(method: InitMethod) -> dict[str, Any]:
    """Options, with the content of the files they name in place of the paths.

    Raises:
        DataError: when one of these files is not there.
    """
    content = asdict(method)
    plain = {each.name: each.default for each in fields(method)}
    for name in method.came_later:
        if content[name] == plain[name]:
            del content[name]
    if method.version > 1:
        content["version"] = method.version
    for option, path in method.paths().items():
        place = Path(path).expanduser()
        files = sorted(place.glob("*")) if place.is_dir() else [place]
        if not path or not place.exists():
            raise DataError(
                f"init_method={method.name} reads init_method.{option}, and {path!r} does not "
                f"exist (looked in {Path.cwd()}); give a file or directory that does"
            )
        content[option] = {file.name: sampled_hash(file) for file in files if file.is_file()}
    if isinstance(training := getattr(method, "training", None), TrainingConfig):
        content["training"] = training_options(training)
    return content
