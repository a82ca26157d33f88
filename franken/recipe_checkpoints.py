"""Faults of a recipe's checkpoints: whether what its steps do works on the models that it names.

Looks at local directories alone, and at configs and headers of files, never at weights. Imports
torch, which a job does anyway; asked only where everything else is sound.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from franken.composition.swap import SpecialRows
from franken.config.base_model import LoadedModel, PretrainedModel
from franken.config.checks import Fault
from franken.config.data import ChatForm
from franken.config.root import Config
from franken.errors import FrankenError
from franken.files import read_json
from franken.recipe import Graph, build_graph
from franken.recipe_training import trainings, unmasked_wishes
from franken.steps.base import Part
from franken.steps.load import LoadStep
from franken.steps.pretrain import PretrainStep
from franken.steps.swap import SwapStep
from franken.vocab.from_pretrained import TOKENIZER_FILES, FromPretrainedVocab


def checkpoint_faults(config: Config) -> list[Fault]:
    """What is wrong with the checkpoints of a job that has no other fault, each fault once."""
    graph = build_graph(config)
    local = {
        name: step.model
        for name in graph.needed()
        if isinstance(step := graph.steps[name], LoadStep)
        and isinstance(step.model, LoadedModel)
        and Path(step.model.path).expanduser().is_dir()
    }
    look = _Look(config, graph, local)
    return list(dict.fromkeys([*(look.faults() if local else ()), *look.masked()]))


@dataclass
class _Look:
    config: Config
    graph: Graph
    local: dict[str, LoadedModel]
    """Load step -> the checkpoint that it reads."""

    def faults(self) -> Iterator[Fault]:
        sound = True
        for name, wanted in self._wanted().items():
            for message in _missing(self._directory(name), wanted):
                sound = False
                yield Fault(self._key(name), message)
        if sound:
            yield from self._clashes()
            yield from self._strangers()
            yield from self._without_template()

    def masked(self) -> Iterator[Fault]:
        """Trainings of masked models that ask for what only causal ones do."""
        needed = {name: self.graph.steps[name] for name in self.graph.needed()}
        for key, step, training in trainings(needed):
            wishes = list(unmasked_wishes(step, training))
            if wishes and self._is_masked(key.rpartition(".")[2]):
                for place, message in wishes:
                    yield Fault(f"{key}.{place}", message)

    def _is_masked(self, name: str) -> bool:
        """Whether the model that a step makes or tunes is masked; false where nobody can say."""
        from franken.families.objective import is_masked
        from franken.parts.checkpoint import Checkpoint

        origin = self._origin(name, "model", "body", "base")
        if origin in self.local:
            return is_masked(Checkpoint(self._directory(origin)).config())
        step = self.graph.steps[origin] if origin is not None else None
        if not isinstance(step, PretrainStep) or not isinstance(step.model, PretrainedModel):
            return False
        from transformers import AutoConfig

        return is_masked(AutoConfig.for_model(step.model.architecture))

    def _wanted(self) -> dict[str, list[str]]:
        """Load step -> capabilities that the steps after it ask of its model."""
        wanted = {name: ["tables"] for name in self.local}
        for name in self.graph.needed():
            step = self.graph.steps[name]
            for place, reference in step.references().items():
                origin = self._origin(reference, "model", "body", "base", "table")
                if step.wanted(place) == Part.model and origin in wanted:
                    wanted[origin] += step.capabilities()
        return wanted

    def _clashes(self) -> Iterator[Fault]:
        """Swaps that would put control rows of an untied model into a tied table."""
        from franken.parts.checkpoint import Checkpoint

        for name in self.graph.needed():
            step = self.graph.steps[name]
            rule = getattr(getattr(step, "composition", None), "special_rows", None)
            giver = getattr(step, "body" if rule == SpecialRows.from_donor else "base", None)
            if not isinstance(step, SwapStep) or rule == SpecialRows.from_adapted or not giver:
                continue
            places = "table", "model", "body", "base"
            pair = [self._origin(at, *places) for at in (step.table, giver)]
            if pair[0] == pair[1] or not all(origin in self.local for origin in pair):
                continue
            table, rows = (Checkpoint(self._directory(str(origin))).tied() for origin in pair)
            if table and not rows:
                yield Fault(
                    self._key(str(pair[1])),
                    f"has untied embeddings, the table that step {name!r} puts on it is tied: its "
                    "control tokens have one row where two are needed. Choose "
                    "composition.special_rows=from_adapted",
                )

    def _strangers(self) -> Iterator[Fault]:
        """Checkpoints that are called tunings of another and have another shape."""
        from franken.parts.checkpoint import read_config
        from franken.steps.load import check_relative

        for name in self.local:
            relative = self.graph.steps[name].references().get("relative_of")
            base = self._origin(relative, "model", "body", "base", "table") if relative else None
            if base in self.local:
                try:
                    check_relative(
                        read_config(self._directory(name)), read_config(self._directory(str(base)))
                    )
                except FrankenError as error:
                    yield Fault(self._key(name), str(error))

    def _without_template(self) -> Iterator[Fault]:
        """``data.chat=on`` where no tokenizer of the recipe can have a chat template."""
        loads = [n for n in self.graph.needed() if isinstance(self.graph.steps[n], LoadStep)]
        if (
            self.config.data.chat is not ChatForm.on
            or isinstance(self.config.vocab, FromPretrainedVocab)
            or not set(loads) <= self.local.keys()
            or any(_has_template(self._directory(name)) for name in loads)
        ):
            return
        places = ", ".join(dict.fromkeys(str(self._directory(name)) for name in loads))
        yield Fault(
            "data.chat",
            f"is on, but there is no chat template in {places} (chat_template.jinja or "
            "tokenizer_config.json); add one, or choose auto or off",
        )

    def _origin(self, name: str, *places: str) -> str | None:
        """The step without inputs that a model, or its table, comes from."""
        step = self.graph.steps[name]
        if isinstance(step, LoadStep | PretrainStep):
            return name
        references = step.references()
        for place in places:
            if place in references:
                return self._origin(references[place], *places)
        return None

    def _directory(self, name: str) -> Path:
        return Path(self.local[name].path).expanduser()

    def _key(self, name: str) -> str:
        model = self.local[name]
        if model == self.config.base_model:
            return "base_model.path"
        return "donor.path" if model == self.config.donor else f"recipe.steps.{name}.model.path"


def _has_template(directory: Path) -> bool:
    try:
        settings = read_json(directory / "tokenizer_config.json")
    except (OSError, ValueError):
        settings = {}
    files = ("chat_template.jinja", "chat_template.json")
    return "chat_template" in settings or any((directory / name).is_file() for name in files)


def _missing(directory: Path, wanted: list[str]) -> Iterator[str]:
    """What a checkpoint cannot do, one message for each."""
    from franken.families.capabilities import capabilities_of
    from franken.parts.checkpoint import Checkpoint

    try:
        checkpoint = Checkpoint(directory)
        found = capabilities_of(checkpoint.config()).to_json()
    except FrankenError as error:
        yield str(error)
        return
    if not any((directory / name).is_file() for name in TOKENIZER_FILES):
        yield f"{directory} holds no tokenizer; expected one of {', '.join(TOKENIZER_FILES)}"
    for name in dict.fromkeys(wanted):
        if found[name] is not None:
            kind = checkpoint.config().model_type
            yield (
                f"{directory} is a {kind} model, which does not allow {name.replace('_', ' ')}: "
                f"{found[name]} (`python -m franken.families {directory}`)"
            )
            if name == "tables":
                return
    rows = checkpoint.anatomy().input_embedding
    if not (checkpoint.tied() or checkpoint.stored_name(rows)):
        yield f"{directory} stores no {rows!r}; it is no plain transformers checkpoint"
