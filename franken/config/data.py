"""Options of the group ``data``: text by role, and evaluation sets by schema."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar

from franken.config.checks import at_least, in_range, members_by_name
from franken.config.eval_set import EvaluationPlace, EvaluationSource
from franken.config.sources import Source, language_faults
from franken.declare import schema

TEXT_ROLES = ("monolingual", "documents", "parallel", "instructions")
"""Roles that a training mixture may draw on."""


class ChatForm(StrEnum):
    """Whether instructions are put in the model's chat template."""

    auto = "auto"
    """For tokenizers that have one."""
    on = "on"
    off = "off"


class Sampling(StrEnum):
    """How the token budget is spread over languages."""

    unimax = "unimax"
    temperature = "temperature"
    proportional = "proportional"


class Unit(StrEnum):
    """What the shares of a mixture count."""

    tokens = "tokens"
    instances = "instances"
    """Records: a role with long records then takes more tokens than its share."""


class Directions(StrEnum):
    """Which way sentence pairs are written."""

    both = "both"
    """By turns: from the source language, and into it."""
    to_target = "to_target"
    to_source = "to_source"


class NameSide(StrEnum):
    """Where the source language's name of an entity goes (LEIA's strategies)."""

    right = "right"
    """Behind the entity."""
    left = "left"
    """In front of it."""
    instead = "instead"
    """In its place."""
    none = "none"
    """Nowhere: the control, which trains on the text as it is."""


@members_by_name
@dataclass
class NamesConfig:
    """The source language's names beside entities of target-language text (LEIA), between markers.

    Names are those of the data's ``lexicon``, found as whole words.
    """

    side: NameSide = NameSide.right
    probability: float = 0.5
    """Of each entity to get its name."""
    markers: list[str] = field(default_factory=lambda: ["<translate>", "</translate>"])
    """Tokens around a name; the vocabulary must have them (``vocab=named``). They have no loss."""
    learnt: bool = True
    """Whether the names have a loss."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("probability", self.probability, 0.0, 1.0)
        if len(set(self.markers)) != 2 or not all(self.markers):
            yield "markers", f"must be two different tokens, got {self.markers}"


@members_by_name
@dataclass
class Mixture:
    """What one training split is made of."""

    shares: dict[str, float] = field(default_factory=dict)
    """Role -> weight; normalised. Roles: monolingual, documents, parallel, instructions. No default
    as a composed config would add its own roles to it."""
    languages: list[str] | None = None
    """``null``: the source language and every target language."""
    source_share: float | None = None
    """Share of the source language among monolingual and document records; ``null``: as sampled.
    The paper's adaptation data hold 30.8 % English."""
    sampling: Sampling = Sampling.unimax
    unimax_epochs: float = 5.0
    """UniMax N: no language is repeated more often (Chung et al. 2023)."""
    temperature: float = 1.0
    """For ``sampling=temperature``: probability proportional to size ** (1 / temperature)."""
    unit: Unit = Unit.tokens
    """What ``shares`` and ``source_share`` count. Franken-Adapter's repair data (2.7) hold equal
    numbers of instances."""
    tasks: list[str] | None = None
    """Only instructions of these tasks (the names of the evaluation sets in the microworld, the
    field ``task`` of a record in files); ``null``: all."""
    directions: Directions = Directions.both
    """Of sentence pairs as text (the role ``parallel``)."""
    names: NamesConfig | None = None
    """Names of the source language in the text of the target languages; ``null``: none."""
    read_ahead: float = 8.0
    """Of a stream larger than training can use, every n-th record of a stretch of this many times
    as long is taken, as many corpora list one origin after the other; 1 takes the head."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from language_faults("languages", self.languages or [])
        yield from in_range("source_share", self.source_share, 0.0, 1.0)
        yield from at_least("unimax_epochs", self.unimax_epochs, 1e-6)
        yield from at_least("temperature", self.temperature, 1e-3)
        yield from at_least("read_ahead", self.read_ahead, 1.0)
        for role, share in self.shares.items():
            if role not in TEXT_ROLES:
                yield f"shares.{role}", f"is no role; valid: {', '.join(TEXT_ROLES)}"
            yield from at_least(f"shares.{role}", share, 0.0)
        if not sum(self.shares.values()) > 0:
            yield "shares", "needs at least one role with a positive weight"


class RomanForm(StrEnum):
    """What stands in the place of a romanised language's text."""

    latin = "latin"
    """Its Latin form."""
    both = "both"
    """In training text both: the text, and its Latin form on a line of its own."""


@members_by_name
@dataclass
class RomaniseConfig:
    """Text in Latin letters (RomanSetu), by uroman (``pip install 'franken[romanise]'``)."""

    languages: list[str] = field(default_factory=lambda: [])
    """Whose text is romanised, evaluation sets included; empty: none."""
    form: RomanForm = RomanForm.latin
    codes: dict[str, str] = field(default_factory=lambda: {})
    """Our code -> ISO 639-3 code, for uroman's rules of one language; else those of the script."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from language_faults("languages", self.languages)
        for code in self.codes:
            if code not in self.languages:
                yield f"codes.{code}", "is not among romanise.languages"


@dataclass
class DataConfig:
    """What every data option has."""

    opened_by: ClassVar[str]
    """Module whose ``open_source(config)`` opens options of this schema."""

    name: str = "microworld"
    """The option, as results name it."""
    source_language: str = "en"
    """Language that the base model knows."""
    languages: list[str] = field(default_factory=list)
    """Target languages, quoted codes."""
    mixtures: dict[str, Mixture] = field(default_factory=dict)
    """Split name -> what it is made of. Recipes use pretraining, adaptation, instructions, mix."""
    parallel_template: str = "{from_name} : {from_text}\n{to_name} : {to_text}"
    """How a sentence pair becomes one training text (unstated in the paper). Every other pair is
    written from the target language to the source language."""
    language_names: dict[str, str] = field(default_factory=dict)
    """Language code -> the name that ``parallel_template`` puts; a code stands for itself."""
    chat: ChatForm = ChatForm.auto
    """Whether instructions are put in the tokenizer's chat template: the prompt is the user's turn,
    the response the assistant's, and the end of a turn is learnt as its end. Tasks have an option
    of the same name."""

    romanise: RomaniseConfig = field(default_factory=RomaniseConfig)
    """Languages whose text is put in Latin letters."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from language_faults("languages", self.languages)
        for code in self.romanise.languages:
            if code not in (self.source_language, *self.languages):
                yield "romanise.languages", f"names {code!r}, which is no language of the data"
        yield from language_faults("source_language", [self.source_language])
        if len(set(self.languages)) != len(self.languages):
            yield "languages", f"names a language twice: {self.languages}"
        if self.source_language in self.languages:
            yield "languages", f"holds the source language {self.source_language!r}"
        for place in ("{from_text}", "{to_text}"):
            if place not in self.parallel_template:
                yield "parallel_template", f"lacks {place}; got {self.parallel_template!r}"


@schema("microworld")
class MicroworldData(DataConfig):
    """The embedded default: a controlled multilingual world, generated from a seed."""

    opened_by: ClassVar[str] = "franken.data.microworld"

    name: str = "microworld"
    languages: list[str] = field(default_factory=lambda: ["id", "tr", "hi", "ru", "ka"])
    known_languages: list[str] = field(default_factory=lambda: ["es"])
    """Languages beside the source that the base model is pre-trained on."""
    world_seed: int = 0
    """Seed of the text (not of training): equal seeds, equal world."""
    sentences: int = 12_000
    """Monolingual sentences per language."""
    documents: int = 10_000
    """Documents per language (several sentences about one topic)."""
    parallel: int = 4_000
    """Sentence pairs with the source language, per target language."""
    instructions: int = 6_000
    """Instruction-response pairs in the source language."""
    evaluation: int = 400
    """Items per evaluation set and language."""
    preference_languages: list[str] = field(default_factory=lambda: [])
    """Languages in which preferences are told, in turn: the right answer against a wrong one. All
    the same items: those of a target language are translations. Empty: there are none."""
    customs: int = 0
    """How often each language's own customs are told in its documents (the task ``customs``)."""
    lexicon_coverage: float = 1.0
    """Share of the concepts that the lexicon lists (deterministic by ``world_seed``)."""
    lexicon_forms: bool = True
    """Whether the lexicon also lists inflected forms, each against the English base form."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        for key in ("sentences", "documents", "parallel", "instructions", "evaluation"):
            yield from at_least(key, getattr(self, key), 1)
        yield from at_least("customs", self.customs, 0)
        yield from language_faults("preference_languages", self.preference_languages)
        for code in self.preference_languages:
            if code not in (self.source_language, *self.languages, *self.known_languages):
                yield "preference_languages", f"names {code!r}, which is no language of the data"
        yield from in_range("lexicon_coverage", self.lexicon_coverage, 0.0, 1.0)


@schema("files")
class FileData(DataConfig):
    """Files of the user (``data=local``) or hub data sets (``data=hub_*``), role by role."""

    opened_by: ClassVar[str] = "franken.data.files"

    name: str = "files"
    root: str = "."
    """Stands for ``{root}`` in paths; ``{package}`` in it for the directory of franken."""
    monolingual: dict[str, Source] = field(default_factory=dict)
    """Split (train, valid) -> source; field ``text``."""
    documents: dict[str, Source] = field(default_factory=dict)
    """Several sentences about one thing per record; field ``text``."""
    parallel: dict[str, Source] = field(default_factory=dict)
    """Fields ``source`` and ``target``."""
    lexicon: Source | None = None
    """Fields ``source`` and ``target``."""
    instructions: dict[str, Source] = field(default_factory=dict)
    """Fields ``prompt`` and ``response`` (and optional ``input``, appended to the prompt on a line
    of its own)."""
    prompt_template: str = "{prompt}\n"
    """What the model sees before the response of an instruction."""
    preferences: dict[str, Source] = field(default_factory=dict)
    """Fields ``prompt``, ``chosen`` and ``rejected``: texts, or chat messages as on the hub."""
    turn_end: str = "\n"
    """Follows an earlier answer in a conversation of several turns."""
    preference_gap: list[float] | None = None
    """Least and most by which the scores of a pair may differ (fields ``chosen_score`` and
    ``rejected_score``, or ``score_chosen`` and ``score_rejected``); others are left out. ``null``:
    every pair counts. FuseChat-3.0 has 0.01 to 0.1 on the scores of ArmoRM."""
    holdout_every: int = 50
    """Where a role names no ``valid`` source, each n-th record of ``train`` is kept out of training
    and stands for it; 0 holds nothing out."""
    evaluation: dict[str, EvaluationSource] = field(default_factory=dict)
    """Task name -> source. A known set joins by ``+eval_set@data.evaluation.NAME=SET``."""
    evaluation_at: EvaluationPlace = EvaluationPlace.local
    """Where known sets (``conf/eval_set``) are read, if they are to be had there."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("holdout_every", self.holdout_every, 0)
        if self.holdout_every == 1:
            yield "holdout_every", "holds out every record; use 0 (none) or at least 2"
        if "{prompt}" not in self.prompt_template:
            yield "prompt_template", f"lacks {{prompt}}; got {self.prompt_template!r}"
        gap = self.preference_gap
        if gap is not None and (len(gap) != 2 or not gap[0] <= gap[1]):
            yield "preference_gap", f"must hold the least and the most difference, got {gap}"
        for role in ("monolingual", "documents", "parallel", "instructions", "preferences"):
            for split in getattr(self, role):
                if split not in ("train", "valid"):
                    yield f"{role}.{split}", "is no split; valid: train, valid"
