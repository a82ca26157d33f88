"""Readers of published evaluation schemas: rows with the hub's column names become items.

==============  ============================================  ======================
schema          columns                                       fields of the item
==============  ============================================  ======================
``sib200``      index_id, category, text                      text
``belebele``    link, question_number, flores_passage,        passage, question
                question, mc_answer1..4, correct_answer_num
``xcopa``       idx, premise, choice1, choice2, question,     premise, question,
                label                                         connector
``global_mmlu`` sample_id, question, option_a..d, answer      question
``flores``      id, sentence_<source>, sentence_<language>    (translation)
``mgsm``        question, answer_number                       (math)
``gsm8k``       question, answer                              (math)
``xlsum``       id, url, title, summary, text                 title, text
``tagged``      tokens; ner_tags, upos, pos_tags or tags      (words and their tags)
==============  ============================================  ======================

Question sets of the transplant experiments are in ``franken.data.question_schemas``.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any

from franken.data import question_schemas
from franken.data.columns import Columns, LeftOut
from franken.data.columns import Context as _Context
from franken.data.columns import Misfit as _Misfit
from franken.data.columns import one_of as _one_of
from franken.data.columns import text as _text
from franken.data.columns import value_of as _value_of
from franken.data.items import (
    AnswerItem,
    ChoiceItem,
    Item,
    MathItem,
    TaggedItem,
    TranslationItem,
)
from franken.errors import DataError

SIB200_LABELS = (
    "science/technology",
    "travel",
    "politics",
    "sports",
    "health",
    "entertainment",
    "geography",
)
"""The categories of SIB-200, in the order of its card."""

TAG_COLUMNS = ("ner_tags", "upos", "pos_tags", "tags")
"""Where tags of words lie: WikiANN and MasakhaNER, Universal Dependencies, MasakhaPOS, others."""

XCOPA_CONNECTORS = {"cause": "because", "effect": "so"}

NUMBER = re.compile(r"-?\d+(?:[,\u00a0\u202f ]\d{3})*(?:\.\d+)?|-?\.\d+")


def read_items(
    schema: str,
    rows: Iterable[Columns],
    *,
    lang: str,
    source_lang: str,
    culture: str | None = None,
    numbers: Sequence[int] | None = None,
    whole: Iterable[Columns] | None = None,
) -> list[Item]:
    """Turn the rows of an evaluation set into items.

    Args:
        schema: One of ``schema_names()``.
        rows: With the columns that the schema publishes; others are ignored.
        lang: Language of the set, in our code.
        source_lang: Source language, for translation.
        culture: Language whose countries are wanted, for sets that ask about countries; rows about
            others are left out. ``None``: all rows, about the first country they name.
        numbers: place of each row in its set, from 1, which names rows without an id; ``None``:
            these are all rows.
        whole: All rows of the set, where ``rows`` are some: they say which labels it has.

    Raises:
        DataError: Naming schema, language and row of what does not fit.
    """
    if schema not in _READERS:
        raise DataError(f"{schema!r} is no schema; known: {', '.join(schema_names())}")
    listed = list(rows)
    labels = _sib200_labels(listed if whole is None else whole, lang) if schema == "sib200" else ()
    context = _Context(lang, source_lang, labels, culture)
    items: list[Item] = []
    for number, row in zip(numbers or range(1, len(listed) + 1), listed, strict=True):
        try:
            items.append(_READERS[schema](row, number, context))
        except LeftOut:
            continue
        except _Misfit as error:
            raise DataError(
                f"row {number} of the {lang!r} evaluation set is no {schema} row: {error}"
            ) from None
    if not items:
        raise DataError(f"the {lang!r} evaluation set of schema {schema} is empty")
    return _by_passage(items)


def _by_passage(items: list[Item]) -> list[Item]:
    """Free answers about one passage are a cluster, named by its first question.

    The passage has no name of its own in SQuAD's layout, and other words in each language; the ids
    of its questions are the same in all.
    """
    first: dict[str, str] = {}
    named: list[Item] = []
    for item in items:
        passage = item.fields.get("context") if isinstance(item, AnswerItem) else None
        if isinstance(item, AnswerItem) and passage:
            item = replace(item, cluster=first.setdefault(passage, item.id))
        named.append(item)
    return named


def schema_names() -> list[str]:
    """Known schemas, sorted."""
    return sorted(_READERS)


def plain_number(value: Any) -> str:
    """A number in plain digits: ``"1,234"`` -> ``"1234"``, ``3.0`` -> ``"3"``.

    Raises:
        ValueError: If ``value`` is not one number.
    """
    text = repr(value) if isinstance(value, float) else str(value)
    text = text.strip().removeprefix("$").removesuffix("%").strip()
    if isinstance(value, bool) or not NUMBER.fullmatch(text):
        raise ValueError(f"{value!r} is no number")
    digits = re.sub(r"[^\d.\-]", "", text)
    return re.sub(r"\.0+$", "", digits) or "0"


def _sib200_labels(rows: Iterable[Columns], lang: str) -> tuple[str, ...]:
    """SIB-200's categories, or the labels in use where a set has a label set of its own."""
    used = {str(row["category"]).strip() for row in rows if "category" in row}
    official = used & set(SIB200_LABELS)
    if not used or 2 * len(official) >= len(used):
        return SIB200_LABELS
    if len(used) < 2:
        raise DataError(f"the {lang!r} topic set has the one label {used.pop()!r}; two are needed")
    return tuple(sorted(used))


def _sib200(row: Columns, number: int, context: _Context) -> ChoiceItem:
    answer = _one_of(row, "category", {label: at for at, label in enumerate(context.labels)})
    identifier = str(row.get("index_id", number))
    return ChoiceItem(identifier, {"text": _text(row, "text")}, context.labels, answer)


def _belebele(row: Columns, number: int, context: _Context) -> ChoiceItem:
    options = tuple(_text(row, f"mc_answer{index}") for index in range(1, 5))
    answer = _one_of(row, "correct_answer_num", {str(index + 1): index for index in range(4)})
    fields = {"passage": _text(row, "flores_passage"), "question": _text(row, "question")}
    passage = str(row.get("link", number))
    identifier = f"{passage}#{row.get('question_number', number)}"
    return ChoiceItem(identifier, fields, options, answer, cluster=passage)


def _xcopa(row: Columns, number: int, context: _Context) -> ChoiceItem:
    kinds = tuple(XCOPA_CONNECTORS)
    question = kinds[_one_of(row, "question", {kind: at for at, kind in enumerate(kinds)})]
    answer = _one_of(row, "label", {"0": 0, "1": 1})
    fields = {
        "premise": _text(row, "premise"),
        "question": question,
        "connector": XCOPA_CONNECTORS[question],
    }
    options = (_text(row, "choice1"), _text(row, "choice2"))
    return ChoiceItem(str(row.get("idx", number)), fields, options, answer)


def _global_mmlu(row: Columns, number: int, context: _Context) -> ChoiceItem:
    options = tuple(_text(row, f"option_{letter}") for letter in "abcd")
    answer = _one_of(row, "answer", {letter: at for at, letter in enumerate("ABCD")})
    fields = {"question": _text(row, "question")}
    return ChoiceItem(str(row.get("sample_id", number)), fields, options, answer)


def _flores(row: Columns, number: int, context: _Context) -> TranslationItem:
    return TranslationItem(
        str(row.get("id", number)),
        _text(row, f"sentence_{context.source_lang}"),
        _text(row, f"sentence_{context.lang}"),
    )


def _mgsm(row: Columns, number: int, context: _Context) -> MathItem:
    answer = _number(_text(row, "answer_number"))
    return MathItem(str(row.get("id", number)), _text(row, "question"), answer)


def _gsm8k(row: Columns, number: int, context: _Context) -> MathItem:
    text = _text(row, "answer")
    _, mark, answer = text.rpartition("####")
    if not mark:
        raise _Misfit(f"the answer {text!r} does not end in '#### number'")
    return MathItem(str(row.get("id", number)), _text(row, "question"), _number(answer))


def _xlsum(row: Columns, number: int, context: _Context) -> AnswerItem:
    fields = {"title": _text(row, "title"), "text": _text(row, "text")}
    return AnswerItem(str(row.get("id", number)), fields, (_text(row, "summary"),))


def _tagged(row: Columns, number: int, context: _Context) -> TaggedItem:
    column = next((name for name in TAG_COLUMNS if name in row), TAG_COLUMNS[0])
    words, tags = (_list(row, name) for name in ("tokens", column))
    if bare := next((tag for tag in tags if re.fullmatch(r"-?\d+", tag)), None):
        raise _Misfit(
            f"{column} holds {bare!r}, a number without a name; write names (O, B-PER, NOUN)"
        )
    if len(words) != len(tags):
        raise _Misfit(f"{len(words)} tokens and {len(tags)} {column}; one for each is expected")
    identifier = row.get("idx", row.get("id", number))
    return TaggedItem(str(identifier), words, tags)


def _list(row: Columns, name: str) -> tuple[str, ...]:
    value = _value_of(row, name)
    if not isinstance(value, list | tuple) or not value:
        raise _Misfit(f"the column {name!r} holds {value!r}, where a list of words is expected")
    return tuple(str(entry) for entry in value)


def _number(text: str) -> str:
    try:
        return plain_number(text)
    except ValueError as error:
        raise _Misfit(f"the answer {error}") from None


_READERS: dict[str, Callable[[Columns, int, _Context], Item]] = {
    "sib200": _sib200,
    "belebele": _belebele,
    "xcopa": _xcopa,
    "global_mmlu": _global_mmlu,
    "flores": _flores,
    "mgsm": _mgsm,
    "gsm8k": _gsm8k,
    "xlsum": _xlsum,
    "tagged": _tagged,
    **question_schemas.READERS,
}
