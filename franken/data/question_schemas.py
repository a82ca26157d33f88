"""Readers of question sets used for transplants: inference, reading, open questions, culture.

====================  ===========================================  ==========================
schema                columns                                      fields of the item
====================  ===========================================  ==========================
``xnli``              premise, hypothesis, label (0, 1, 2)         premise, hypothesis
``xquad``             id, context, question, answers.text          context, question
``mkqa``              example_id, query, queries, answers          question
``globalopinionqa``   question, options, selections (, id)         question, country
``culturalbench``     data_idx, prompt_question, prompt_option_*,  question, country
                      answer, country
====================  ===========================================  ==========================

XQuAD's columns are those of SQuAD; rows of SQuAD 2.0 without an answer are left out.
GlobalOpinionQA's gold option is the one that most people of the country chose (ties: the first).
The country of a row decides its language, as in the release of XTransplant.
"""

import ast
import json
from collections.abc import Callable
from typing import Any

from franken.data.columns import Columns, Context, LeftOut, Misfit, one_of, text, value_of
from franken.data.items import AnswerItem, ChoiceItem

XNLI_LABELS = ("entailment", "neutral", "contradiction")

COUNTRIES = {
    "am": ("Ethiopia",), "bn": ("Bangladesh",), "de": ("Germany", "Austria"), "el": ("Greece",),
    "ar": ("Lebanon", "Jordan", "Libya", "Tunisia", "Egypt", "Iraq", "Morocco", "Palest. ter.",
           "Kuwait", "Saudi Arabia"),
    "en": ("Britain", "Great Britain", "United Kingdom", "United States", "Nigeria", "Ghana",
           "Australia", "Canada", "New Zealand", "South Africa"),
    "es": ("Argentina", "Peru", "Spain", "Venezuela", "Mexico", "Chile", "Colombia", "Bolivia",
           "Ecuador", "Guatemala", "Nicaragua", "Uruguay"),
    "fa": ("Iran",), "fr": ("France", "Senegal"), "he": ("Israel",), "hi": ("India",),
    "id": ("Indonesia",), "it": ("Italy",), "ka": ("Georgia",), "ja": ("Japan",),
    "ko": ("South Korea", "S. Korea"),
    "ms": ("Malaysia", "Singapore"), "nl": ("Netherlands",), "pl": ("Poland",),
    "pt": ("Brazil", "Portugal"), "ru": ("Russia",), "sv": ("Sweden",),
    "sw": ("Kenya", "Tanzania"), "th": ("Thailand",), "tl": ("Philippines",), "tr": ("Turkey",),
    "uk": ("Ukraine",), "ur": ("Pakistan",), "vi": ("Vietnam",),
    "zh": ("China", "Hong Kong", "Hong Kong SAR", "Macau", "Macau SAR", "Taiwan"),
}  # fmt: skip
"""Language -> countries whose questions it donates for (our own list, after the release's idea)."""


def _xnli(row: Columns, number: int, context: Context) -> ChoiceItem:
    answer = one_of(row, "label", {"0": 0, "1": 1, "2": 2, "entailment": 0, "neutral": 1,
                                   "contradiction": 2})  # fmt: skip
    fields = {"premise": text(row, "premise"), "hypothesis": text(row, "hypothesis")}
    return ChoiceItem(str(row.get("id", number)), fields, XNLI_LABELS, answer)


def _xquad(row: Columns, number: int, context: Context) -> AnswerItem:
    answers = value_of(row, "answers")
    if not isinstance(answers, dict) or not isinstance(answers.get("text"), list):
        raise Misfit(f"the column 'answers' holds {answers!r}, where {{text: [...]}} is expected")
    found = tuple(str(answer) for answer in answers["text"] if str(answer).strip())
    if not found:
        raise LeftOut("unanswerable (SQuAD 2.0)")
    fields = {"context": text(row, "context"), "question": text(row, "question")}
    return AnswerItem(str(row.get("id", number)), fields, found)


def _mkqa(row: Columns, number: int, context: Context) -> AnswerItem:
    queries, answers = value_of(row, "queries"), value_of(row, "answers")
    if not isinstance(queries, dict) or not isinstance(answers, dict):
        raise Misfit("the columns 'queries' and 'answers' must map languages to texts")
    if context.lang not in queries or context.lang not in answers:
        raise Misfit(f"it has no query or answers in {context.lang!r}; it has {', '.join(queries)}")
    found: list[str] = []
    for answer in answers[context.lang] or []:
        found += [str(answer["text"])] if answer.get("text") else []
        found += [str(alias) for alias in answer.get("aliases") or []]
    if not found:
        raise LeftOut("unanswerable in this language")
    fields = {"question": str(queries[context.lang])}
    return AnswerItem(str(row.get("example_id", number)), fields, tuple(dict.fromkeys(found)))


def _globalopinionqa(row: Columns, number: int, context: Context) -> ChoiceItem:
    selections = _parsed(row, "selections", dict)
    options = tuple(str(option) for option in _parsed(row, "options", list))
    country = _country([str(name) for name in selections], context)
    shares = selections[country]
    if not isinstance(shares, list) or len(shares) != len(options):
        raise Misfit(f"{country}: {len(options)} options but {len(shares)} shares in 'selections'")
    answer = max(range(len(shares)), key=lambda at: (float(shares[at]), -at))
    fields = {"question": text(row, "question"), "country": country}
    return ChoiceItem(str(row.get("id", number)), fields, options, answer)


def _culturalbench(row: Columns, number: int, context: Context) -> ChoiceItem:
    country = _country([text(row, "country")], context)
    fields = {"question": text(row, "prompt_question"), "country": country}
    identifier = str(row.get("data_idx", row.get("question_idx", number)))
    if "prompt_option" in row:  # the Hard form: one option, true or false
        fields["statement"] = text(row, "prompt_option")
        answer = one_of(row, "answer", {"True": 0, "true": 0, "1": 0, "False": 1, "false": 1,
                                        "0": 1})  # fmt: skip
        identifier = (
            f"{identifier}#{row.get('question_idx', number)}" if "data_idx" in row else (identifier)
        )
        return ChoiceItem(identifier, fields, ("True", "False"), answer)
    options = tuple(text(row, f"prompt_option_{letter}") for letter in "abcd")
    answer = one_of(row, "answer", {letter: at for at, letter in enumerate("ABCD")})
    return ChoiceItem(identifier, fields, options, answer)


def _country(found: list[str], context: Context) -> str:
    """The first of the countries that speaks the language wanted."""
    if not found:
        raise Misfit("it names no country")
    if context.culture is None:
        return found[0]
    wanted = COUNTRIES.get(context.culture.split("-")[0], ())
    for name in found:
        if name in wanted or any(name.startswith(f"{country} (") for country in wanted):
            return name
    raise LeftOut(f"no country of {context.culture!r} among {', '.join(found[:5])}")


def _parsed(row: Columns, name: str, kind: type) -> Any:
    """A column as published: the value itself, JSON, or the text of a Python literal."""
    value = value_of(row, name)
    if isinstance(value, str):
        literal = value.strip()
        if literal.startswith("defaultdict("):
            literal = literal[literal.index("{") : literal.rindex("}") + 1]
        try:
            value = json.loads(literal)
        except ValueError:
            try:
                value = ast.literal_eval(literal)
            except (ValueError, SyntaxError):
                raise Misfit(f"the column {name!r} holds {value!r}, which cannot be read") from None
    if not isinstance(value, kind) or not value:
        raise Misfit(f"the column {name!r} holds {value!r}, where a {kind.__name__} is expected")
    return value


READERS: dict[str, Callable[[Columns, int, Context], ChoiceItem | AnswerItem]] = {
    "xnli": _xnli,
    "xquad": _xquad,
    "mkqa": _mkqa,
    "globalopinionqa": _globalopinionqa,
    "culturalbench": _culturalbench,
}
