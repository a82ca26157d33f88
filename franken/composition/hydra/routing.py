"""Which table a piece of text goes through: by its tag, by its language, or by its script."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import regex

from franken.config.checks import is_folder_name
from franken.errors import CompatibilityError, DataError
from franken.tokenizer.scripts import uses_only_scripts

_TAG = regex.compile(r"<<([^<>\s]+)>>")
_SCRIPTLESS = ("Common", "Inherited")


@dataclass(frozen=True)
class Segment:
    """A stretch of text and the table that encodes it."""

    table: str
    text: str


@dataclass(frozen=True)
class TableRouter:
    """How texts find their tables.

    Attributes:
        tables: the names that there are.
        languages: language or tag -> table; a table also stands for its own name.
        scripts: table -> Unicode scripts that belong to it, for texts without a tag.
        default: where everything else goes; ``None``: such a text is an error.

    Raises:
        CompatibilityError: for a table that there is not, a language that is the name of one table
            and goes to another, or a script that two tables claim.
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
        for tag, table in self.languages.items():
            if tag in self.tables and tag != table:
                raise CompatibilityError(
                    f"language {tag!r} goes to the table {table!r}, but a table is itself called "
                    f"{tag!r}; rename that table, or leave the language out"
                )
        owners: dict[str, str] = {}
        for table, scripts in self.scripts.items():
            for script in scripts:
                if owners.setdefault(script, table) != table:
                    raise CompatibilityError(
                        f"script {script!r} goes to the table {owners[script]!r} already; leave it "
                        f"out of those of {table!r}"
                    )

    def with_table(
        self, table: str, *, languages: Sequence[str] = (), scripts: Sequence[str] = ()
    ) -> "TableRouter":
        """The routes with those of one more table.

        Raises:
            CompatibilityError: where a language or a script goes to another table already.
        """
        for language in languages:
            found = self.languages.get(language, language)
            if found in self.tables and found != table:
                raise CompatibilityError(
                    f"language {language!r} goes to the table {found!r} already; leave it out of "
                    f"those of {table!r}"
                )
        names = tuple(dict.fromkeys([*self.tables, table]))
        claims = {**self.scripts, table: tuple(scripts)} if scripts else dict(self.scripts)
        return TableRouter(
            names, {**self.languages, **dict.fromkeys(languages, table)}, claims, self.default
        )

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
        return best or self._fallback(text)

    def segments(self, text: str) -> list[Segment]:
        """Cut a text at its tags ``<<name>>``; a text without tags is one segment, by script.

        Raises:
            CompatibilityError: for a tag without a table.
            DataError: for a tag without text, or no text at all.
        """
        found = list(self._tagged(text)) if _TAG.search(text) else self.runs(text)
        return check_segments(found)

    def runs(self, text: str) -> list[Segment]:
        """Stretches of one script; spaces, digits and punctuation stay with what stands before.

        Letters of a script that no table claims go to the default.

        Raises:
            CompatibilityError: where there is no default to go to.
        """
        if not self.scripts:
            return [Segment(self._fallback(text), text)]
        found: list[list[str]] = []
        for place, character in enumerate(text):
            owner = self._owner(character)
            table = self._fallback(text[place:]) if owner is None else owner
            if not found or ("" not in (table, found[-1][0]) and table != found[-1][0]):
                found.append([table, ""])
            found[-1][0] = found[-1][0] or table
            found[-1][1] += character
        return [Segment(name or self._fallback(text), piece) for name, piece in found]

    def _fallback(self, text: str) -> str:
        if self.default is None:
            raise CompatibilityError(
                f"no table claims the script of {text[:30]!r}; tag the text, name its script under "
                "composition.scripts, or set composition.default"
            )
        return self.default

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
