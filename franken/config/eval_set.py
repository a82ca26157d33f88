"""Options of the group ``eval_set``: evaluation sets that are known by name, and where they lie."""

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from enum import StrEnum

from franken.config.sources import Source, language_faults
from franken.declare import schema


class EvaluationPlace(StrEnum):
    """Where evaluation sets that are known by name are read."""

    local = "local"
    """Files under ``root``, laid out as published."""
    hub = "hub"


@dataclass
class PublishedSource(Source):
    """Where an evaluation set lies, part by part."""

    split: str = "test"
    """What the publication calls the part that is scored; stands for ``{split}`` in ``path``."""
    splits: dict[str, str] = field(default_factory=dict)
    """Other parts (train, valid) -> their published names; such a part is read from the same
    source, whose ``path`` must then hold ``{split}`` unless it is a hub data set."""
    exemplars: Source | None = None
    """Where the part ``train`` lies when it is published in a form of its own."""


@schema("set")
class EvaluationSource(PublishedSource):
    """An evaluation set in the schema of its hub publication.

    A set of the user's own names its ``path``. A known one (``conf/eval_set``) leaves it empty and
    says where it lies on the hub and in local files.
    """

    schema: str = "sib200"
    """sib200, belebele, xcopa, flores, mgsm, gsm8k, global_mmlu, xlsum, tagged: see
    franken/data/schemas.py."""
    published: list[str] | None = None
    """Languages that the publication has: of the data's languages only these are scored. ``null``:
    all."""
    hub: PublishedSource | None = None
    """Where a known set lies on the hub."""
    local: PublishedSource | None = None
    """Where it lies under ``data.root``."""

    def at(self, place: EvaluationPlace) -> "EvaluationSource":
        """The set with the fields of its place put in; itself where it names a path of its own.

        A set that is known in one place only is read there. Codes of the set hold in all its
        places, and so do languages and a limit that are set beside them.
        """
        places = [self.local, self.hub]
        if place is EvaluationPlace.hub:
            places.reverse()
        found = None if self.path else next(filter(None, places), None)
        if found is None:
            return self
        of_place = {item.name: getattr(found, item.name) for item in fields(found)}
        of_place["codes"] = {**self.codes, **found.codes}
        of_place["optional"] = self.optional or found.optional
        for name in ("languages", "limit"):
            if getattr(self, name) is not None:
                of_place[name] = getattr(self, name)
        return replace(self, hub=None, local=None, **of_place)

    def faults(self) -> Iterator[tuple[str, str]]:
        known = self.hub is not None or self.local is not None
        yield from (fault for fault in super().faults() if not (known and fault[0] == "path"))
        yield from language_faults("published", self.published or [])
