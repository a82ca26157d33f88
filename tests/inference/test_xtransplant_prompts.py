"""Prompt pairs, matchers and defects (V14)."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from franken.config.data import DataConfig
from franken.config.prompts import AnswerForm, DefectPolicy, Portion, PromptsConfig, PromptSet
from franken.errors import ConfigError, DataError
from franken.inference.base import Direction
from franken.prompts import Gold, check_prompts, lenient, option_logit, prompt_pairs, strict_v1
from franken.prompts.defects import find_defects, markers, misaligned_rows
from franken.prompts.matchers import decided
from franken.prompts.pairs import parallel_prompt, prompt_faults
from tests.faults import raises, unnamed

CONF = Path(__file__).parents[2] / "conf"
NUMBERS = Gold(AnswerForm.number, ("1", "2", "3"), ("entail", "neutral", "contradict"), 1, True)
BARE = Gold(AnswerForm.number, ("1", "2"), ("it rained", "the sun shone"), 0)
LETTERS = Gold(AnswerForm.letter, ("A", "B", "C"), ("yes", "no", "perhaps"), 1)
WORDS = Gold(AnswerForm.word, (), ("science", "sports"), 1)
TEXT = Gold(AnswerForm.text, (), ("Levi's Stadium", "Levi’s"), 0)
SUM = Gold(AnswerForm.word, (), ("13",), 0)


@pytest.mark.parametrize(
    ("answer", "gold", "strict", "loose"),
    [
        (" (2) neutral", NUMBERS, True, True),
        ("（2）", NUMBERS, True, True),
        (" 2 ", NUMBERS, True, True),
        ("it is neutral.", NUMBERS, True, True),
        ("(2), not (3)", NUMBERS, False, True),
        ("(1) neutral", NUMBERS, False, False),
        ("2.", NUMBERS, False, True),
        ("Neutral", NUMBERS, False, True),
        ("it rained", BARE, False, True),
        ("(1)", BARE, True, True),
        ("(12)", BARE, False, False),
        (" (b) no", LETTERS, True, True),
        ("B", LETTERS, True, True),
        ("B.", LETTERS, False, True),
        ("B) no", LETTERS, False, True),
        ("（B）", LETTERS, False, True),
        ("B\nas everyone knows", LETTERS, False, True),
        ("b: no", LETTERS, False, True),
        (" (B", LETTERS, False, True),
        (" b lot of people", LETTERS, False, False),
        ("2 of them", NUMBERS, False, False),
        ("2.5 of them", NUMBERS, False, False),
        ("a lot of people, (B)", LETTERS, True, True),
        ("(B) or (Z)", LETTERS, False, True),
        ("(A)", LETTERS, False, False),
        (" sports", WORDS, True, True),
        (" Sports .", WORDS, False, True),
        (" sports science", WORDS, False, True),
        (" esports", WORDS, False, False),
        ("at LEVI'S stadium", TEXT, True, True),
        ("Levi’s", TEXT, False, True),
        (" 13", SUM, True, True),
        (" 130", SUM, False, False),
        ("", NUMBERS, False, False),
    ],
)
def test_matchers(answer: str, gold: Gold, strict: bool, loose: bool) -> None:
    assert strict_v1(answer, gold) is strict
    assert lenient(answer, gold) is loose


def test_lenient_knows_the_other_language() -> None:
    turkish = Gold(AnswerForm.word, (), ("doktor", "hasta"), 0)
    english = Gold(AnswerForm.word, (), ("doctor", "patient"), 0)
    assert not strict_v1(" doctor", turkish)
    assert not lenient(" doctor", turkish)
    assert lenient(" doctor", turkish, english)
    assert not lenient(" patient , doctor", turkish, english)


def test_unspaced_scripts_match_inside_text() -> None:
    gold = Gold(AnswerForm.word, (), ("科学", "体育"), 1)
    assert strict_v1("这是体育。", gold)


def test_option_logits() -> None:
    assert option_logit([0.1, 2.0, -1.0], NUMBERS) is True
    assert option_logit([3.0, 2.0, -1.0], NUMBERS) is False
    assert option_logit([], NUMBERS) is None
    assert option_logit([1.0, 0.0], TEXT) is None
    assert option_logit([1.0], SUM) is None


@pytest.mark.parametrize("gold", [NUMBERS, BARE, LETTERS, WORDS, TEXT])
def test_a_decided_verdict_never_changes(gold: Gold) -> None:
    texts = [
        "(1) entail or (2)", "(2) neutral (3)", "2", "(B) (C) (A)", "sports science",
        " sport sports sciences ", "Levi's Stadium in", "neutral contradict", "1 (2)",
        "sports science .",
    ]  # fmt: skip
    for text in texts:
        for end in range(len(text) + 1):
            if decided(text[:end], gold):
                later = {strict_v1(text[:more], gold) for more in range(end, len(text) + 1)}
                assert later == {strict_v1(text[:end], gold)}
    assert not all(decided(text, gold) is False for text in texts) or gold is BARE


def test_v14_a_misaligned_block_is_found_from_its_first_row() -> None:
    """Like the release's German XNLI: aligned up to row 210, then by chance only."""
    english = [(7 * n) % 3 for n in range(1000)]
    german = english[:210] + [(answer + (n % 5 > 0)) % 3 for n, answer in enumerate(english[210:])]
    assert german[210] == english[210]  # the first rows of the block may agree by chance
    first = next(n for n in range(1000) if german[n] != english[n])
    assert misaligned_rows(german, english) == list(range(first, 1000))
    assert misaligned_rows(english, english) == []
    single = [*english[:500], (english[500] + 1) % 3, *english[501:]]
    assert misaligned_rows(single, english) == [500]


def test_lost_option_markers_are_found() -> None:
    text = "(A) yes (b) no （C）perhaps (not one) (US)"
    assert markers(text, ("A", "B", "C")) == {"A": 1, "B": 1, "C": 1}
    whole = ("(A) ja (B) nein (C) vielleicht", LETTERS)
    broken = ("(ሀ) ja B) nein (C) vielleicht", LETTERS)
    found = find_defects("q", "am", [whole, broken], [whole, whole])
    assert [(d.kind, d.rows, d.drops) for d in found if d.kind == "markers"] == [
        ("markers", (1,), True)
    ]
    # as many markers, but in other letters; and something short in brackets that is none
    ethiopic = ("(ሀ) ja (ለ) nein (ሐ) vielleicht", LETTERS)
    (lost,) = [d for d in find_defects("q", "am", [ethiopic], [whole]) if d.kind == "markers"]
    assert lost.rows == (0,)
    english = ("(America) (A) ja (B) nein (C) vielleicht", LETTERS)
    chinese = ("（美国）（A）ja（B）nein（C）vielleicht", LETTERS)
    assert not find_defects("q", "zh", [chinese], [english])
    french = Gold(AnswerForm.number, ("1", "2"), ("(1)\u00a0oui", "(2)\u00a0non"), 0, True)
    (words,) = [d for d in find_defects("x", "fr", [("a", french)], [("b", french)]) if not d.rows]
    assert words.kind == "label_words"


@dataclass
class Rows:
    """A data source with one evaluation set."""

    rows: dict[str, list[dict[str, Any]]]
    schema: str = "xnli"
    config: DataConfig = field(default_factory=lambda: DataConfig(languages=["tr"]))

    def task_rows(self, task: str, lang: str, split: str = "test") -> list[dict[str, Any]]:
        return self.rows[lang]

    def task_schema(self, task: str) -> str:
        return self.schema

    def tasks(self) -> list[str]:
        return ["inference"]

    def task_languages(self, task: str) -> list[str]:
        return list(self.rows)


def xnli(lang: str, labels: list[int]) -> list[dict[str, Any]]:
    return [{"premise": f"{lang} p{n}", "hypothesis": f"h{n}", "label": label}
            for n, label in enumerate(labels)]  # fmt: skip


def config(**changes: Any) -> PromptsConfig:
    prompts = PromptSet(
        source="inference",
        prompts={"en": "{premise} / {hypothesis}\n{options}\nanswer:",
                 "tr": "{premise} / {hypothesis}\n{options}\ncevap:"},
        labels={"tr": {"entailment": "evet", "neutral": "belki", "contradiction": "hayır"}},
    )  # fmt: skip
    return PromptsConfig(sets={"xnli": prompts}, **changes)


def test_pairs_of_both_directions() -> None:
    data = Rows({"en": xnli("en", [0, 2]), "tr": xnli("tr", [0, 2])})
    pairs, defects = prompt_pairs(config(), "xnli", data, "tr", Direction.en2x)
    assert not defects
    assert pairs[1].target.text == "tr p1 / h1\n(1) evet\n(2) belki\n(3) hayır\ncevap:"
    assert pairs[1].donor.text == (
        "en p1 / h1\n(1) entailment\n(2) neutral\n(3) contradiction\nanswer:"
    )
    assert pairs[1].target.gold.word == "hayır"
    assert pairs[1].target.gold.labelled
    turned, _ = prompt_pairs(config(), "xnli", data, "tr", Direction.x2en)
    assert (turned[1].target, turned[1].donor) == (pairs[1].donor, pairs[1].target)
    both = parallel_prompt(config(), pairs[0])
    assert both.text == f"{pairs[0].donor.text}\n\n{pairs[0].target.text}"
    assert both.gold == pairs[0].target.gold


def test_v10_the_source_language_is_paired_with_itself() -> None:
    data = Rows({"en": xnli("en", [0, 2])})
    pairs, defects = prompt_pairs(config(), "xnli", data, "en", Direction.en2x)
    assert all(pair.target == pair.donor for pair in pairs)
    assert not defects


def test_rows_left_in_the_source_language_are_reported() -> None:
    """Templates are translated, so the prompts differ all the same."""
    data = Rows({"en": xnli("en", [0, 1]), "tr": [*xnli("tr", [0]), xnli("en", [0, 1])[1]]})
    pairs, (found,) = prompt_pairs(config(), "xnli", data, "tr", Direction.en2x)
    assert (found.kind, found.rows, found.drops) == ("untranslated", (1,), False)
    assert len(pairs) == 2


def test_what_happens_to_defects() -> None:
    data = Rows({"en": xnli("en", [0, 1, 2, 0]), "tr": xnli("tr", [0, 1, 0, 1])})
    dropped, defects = prompt_pairs(config(), "xnli", data, "tr", Direction.en2x)
    assert [pair.index for pair in dropped] == [0, 1]
    assert [(d.kind, d.rows) for d in defects] == [("labels", (2, 3))]
    kept, _ = prompt_pairs(config(defects=DefectPolicy.keep), "xnli", data, "tr", Direction.en2x)
    assert len(kept) == 4
    with raises(DataError, "xnli tr", "2 of 4"):
        prompt_pairs(config(defects=DefectPolicy.refuse), "xnli", data, "tr", Direction.en2x)


def test_rows_that_cannot_be_paired() -> None:
    data = Rows({"en": xnli("en", [0, 1, 2]), "tr": xnli("tr", [0, 1])})
    with raises(DataError, "xnli tr", "2 prompts", 3):
        prompt_pairs(config(), "xnli", data, "tr", Direction.en2x)
    for rows, order in ((data.rows["en"], "abc"), (data.rows["tr"], "cb")):
        for row, name in zip(rows, order, strict=True):
            row["id"] = name
    data.rows["tr"][0]["label"], data.rows["tr"][1]["label"] = 2, 1
    pairs, defects = prompt_pairs(config(), "xnli", data, "tr", Direction.en2x)
    assert [pair.donor.text[:5] for pair in pairs] == ["en p2", "en p1"]
    assert not defects


@pytest.mark.parametrize(
    ("english", "turkish", "named"),
    [
        ("abc", "abd", ["1 of 3", "d"]),
        ("abc", "abb", ["1 ids", "here: b"]),
        ("abb", "abc", ["1 ids", "language: b"]),
        ("abcc", "ab", ["language: c"]),
    ],
)
def test_named_rows_are_never_paired_by_position(
    english: str, turkish: str, named: list[str]
) -> None:
    sides = {"en": english, "tr": turkish}
    rows = {lang: xnli(lang, [0] * len(names)) for lang, names in sides.items()}
    for lang, names in sides.items():
        for row, name in zip(rows[lang], names, strict=True):
            row["id"] = name
    with raises(DataError, "xnli tr", *named):
        prompt_pairs(config(), "xnli", Rows(rows), "tr", Direction.en2x)


def test_prompts_are_checked_before_work_starts() -> None:
    from franken.config.data import MicroworldData
    from franken.data import open_data

    data = open_data(MicroworldData(languages=["tr", "ka"]))
    sets = {
        "good": PromptSet(source="arithmetic", prompts={"any": "{question} :"}),
        "gone": PromptSet(source="sums", prompts={"any": "{question} :"}),
        "mute": PromptSet(source="arithmetic", prompts={"en": "{question} :", "tr": "{question}:"}),
        "far": PromptSet(source="arithmetic", prompts={"any": ":"}, languages=["xx"]),
    }
    check_prompts(PromptsConfig(sets={"good": sets["good"]}), data)
    with raises(
        ConfigError, "prompts.sets.gone.source", "'sums'", "prompts.sets.far.languages", "'xx'"
    ) as caught:
        check_prompts(PromptsConfig(sets=sets), data)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "prompts.sets.gone.source", "prompts.sets.mute.prompts", "prompts.sets.far.languages"
    ]  # fmt: skip
    assert not unnamed(lines[1], "'ka'")
    uneven = Rows({"en": xnli("en", [0, 1, 2]), "tr": xnli("tr", [0, 1])})
    for limit in (None, 1):
        wanted = config()
        wanted.sets["xnli"].limit = limit
        with raises(DataError, "xnli tr", "2 prompts", 3):
            check_prompts(wanted, uneven)
    even = Rows({"en": xnli("en", [0, 1]), "tr": xnli("tr", [0, 1])})
    check_prompts(config(pilot=1), even, Portion.rest)
    with raises(DataError, "xnli tr", "part rest", 2, "prompts.pilot"):
        check_prompts(config(pilot=2), even, Portion.rest)


def test_missing_wording_and_wrong_templates() -> None:
    data = Rows({"en": xnli("en", [0]), "ka": xnli("ka", [0]), "tr": xnli("tr", [0])})
    with raises(ConfigError, "prompts.sets.xnli.prompts", "'ka'", "en, tr"):
        prompt_pairs(config(), "xnli", data, "ka", Direction.en2x)
    wrong = config()
    wrong.sets["xnli"].prompts["tr"] = "{premis}:"
    with raises(
        ConfigError, "prompts.sets.xnli.prompts.tr", "'{premis}:'", "premise, hypothesis, options"
    ):
        prompt_pairs(wrong, "xnli", data, "tr", Direction.en2x)


HUB = ["xnli", "xcopa", "xquad", "mkqa", "globalopinionqa", "culturalbench"]


@pytest.mark.parametrize("name", HUB)
def test_prompts_of_the_hub_sets_fit_their_data_option(name: str) -> None:
    """Without reading a row: the sets are there, in languages that have wording."""
    from hydra import compose, initialize_config_dir

    from franken.cli.check import to_config
    from franken.config.register import register_schemas
    from franken.data import open_data

    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = to_config(compose("config", overrides=[f"prompts={name}", "data=hub_xtransplant"]))
    assert not prompt_faults(config.prompts, open_data(config.data))


@pytest.mark.parametrize("name", [*HUB, "microworld", "microworld_culture"])
def test_prompt_options_compose_and_end_where_the_answer_begins(name: str) -> None:
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from franken.config.checks import collect_faults
    from franken.config.register import register_schemas

    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        composed = compose("config", overrides=[f"prompts={name}"])
    prompts = OmegaConf.to_object(composed.prompts)
    assert isinstance(prompts, PromptsConfig)
    assert not collect_faults(prompts)
    for one in prompts.sets.values():
        assert all(template.rstrip()[-1] in ":：" for template in one.prompts.values())


def test_templates_with_fields_that_do_not_exist_are_faults() -> None:
    broken = PromptSet(
        source="x", prompts={"any": "?"}, option="{markk} {option}", continuation=" {"
    )
    assert [key for key, _ in broken.faults()] == ["option", "continuation"]
    pim = PromptsConfig(pim="{donor} {target} {both}")
    assert [key for key, _ in pim.faults()] == ["pim"]


def byte_tokenizer(*merges: tuple[str, str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = [*alphabet, *("".join(pair) for pair in merges)]
    vocabulary = {piece: at for at, piece in enumerate(pieces)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=made)


@pytest.mark.parametrize("merges", [(), (("Ġ", "("),)], ids=str)
@pytest.mark.parametrize("name", ["xnli", "xcopa", "globalopinionqa", "culturalbench"])
def test_options_of_the_hub_sets_can_be_scored(name: str, merges: Any) -> None:
    """They all begin with a bracket; the token behind it tells them apart."""
    from omegaconf import OmegaConf

    from franken.inference.xtransplant import XTransplant
    from franken.inference.xtransplant.samples import Tokens
    from franken.prompts.gold import marks_of

    (one,) = OmegaConf.load(CONF / f"prompts/{name}.yaml").sets.values()
    tokens = Tokens(byte_tokenizer(*merges), XTransplant(), None)
    marks = marks_of(AnswerForm(one.answers), 3)
    options = [one.continuation.format(mark=mark, option="a place") for mark in marks]
    lead, watch = tokens.told_apart(options)
    assert tokens.text(lead) == " ("
    assert len(lead) == 2 - len(merges)
    assert [tokens.text([token]) for token in watch] == list(marks)


def test_options_that_no_token_tells_apart_are_reported() -> None:
    from franken.inference.xtransplant import XTransplant
    from franken.inference.xtransplant.choices import DonorKind, Stop
    from franken.inference.xtransplant.samples import Tokens, gather
    from tests.parts.tiny import tiny_tokenizer

    tokens = Tokens(tiny_tokenizer(), XTransplant(), None)
    wanted = config()
    wanted.sets["xnli"].labels = {"any": {
        "entailment": "abc", "neutral": "abd", "contradiction": "b",
    }}  # fmt: skip
    wanted.sets["xnli"].continuation = "{option}"
    data = Rows({"en": xnli("en", [0, 1]), "tr": xnli("tr", [0, 1])})
    samples, defects = gather(wanted, "xnli", data, "tr", Portion.all, tokens,
                              donor=DonorKind.translation, stop=Stop.text, seed=0)  # fmt: skip
    assert not any(sample.task.watch for sample in samples)
    (found,) = [defect for defect in defects if defect.kind == "options_clash"]
    assert found.rows == (0, 1)
    assert not unnamed(found.message, "2 of 2")
    assert not found.drops
