"""Rows of an evaluation set in two languages, joined and put as prompts."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from franken.config.prompts import ANY, AnswerForm, DefectPolicy, Portion, PromptsConfig, PromptSet
from franken.data.items import AnswerItem, ChoiceItem, MathItem
from franken.data.schemas import read_items
from franken.data.source import DataSource
from franken.errors import ConfigError, DataError
from franken.inference.base import Direction
from franken.prompts.defects import Defect, find_defects
from franken.prompts.gold import Gold, marks_of

ID_COLUMNS = (
    "id", "idx", "index_id", "example_id", "sample_id", "data_idx", "question_idx", "link",
)  # fmt: skip


@dataclass(frozen=True)
class Prompt:
    """A text to be continued, and what is right."""

    text: str
    gold: Gold
    options: tuple[str, ...] = ()
    """How the answer goes on for each option."""


@dataclass(frozen=True)
class PromptPair:
    """One question in two languages."""

    id: str
    set: str
    lang: str
    """The language beside the source language."""
    index: int
    """Position in the set; the pilot part is the first ones."""
    target: Prompt
    """What is answered."""
    donor: Prompt


def prompt_pairs(
    config: PromptsConfig, name: str, data: DataSource, lang: str, direction: Direction
) -> tuple[list[PromptPair], list[Defect]]:
    """All pairs of one set in one language, and what is wrong with them.

    Args:
        config: prompts; ``config.defects`` says what happens to defective rows.
        name: the set.
        data: where rows come from.
        lang: the other language; the source language itself gives pairs of equal prompts.
        direction: which side is answered.

    Raises:
        DataError: where rows of the two sides cannot be matched, or defects are refused.
        ConfigError: where no prompt is given for a language, or a template does not fit.
    """
    prompts = config.sets[name]
    source = data.config.source_language
    culture = lang if prompts.culture else None
    rows = data.task_rows(prompts.source, lang)
    pivot_rows = data.task_rows(prompts.source, source)
    schema = data.task_schema(prompts.source)
    own = read_items(schema, rows, lang=lang, source_lang=source, culture=culture)
    others = read_items(schema, pivot_rows, lang=source, source_lang=source, culture=culture)
    joined = _joined(own, others, rows, pivot_rows, f"{name} {lang}")[: prompts.limit]
    native = [_prompt(prompts, name, item, lang) for item, _ in joined]
    pivot = [_prompt(prompts, name, item, source) for _, item in joined]
    same = [at for at, (item, other) in enumerate(joined) if _fields(item) == _fields(other)]
    defects = [] if lang == source else find_defects(
        name, lang, [(p.text, p.gold) for p in native], [(p.text, p.gold) for p in pivot], same
    )  # fmt: skip
    dropped = {row for defect in defects if defect.drops for row in defect.rows}
    if dropped and config.defects is DefectPolicy.refuse:
        listed = "\n".join(f"- {defect}" for defect in defects if defect.drops)
        raise DataError(f"prompts.defects=refuse, and there are some:\n{listed}")
    skip = dropped if config.defects is DefectPolicy.drop else set()
    pairs = []
    for index, ((item, _), mine, theirs) in enumerate(zip(joined, native, pivot, strict=True)):
        if index not in skip:
            sides = (mine, theirs) if direction is Direction.en2x else (theirs, mine)
            pairs.append(PromptPair(item.id, name, lang, index, *sides))
    if not pairs:
        raise DataError(
            f"{name} {lang}: no sample is left: {'; '.join(map(str, defects)) or 'empty set'}"
        )
    return pairs, defects


def check_prompts(config: PromptsConfig, data: DataSource, portion: Portion = Portion.all) -> None:
    """Refuse sets that the data do not have and languages without wording, all at once; then rows
    that cannot be paired, defects where ``prompts.defects=refuse``, and an empty part.

    Raises:
        ConfigError: naming each set, what is missing, and what there is.
        DataError: as ``prompt_pairs`` and ``part_of`` do.
    """  # noqa: D205
    faults = prompt_faults(config, data)
    if faults:
        raise ConfigError("\n".join(faults))
    for name, prompts in config.sets.items():
        for lang in languages_of(prompts, data):
            pairs, _ = prompt_pairs(config, name, data, lang, Direction.en2x)
            part_of(pairs, portion, config.pilot)


def prompt_faults(config: PromptsConfig, data: DataSource) -> list[str]:
    """Sets and languages that the data do not have or that have no wording; reads no row."""
    faults = []
    source = data.config.source_language
    for name, prompts in config.sets.items():
        key = f"prompts.sets.{name}"
        if prompts.source not in data.tasks():
            faults.append(
                f"{key}.source: {prompts.source!r} is no evaluation set of "
                f"data={data.config.name}; it has {', '.join(data.tasks())}"
            )
            continue
        there = data.task_languages(prompts.source)
        for lang in languages_of(prompts, data):
            if lang not in there:
                faults.append(f"{key}.languages: {prompts.source!r} has no {lang!r}")
        for lang in (source, *languages_of(prompts, data)):
            if _worded(prompts.prompts, lang) is None:
                faults.append(f"{key}.prompts: no wording for {lang!r} and none under {ANY!r}")
    return faults


def part_of(pairs: Sequence[PromptPair], portion: Portion, pilot: int) -> list[PromptPair]:
    """The pilot part (the first ``pilot`` samples of a set in a language), the rest, or all.

    Raises:
        DataError: for an empty part.
    """
    found = [
        pair
        for pair in pairs
        if portion is Portion.all or (pair.index < pilot) == (portion is Portion.pilot)
    ]
    if not found:
        raise DataError(
            f"{pairs[0].set} {pairs[0].lang}: part {portion} is empty; the set has {len(pairs)} "
            f"samples, prompts.pilot is {pilot}"
        )
    return found


def languages_of(prompts: PromptSet, data: DataSource) -> list[str]:
    """The languages of a set beside the source language, unless it is asked for."""
    if prompts.languages is not None:
        return prompts.languages
    source = data.config.source_language
    return [lang for lang in data.task_languages(prompts.source) if lang != source]


def parallel_prompt(config: PromptsConfig, pair: PromptPair) -> Prompt:
    """Both languages in one prompt (PIM), answered as the target is."""
    text = config.pim.format(donor=pair.donor.text, target=pair.target.text)
    return Prompt(text, pair.target.gold, pair.target.options)


def _joined(
    own: Sequence[Any], others: Sequence[Any], rows: Sequence[Mapping[str, Any]],
    pivot_rows: Sequence[Mapping[str, Any]], what: str,
) -> list[tuple[Any, Any]]:  # fmt: skip
    """Items of both sides, by id where both sides have ids, else by position.

    The source language may have more rows than the other one where they are joined by id.
    """
    if rows and pivot_rows and all(_named(side[0]) for side in (rows, pivot_rows)):
        for side, where in ((own, "here"), (others, "in the source language")):
            doubled = [name for name, count in Counter(i.id for i in side).items() if count > 1]
            if doubled:
                raise DataError(
                    f"{what}: rows are joined by id, and {len(doubled)} ids occur more than once "
                    f"{where}: {', '.join(doubled[:3])}; give every row an id of its own"
                )
        by_id = {item.id: item for item in others}
        missing = [item.id for item in own if item.id not in by_id]
        if missing:
            raise DataError(
                f"{what}: {len(missing)} of {len(own)} rows have ids that the source language does "
                f"not have: {', '.join(missing[:3])}; use the same ids on both sides, or none at "
                "all where rows match by position"
            )
        return [(item, by_id[item.id]) for item in own]
    if len(own) == len(others):
        return list(zip(own, others, strict=True))
    raise DataError(
        f"{what}: {len(own)} prompts but {len(others)} in the source language, so they cannot be "
        "paired by position; give both sides ids or equal rows"
    )


def _named(row: Mapping[str, Any]) -> bool:
    return any(column in row for column in ID_COLUMNS)


def _prompt(prompts: PromptSet, name: str, item: Any, lang: str) -> Prompt:
    template = _worded(prompts.prompts, lang)
    if template is None:
        raise ConfigError(
            f"prompts.sets.{name}.prompts has no wording for {lang!r} and none under {ANY!r}; it "
            f"has {', '.join(prompts.prompts)}. Give prompts.sets.{name}.prompts.{lang} or leave "
            "the language out"
        )
    gold = _gold(prompts, item, lang)
    listed = [
        prompts.option.format(mark=mark, option=word)
        for mark, word in zip(gold.marks or gold.words, gold.words, strict=True)
    ]
    values = prompts.values.get(lang) or prompts.values.get(ANY) or {}
    fields = {key: values.get(value, value) for key, value in _fields(item).items()}
    try:
        text = template.format_map({**fields, "options": prompts.separator.join(listed)})
    except (KeyError, ValueError, IndexError) as error:
        raise ConfigError(
            f"prompts.sets.{name}.prompts.{lang}: {template!r} does not fit ({error!r}); fields: "
            f"{', '.join([*fields, 'options'])}"
        ) from None
    options: tuple[str, ...] = ()
    if gold.form is not AnswerForm.text:
        options = tuple(
            prompts.continuation.format(mark=mark, option=word)
            for mark, word in zip(gold.marks or gold.words, gold.words, strict=True)
        )
    return Prompt(text, gold, options)


def _worded(wordings: Mapping[str, str], lang: str) -> str | None:
    for key in (lang, lang.split("-")[0], ANY):
        if key in wordings:
            return wordings[key]
    return None


def _fields(item: Any) -> dict[str, str]:
    return {"question": item.question} if isinstance(item, MathItem) else dict(item.fields)


def _gold(prompts: PromptSet, item: Any, lang: str) -> Gold:
    build: dict[type, Callable[[], Gold]] = {
        MathItem: lambda: Gold(AnswerForm.word, (), (item.answer,), 0),
        AnswerItem: lambda: Gold(AnswerForm.text, (), item.answers, 0),
        ChoiceItem: lambda: _choice(prompts, item, lang),
    }
    if type(item) not in build:
        raise ConfigError(f"a {type(item).__name__} is no question with an answer to match")
    return build[type(item)]()


def _choice(prompts: PromptSet, item: ChoiceItem, lang: str) -> Gold:
    labels = prompts.labels.get(lang) or prompts.labels.get(ANY) or {}
    words = tuple(labels.get(option, option) for option in item.options)
    form = prompts.answers
    if form is AnswerForm.text:
        raise ConfigError(
            f"prompts: {prompts.source!r} offers options, so answers=text has no meaning; use "
            "number, letter or word"
        )
    labelled = bool(labels) and form is AnswerForm.number
    return Gold(form, marks_of(form, len(words)), words, item.answer, labelled)
