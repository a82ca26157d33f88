"""Steps of Hydra LLMs: assembled, tuned, translating, taken apart."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from franken.config.checks import at_least, in_range, is_folder_name
from franken.config.composition import CompositionConfig, HydraComposition
from franken.config.data import DataConfig
from franken.config.steps.core import Part, StepConfig
from franken.config.training import Trainable, TrainingConfig


@dataclass
class LoadHydraStep(StepConfig):
    """Read a Hydra LLM's directory, as exported or written by ``save_hydra``."""

    kind: ClassVar[str] = "load_hydra"
    path: str = ""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no directory; give one that holds a hydra.json"


@dataclass
class HydraStep(StepConfig):
    """Assemble one body and several named tables of the same ancestry (a Hydra LLM)."""

    kind: ClassVar[str] = "hydra"
    inputs: ClassVar[dict[str, Part]] = {"body": Part.model, "tables": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("body", "tables")
    body: str = ""
    tables: dict[str, str] = field(default_factory=lambda: {})
    """Name of a table -> step that gives it (its table of that name, else its only one)."""
    names: dict[str, str] = field(default_factory=lambda: {})
    """Key of ``tables`` -> name that the table gets here; for names that an interpolation gives,
    such as ``${data.languages.0}``, which a key cannot hold."""
    keep: bool = False
    """Whether the tables and the routing of a ``body`` that is a Hydra LLM stay, beside
    ``tables``, none of which may have the name of one that stays."""
    composition: CompositionConfig = field(default_factory=CompositionConfig)

    def name_of(self, key: str) -> str:
        """The name that a table of ``tables`` gets."""
        return self.names.get(key, key)

    def references(self) -> dict[str, str]:
        """One reference per table."""
        tables = {f"tables.{name}": step for name, step in self.tables.items()}
        return {"body": self.body, **tables}

    def faults(self) -> Iterator[tuple[str, str]]:
        if not isinstance(self.composition, HydraComposition):
            yield "composition", f"is {self.composition.name!r}; choose composition=hydra"
            return
        if not self.tables:
            yield "tables", "names no table; give at least one, e.g. {source: base}"
        for key in self.names.keys() - self.tables.keys():
            yield f"names.{key}", f"no table has this key; tables: {', '.join(self.tables)}"
        made = [self.name_of(key) for key in self.tables]
        for name in made:
            if not is_folder_name(name):
                yield (
                    "tables",
                    f"{name!r} cannot name a directory and a tag; rename the table",
                )
        for name in {name for name in made if made.count(name) > 1}:
            yield "names", f"gives the name {name!r} to several tables; names must differ"
        named = {
            **{f"languages.{k}": v for k, v in self.composition.languages.items()},
            **{f"scripts.{k}": k for k in self.composition.scripts},
        }
        if self.composition.default is not None:
            named["default"] = self.composition.default
        for key, table in named.items() if not self.keep else ():
            if self.tables and table not in made:
                yield (
                    f"composition.{key}",
                    f"names the table {table!r}; tables: {', '.join(made)}",
                )


@dataclass
class SelectTableStep(StepConfig):
    """The ordinary model that reads and writes one table of a Hydra LLM; references only."""

    kind: ClassVar[str] = "select_table"
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    table: str = ""


@dataclass
class HydraTrainStep(StepConfig):
    """Tune a Hydra LLM: sentence pairs are read in one vocabulary and written in another."""

    kind: ClassVar[str] = "hydra_train"
    version: ClassVar[int] = 2
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model, "pairs": Part.pairs}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    tables: list[str] = field(default_factory=list)
    """Tables whose rows are trained; the others stay as they are."""
    trainable: Trainable = Trainable.embeddings
    """``embeddings`` means those of ``tables``, with ``full`` and ``embeddings_and_edge_layers``
    too."""
    directions: list[str] = field(default_factory=lambda: ["to_target"])
    """Of sentence pairs: ``to_target`` (read the source language), ``to_source``; both: in turn."""
    copies: float = 0.0
    """Share of the pairs that are written in the language they are read in: saying it again."""
    prompt: str | None = None
    """Template of the pairs; ``null``: ``data.parallel_template``."""
    pairs: str | None = None
    """A ``back_translate`` step whose pairs stand for the role ``parallel``."""
    mismatched: float = 0.0
    """Share of the training pairs that get the translation of another pair: a corpus that was
    aligned badly."""
    data: DataConfig = field(default_factory=DataConfig)
    split: str = "adaptation"
    training: TrainingConfig = field(default_factory=TrainingConfig)

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.trainable is Trainable.lora:
            yield "trainable", "cannot be lora for a Hydra LLM; train before tables are joined"
        rows = (Trainable.embeddings, Trainable.embeddings_and_edge_layers)
        if self.trainable in rows and not self.tables:
            yield "tables", f"names no table, but trainable={self.trainable} trains tables"
        valid = ("to_target", "to_source")
        if not self.directions or not set(self.directions) <= set(valid):
            yield "directions", f"must be some of {', '.join(valid)}; got {self.directions}"
        yield from in_range("copies", self.copies, 0.0, 1.0)
        yield from in_range("mismatched", self.mismatched, 0.0, 1.0)
        if self.prompt is not None and "{to_text}" not in self.prompt:
            yield "prompt", f"lacks {{to_text}}; got {self.prompt!r}"


@dataclass
class BackTranslateStep(StepConfig):
    """Translate target-language text into the source language; pairs with a genuine target side."""

    kind: ClassVar[str] = "back_translate"
    version: ClassVar[int] = 2
    output: ClassVar[Part] = Part.pairs
    inputs: ClassVar[dict[str, Part]] = {"model": Part.model}
    takes_hydra: ClassVar[tuple[str, ...]] = ("model",)
    model: str = ""
    data: DataConfig = field(default_factory=DataConfig)
    role: str = "monolingual"
    sentences: int = 2000
    """Per language; the first ones of the role."""
    prompt: str | None = None
    """Template; ``null``: ``data.parallel_template``."""
    beams: int = 1
    temperature: float = 0.0
    """0: the most likely tokens; above: sampled at this temperature."""
    max_new_tokens: int = 64
    batch_size: int = 64
    """Sentences decoded together."""
    stop: str = "\n"
    """Generations are cut at the first occurrence."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("sentences", "beams", "max_new_tokens", "batch_size"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("temperature", self.temperature, 0.0)
        if self.beams > 1 and self.temperature > 0:
            yield "beams", "cannot go with temperature > 0; choose one"
        if self.role not in ("monolingual", "documents"):
            yield "role", f"must be monolingual or documents, got {self.role!r}"
