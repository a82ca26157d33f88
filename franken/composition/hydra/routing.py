"""Which table a piece of text goes through: by its tag, by its language, or by its script."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import regex

from franken.config.checks import is_folder_name
from franken.errors import CompatibilityError, DataError
from franken.vocab.scripts import uses_only_scripts

_TAG = regex.compile(r"<<([^<>\s]+)>>")
_SCRIPTLESS = ("Common", "Inherited")


@dataclass(frozen=True)
class Segment:
    """A stretch of text and the table that encodes it."""

    table: str
    text: str


@dataclass(frozen=True)
class Router:
    """How texts find their tables.

    Attributes:
        tables: the names that there are.
        languages: language or tag -> table; a table also stands for its own name.
        scripts: table -> Unicode scripts that belong to it, for texts without a tag.
        default: where everything else goes; ``None``: such a text is an error.
    """

    tables: tuple[str, ...]
    languages: dict[str, str] = field(default_factory=dict)
    scripts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    default: str | None = None

    def __post_init__(self) -> None:
        named = [*self.languages.values(), *self.scripts]
        unknown = [name for name in (*named, self.default) if name is not None]
        for name in unknown:
            self.check(name)

    def check(self, table: str) -> str:
        """The name, if it is that of a table.

        Raises:
            CompatibilityError: naming those that there are.
        """
        if table not in self.tables:
            raise CompatibilityError(
                f"no table {table!r} in this Hydra LLM; tables: {', '.join(self.tables)}"
            )
        return table

    def by_tag(self, tag: str) -> str:
        """The table of a tag or language.

        Raises:
            CompatibilityError: for a tag without a table, whatever the default is.
        """
        found = self.languages.get(tag, tag)
        if found not in self.tables:
            known = sorted({*self.languages, *self.tables})
            raise CompatibilityError(
                f"tag {tag!r} has no table in this Hydra LLM; tags with one: {', '.join(known)}"
            )
        return found

    def by_language(self, language: str) -> str:
        """The table of a language; the default where it has none of its own."""
        found = self.languages.get(language, language)
        if found in self.tables:
            return found
        if self.default is None:
            return self.by_tag(language)
        return self.default

    def by_script(self, text: str) -> str:
        """The table that claims the script of most letters; the first of equals.

        Letters of a script that no table claims count for the default.

        Raises:
            CompatibilityError: where there is neither a claim nor a default.
        """
        votes: Counter[str | None] = Counter()
        for character in text:
            table = self._owner(character)
            if table != "":
                votes[table] += 1
        order: list[str | None] = [*self.tables, None]
        best = max(votes, key=lambda name: (votes[name], -order.index(name)), default=None)
        found = best or self.default
        if found is None:
            raise CompatibilityError(
                f"no table claims the script of {text[:30]!r}; tag the text, name its script under "
                "composition.scripts, or set composition.default"
            )
        return found

    def segments(self, text: str) -> list[Segment]:
        """Cut a text at its tags ``<<name>>``; a text without tags is one segment, by script.

        Raises:
            CompatibilityError: for a tag without a table.
            DataError: for a tag without text, or no text at all.
        """
        found = list(self._tagged(text)) if _TAG.search(text) else self.runs(text)
        return check_segments(found)

    def runs(self, text: str) -> list[Segment]:
        """Stretches of one script; spaces, digits and punctuation stay with what stands before."""
        if not self.scripts:
            return [Segment(self.by_script(text), text)]
        found: list[list[str]] = []
        for character in text:
            table = self._owner(character)
            if table == "" or (found and found[-1][0] in (table or self.default, "")):
                if not found:
                    found.append(["", ""])
                if table != "" and found[-1][0] == "":
                    found[-1][0] = table or self._fallback(text)
                found[-1][1] += character
            else:
                found.append([table or self._fallback(text), character])
        return [Segment(name or self._fallback(text), piece) for name, piece in found]

    def _fallback(self, text: str) -> str:
        return self.default if self.default is not None else self.by_script(text)

    def _tagged(self, text: str) -> Iterator[Segment]:
        parts = _TAG.split(text)
        if parts[0].strip():
            yield from self.runs(parts[0])
        for tag, piece in zip(parts[1::2], parts[2::2], strict=True):
            yield Segment(self.by_tag(tag), piece)

    def _owner(self, character: str) -> str | None:
        """Table that claims a character's script; "" for scriptless ones, ``None`` for others."""
        if uses_only_scripts(character, _SCRIPTLESS):
            return ""
        for table, scripts in self.scripts.items():
            if scripts and uses_only_scripts(character, scripts):
                return table
        return None


def check_table_name(name: str) -> str:
    """The name, if it can be that of a table, which is also a directory and a tag.

    Raises:
        CompatibilityError: where it cannot.
    """
    if not is_folder_name(name):
        raise CompatibilityError(
            f"{name!r} cannot name a table: its directory and its tag are called so; use letters, "
            "digits, _ and -"
        )
    return name


def check_segments(segments: Sequence[Segment]) -> list[Segment]:
    """The segments, if there are any and none is empty.

    Raises:
        DataError: naming the empty one.
    """
    if not segments:
        raise DataError("the sequence has no segment; give at least one (table, text)")
    for place, segment in enumerate(segments, 1):
        if not segment.text:
            raise DataError(
                f"segment {place} of {len(segments)} (table {segment.table!r}) is empty; leave it "
                "out or give it text"
            )
    return list(segments)
