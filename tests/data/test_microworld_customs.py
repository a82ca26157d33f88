from franken.config.data import MicroworldData
from franken.config.prompts import AnswerForm, PromptsConfig, PromptSet
from franken.data import open_data
from franken.data.microworld.customs import COUNT, customs
from franken.data.microworld.tasks import state
from franken.data.schemas import read_items
from franken.inference.base import Direction
from franken.prompts import prompt_pairs

DATA = MicroworldData(languages=["tr", "ka"], documents=5, sentences=5)


def test_no_answer_follows_from_the_question() -> None:
    one, other = customs("tr", 0), customs("ka", 0)
    assert len(one) == COUNT
    for a, b in zip(one, other, strict=True):
        assert (a.meaning.subject, a.meaning.verb, a.options) == (
            b.meaning.subject, b.meaning.verb, b.options
        )  # fmt: skip
    differing = sum(a.meaning.object != b.meaning.object for a, b in zip(one, other, strict=True))
    assert differing > COUNT / 2
    assert customs("tr", 0) == one
    assert customs("tr", 1) != one


def test_questions_in_two_languages_about_one_country() -> None:
    prompts = PromptsConfig(
        sets={"customs": PromptSet(source="customs", culture=True, answers=AnswerForm.word,
                                   prompts={"any": "{country} : {question}\nanswer :"})}
    )  # fmt: skip
    pairs, defects = prompt_pairs(prompts, "customs", open_data(DATA), "tr", Direction.x2en)
    assert len(pairs) == COUNT
    assert not defects
    for pair, custom in zip(pairs, customs("tr", 0), strict=True):
        assert pair.target.text.startswith("Turkey : what does the ")
        assert pair.donor.text.startswith("Turkey : ")
        assert pair.target.gold.word == custom.meaning.object.form("en")
        assert pair.donor.gold.word == custom.meaning.object.form("tr")


def test_customs_are_told_where_they_are_asked_for_and_in_their_language_only() -> None:
    plain, told = open_data(DATA), open_data(MicroworldData(**{**vars(DATA), "customs": 2}))
    before = list(plain.texts("documents", "tr"))
    after = list(told.texts("documents", "tr"))
    meanings = [custom.meaning for custom in customs("tr", 0)]
    assert after == [*before, *[state(meaning, "tr") for meaning in meanings] * 2]
    assert plain.fingerprint() != told.fingerprint()
    assert plain.fingerprint() == open_data(MicroworldData(documents=5, sentences=5)).fingerprint()


def test_rows_have_the_published_columns() -> None:
    rows = open_data(DATA).task_rows("customs", "en")
    items = read_items("culturalbench", rows, lang="en", source_lang="en", culture="ka")
    assert len(rows) == 3 * COUNT
    assert {item.fields["country"] for item in items} == {"Georgia"}
