"""Options of the group ``prompts``: questions that exist in two languages, and how they are put."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from franken.config.checks import at_least, members_by_name
from franken.declare import schema

ANY = "any"
"""Stands for every language without wording of its own."""


class AnswerForm(StrEnum):
    """What the model is asked to write, hence what counts as right."""

    number = "number"
    """Options are listed as (1), (2), ...; label words count too, where a set has them (XNLI)."""
    letter = "letter"
    """Options are listed as (A), (B), ..."""
    word = "word"
    """One option's own words (the microworld)."""
    text = "text"
    """A free answer that contains the gold wording (XQuAD, MKQA)."""


class DefectPolicy(StrEnum):
    """What happens to rows that are not translations of each other, or lost an option marker."""

    drop = "drop"
    """They are left out and reported."""
    keep = "keep"
    """They are reported and used, as in the release."""
    refuse = "refuse"


class Portion(StrEnum):
    """Disjoint parts of a set: pairs are chosen on one and scored on the other."""

    pilot = "pilot"
    rest = "rest"
    all = "all"


def _fields_of(config: object, key: str, *fields: str) -> Iterator[tuple[str, str]]:
    """A fault where a template has other fields than these."""
    template = getattr(config, key)
    try:
        template.format(**dict.fromkeys(fields, ""))
    except (KeyError, ValueError, IndexError) as error:
        yield key, f"{template!r} does not fit ({error!r}); fields: {', '.join(fields)}"


@members_by_name
@dataclass
class PromptSet:
    """One evaluation set as prompts."""

    source: str = ""
    """Entry of ``data.evaluation``."""
    prompts: dict[str, str] = field(default_factory=dict)
    """Language -> template over the item's fields and ``options``; ``any`` for the others. It must
    end where the answer begins, without a trailing space."""
    answers: AnswerForm = AnswerForm.number
    labels: dict[str, dict[str, str]] = field(default_factory=dict)
    """Language (or ``any``) -> option as published -> its word in prompts and answers."""
    values: dict[str, dict[str, str]] = field(default_factory=dict)
    """Language -> value of a field as published -> wording (``cause`` -> ``neden``)."""
    option: str = "({mark}) {option}"
    """How an option is listed: fields ``mark`` and ``option``."""
    separator: str = "\n"
    """Between listed options."""
    continuation: str = " {option}"
    """How an answer goes on from the prompt, for scoring options by the first token that is not the
    same in all: fields ``mark`` and ``option``."""
    languages: list[str] | None = None
    """``null``: the languages of the data option that the set has."""
    limit: int | None = None
    """Samples per language at most, defective ones included."""
    culture: bool = False
    """Whether each language asks about its own countries, also in the source language's wording."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.source:
            yield "source", "names no evaluation set"
        if not self.prompts:
            yield "prompts", "has no template; give one per language or under 'any'"
        for lang, template in self.prompts.items():
            if template != template.rstrip():
                yield f"prompts.{lang}", "ends in white space; the answer begins with it instead"
        yield from _fields_of(self, "option", "mark", "option")
        yield from _fields_of(self, "continuation", "mark", "option")
        yield from at_least("limit", self.limit, 1)


@schema("prompts")
class PromptsConfig:
    """Sets by the name they carry in the results."""

    name: str = "microworld"
    """The option, as results name it."""
    sets: dict[str, PromptSet] = field(default_factory=dict)
    """Name in the results -> an evaluation set and how it is put."""
    pilot: int = 50
    """Samples per language that pairs are chosen on: the first ones. The others are ``rest``."""
    defects: DefectPolicy = DefectPolicy.drop
    pim: str = "{donor}\n\n{target}"
    """Both languages in one prompt (the paper's wording is not known)."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("pilot", self.pilot, 0)
        yield from _fields_of(self, "pim", "donor", "target")
        for place in ("{donor}", "{target}"):
            if place not in self.pim:
                yield "pim", f"lacks {place}; got {self.pim!r}"
