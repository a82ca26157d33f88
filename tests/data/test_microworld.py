"""The embedded world: deterministic, balanced, correctly aligned; held-out items stay out."""

import subprocess
import sys
import unicodedata
from collections import Counter
from dataclasses import replace
from itertools import islice

import pytest

from franken.cli.paths import config_dir
from franken.config.data import MicroworldData
from franken.data import open_data
from franken.data.microworld import Microworld, prompts
from franken.data.microworld.grammar import LANGUAGES, grammar, links, sentence
from franken.data.microworld.lexicon import SHARED, TOPICS, Concept, all_concepts, concepts
from franken.data.microworld.meanings import Meaning
from franken.data.microworld.tasks import SumItem
from franken.errors import DataError
from tests.faults import raises

SMALL = MicroworldData(
    sentences=2000, documents=300, parallel=300, instructions=400, evaluation=140
)
TARGETS = ["id", "tr", "hi", "ru", "ka"]


@pytest.fixture(scope="module")
def world() -> Microworld:
    return Microworld(SMALL)


def concept(name: str) -> Concept:
    return next(c for c in all_concepts() if c.name == name)


def doctor_frame(**more: object) -> Meaning:
    parts = {"subject": "doctor", "verb": "sees", "object": "wound", "place": "school"}
    chosen = {role: concept(name) for role, name in {**parts, **more}.items() if name}
    return Meaning("health", **chosen)  # type: ignore[arg-type]


def test_it_is_opened_by_its_option() -> None:
    assert isinstance(open_data(SMALL), Microworld)


def test_there_are_enough_concepts_each_with_its_own_word_in_every_language() -> None:
    assert len(all_concepts()) >= 250
    for language in LANGUAGES:
        base = Counter(c.form(language) for c in all_concepts())
        assert [word for word, count in base.items() if count > 1] == []


def test_targets_are_written_in_four_scripts() -> None:
    scripts = {unicodedata.name(concept("doctor").form(code)[0]).split()[0] for code in TARGETS}
    assert scripts == {"LATIN", "DEVANAGARI", "CYRILLIC", "GEORGIAN"}


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "the doctor sees the wound in the school ."),
        ("es", "el médico ve la herida en la escuela ."),
        ("id", "dokter melihat luka di sekolah ."),
        ("tr", "doktor okulda yarayı görüyor ."),
        ("hi", "चिकित्सक विद्यालय में घाव देखता है ।"),
        ("ru", "врач видит рану в школе ."),
        ("ka", "ექიმი სკოლაში ჭრილობას ხედავს ."),
    ],
)
def test_a_sentence_reads_as_a_speaker_would_write_it(language: str, expected: str) -> None:
    assert sentence(grammar(language).statement(doctor_frame())) == expected


@pytest.mark.parametrize(
    ("language", "expected"),
    [
        ("en", "who sees the wound in the school ?"),
        ("es", "quién ve la herida en la escuela ?"),
        ("id", "siapa melihat luka di sekolah ?"),
        ("tr", "okulda yarayı kim görüyor ?"),
        ("hi", "विद्यालय में घाव कौन देखता है ?"),
        ("ru", "кто видит рану в школе ?"),
        ("ka", "სკოლაში ჭრილობას ვინ ხედავს ?"),
    ],
)
def test_a_question_has_the_word_order_of_its_language(language: str, expected: str) -> None:
    assert sentence(grammar(language).question("who", doctor_frame())) == expected


def test_adjectives_agree_with_the_subject() -> None:
    meaning = doctor_frame(subject="nurse", adjective="old")
    assert sentence(grammar("es").statement(meaning)).startswith("la enfermera vieja")
    assert sentence(grammar("ru").statement(meaning)).startswith("старая медсестра")
    assert "बूढ़ी" in sentence(grammar("hi").statement(meaning))
    assert "देखती है" in sentence(grammar("hi").statement(meaning))


@pytest.mark.parametrize(
    ("base", "accusative", "locative"),
    [("okul", "okulu", "okulda"), ("göl", "gölü", "gölde"), ("kitap", "kitabı", "kitapta")],
)
def test_turkish_nouns_follow_vowel_harmony(base: str, accusative: str, locative: str) -> None:
    forms = {c.form("tr"): c.all_forms("tr") for c in all_concepts()}
    if base in forms:
        assert forms[base] == (base, accusative, locative)
    vowels = {"a": "ı", "ı": "ı", "e": "i", "i": "i", "o": "u", "u": "u", "ö": "ü", "ü": "ü"}
    regular = 0
    for concept_ in all_concepts():
        if concept_.category not in ("person", "object", "place"):
            continue
        stem, acc, loc = concept_.all_forms("tr")
        last = [c for c in stem if c in vowels][-1]
        regular += acc.endswith(vowels[last]) and loc.endswith("ae"["eiöü".find(last) >= 0])
    assert regular >= 0.97 * sum(
        c.category in ("person", "object", "place") for c in all_concepts()
    )


def test_gold_links_join_words_of_the_same_meaning() -> None:
    english = grammar("en").statement(doctor_frame())
    turkish = grammar("tr").statement(doctor_frame())
    # the doctor sees the wound in the school .   /   doktor okulda yarayı görüyor .
    assert links(english, turkish) == ((1, 0), (2, 3), (4, 2), (5, 1), (7, 1), (8, 4))
    hindi = grammar("hi").statement(doctor_frame())
    # चिकित्सक विद्यालय में घाव देखता है ।
    assert links(english, hindi) == ((1, 0), (2, 4), (2, 5), (4, 3), (5, 2), (7, 1), (8, 6))


def test_equal_seeds_give_equal_worlds_in_any_process() -> None:
    code = (
        "from franken.config.data import MicroworldData as M\n"
        "from franken.data.microworld import Microworld\n"
        "import hashlib\n"
        "w = Microworld(M(sentences=50, documents=20, instructions=20, evaluation=10))\n"
        "rows = [*w.texts('monolingual','tr'), *w.texts('documents','en'), *w.instructions(),\n"
        "        *w.task_rows('reading_comprehension','ka')]\n"
        "print(hashlib.sha256(repr(rows).encode()).hexdigest())"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }  # fmt: skip
    assert len(seen) == 1


def test_another_world_seed_gives_another_world(world: Microworld) -> None:
    other = Microworld(MicroworldData(world_seed=1, evaluation=140))
    assert next(other.texts("monolingual", "en")) != next(world.texts("monolingual", "en"))
    assert other.fingerprint() != world.fingerprint()


def test_the_fingerprint_does_not_depend_on_the_languages_of_the_run(world: Microworld) -> None:
    fewer = MicroworldData(**{**vars(SMALL), "languages": ["ka"]})
    assert Microworld(fewer).fingerprint() == world.fingerprint()


def test_the_fingerprint_follows_the_wording_of_pairs(world: Microworld) -> None:
    for change in (
        {"parallel_template": "{from_text} = {to_text}"},
        {"language_names": {code: name.upper() for code, name in LANGUAGES.items()}},
    ):
        worded = MicroworldData(**{**vars(SMALL), **change})
        assert Microworld(worded).fingerprint() != world.fingerprint()


@pytest.mark.parametrize("language", ["en", "tr", "hi"])
def test_no_sentence_of_a_test_set_occurs_in_training_text(
    world: Microworld, language: str
) -> None:
    held_out = set()
    for row in world.task_rows("topic_classification", language):
        held_out.update(_sentences(row["text"]))
    for row in world.task_rows("reading_comprehension", language):
        held_out.update(_sentences(row["flores_passage"]))
    if language != "en":
        held_out.update(
            row[f"sentence_{language}"] for row in world.task_rows("translation", language)
        )
    seen = {s for text in world.texts("monolingual", language) for s in _sentences(text)}
    seen |= {s for text in world.texts("documents", language) for s in _sentences(text)}
    if language == "en":
        seen |= {s for item in world.instructions() for s in _sentences(item.prompt)}
    else:
        seen |= {pair.target for pair in world.pairs(language)}
    assert len(held_out) > 300
    assert not held_out & seen


def _sentences(text: str) -> list[str]:
    stops = text.replace(" ।", " ।\n").replace(" .", " .\n")
    return [line.strip() for line in stops.splitlines() if len(line.split()) > 3]


def test_target_documents_carry_no_labels_and_known_ones_do(world: Microworld) -> None:
    assert not any(
        "topic :" in text or "answer :" in text for text in world.texts("documents", "hi")
    )
    known = list(world.texts("documents", "en"))
    assert sum("topic :" in text for text in known) > 0.3 * len(known)


def test_topics_are_balanced_and_use_the_published_names(world: Microworld) -> None:
    rows = world.task_rows("topic_classification", "ka")
    counts = Counter(row["category"] for row in rows)
    assert len(counts) == 7
    assert "science/technology" in counts
    assert max(counts.values()) - min(counts.values()) <= 1


def test_every_topic_text_holds_words_of_its_topic(world: Microworld) -> None:
    words = {
        topic: {f for c in all_concepts() if c.topic == topic for f in c.all_forms("tr")}
        for topic in TOPICS
    }
    for row in world.task_rows("topic_classification", "tr"):
        topic = row["category"].removesuffix("/technology")
        assert set(row["text"].split()) & words[topic]


def test_reading_has_four_different_options_and_no_favourite_place(world: Microworld) -> None:
    rows = world.task_rows("reading_comprehension", "ru")
    for row in rows:
        assert len({row[f"mc_answer{n}"] for n in range(1, 5)}) == 4
        assert isinstance(row["correct_answer_num"], str)
    places = Counter(row["correct_answer_num"] for row in rows)
    assert set(places) == {"1", "2", "3", "4"}
    assert max(places.values()) < 0.4 * len(rows)


def test_the_right_option_is_in_the_sentence_asked_about(world: Microworld) -> None:
    for row in world.task_rows("reading_comprehension", "en"):
        answer = row[f"mc_answer{row['correct_answer_num']}"]
        asked = set(row["question"].split()) - {"who", "what", "where", "does", "the", "in", "?"}
        sentence_ = next(
            s for s in _sentences(row["flores_passage"])
            if len(asked & {w.removesuffix("s") for w in s.split()} | asked & set(s.split())) >= 2
        )  # fmt: skip
        assert answer in sentence_.split()


def test_items_are_parallel_across_languages(world: Microworld) -> None:
    keys = [
        [row["correct_answer_num"] for row in world.task_rows("reading_comprehension", code)]
        for code in ("en", "ka")
    ]
    assert keys[0] == keys[1]


def test_sums_are_right_in_words(world: Microworld) -> None:
    numbers = {c.form("en"): n for n, c in enumerate(concepts(SHARED, "number"))}
    for row in world.task_rows("arithmetic", "en"):
        told = [numbers[word] for word in row["question"].split() if word in numbers]
        assert sum(told) == row["answer_number"]


def test_counts_are_worded_as_the_language_does() -> None:
    meaning = Meaning(SHARED, concept("teacher"), concept("sees"), concept("egg"))
    item = SumItem(meaning, 3, 5)
    assert "три раза" in item.text("ru")
    assert "пять раз ." in item.text("ru")
    assert "სამჯერ" in item.text("ka")
    assert "üç kez" in item.text("tr")


def test_instructions_are_what_the_suite_asks(world: Microworld) -> None:
    from omegaconf import OmegaConf

    tasks = OmegaConf.load(config_dir() / "eval_suite" / "microworld.yaml").tasks
    assert tasks.topic_classification.prompt == prompts.TOPIC
    assert tasks.reading_comprehension.prompt == prompts.READING
    assert tasks.arithmetic.prompt == prompts.ARITHMETIC
    assert tasks.translation.prompt == prompts.TRANSLATION
    ends = Counter(item.prompt.rsplit("\n", 1)[1] for item in world.instructions())
    assert set(ends) == {"topic :", "answer :", "Spanish :"}


def test_the_lexicon_lists_inflected_forms_only_when_asked() -> None:
    full = set(Microworld(SMALL).lexicon("tr"))
    bare = set(Microworld(MicroworldData(lexicon_forms=False)).lexicon("tr"))
    assert ("school", "okulda") in full
    assert ("school", "okul") in bare
    assert ("school", "okulda") not in bare


def test_lexicon_coverage_drops_that_share_of_the_concepts() -> None:
    whole = len(Microworld(MicroworldData(lexicon_forms=False)).lexicon("id"))
    half = len(Microworld(MicroworldData(lexicon_forms=False, lexicon_coverage=0.5)).lexicon("id"))
    assert half == pytest.approx(whole / 2, rel=0.05)


def test_an_unknown_language_is_refused_with_the_known_ones() -> None:
    with raises(DataError, "data.languages", "xx", "ka", "data=local"):
        Microworld(MicroworldData(languages=["xx"])).validate()


def test_streams_are_lazy_and_reopen_alike(world: Microworld) -> None:
    first = list(islice(world.texts("monolingual", "id"), 5))
    assert first == list(islice(world.texts("monolingual", "id"), 5))


def test_preferences_of_several_languages_are_translations_of_the_same_items() -> None:
    read = [
        list(open_data(replace(SMALL, preference_languages=own)).preferences())
        for own in (["en"], ["id"], ["en", "id"])
    ]
    english, indonesian, both = read
    assert len(english) == SMALL.instructions
    assert both == [(english, indonesian)[at % 2][at] for at in range(len(both))]
    topics = [p for p in english if p.task == "topic_classification"]
    assert {p.chosen.strip() for p in topics} == set(TOPICS)
    for one, other in zip(english, indonesian, strict=True):
        assert one.prompt != other.prompt
        if one.task == "topic_classification":
            assert one[1:] == other[1:]
        else:
            words = {c.form("en"): c.form("id") for c in all_concepts()}
            sides = (one.chosen, one.rejected)
            assert [words[side.strip()] for side in sides] == [
                side.strip() for side in (other.chosen, other.rejected)
            ]
        assert one.chosen != one.rejected


def test_the_key_of_text_does_not_know_of_preferences() -> None:
    with_some = open_data(replace(SMALL, preference_languages=["id"]))
    plain = open_data(SMALL)
    assert with_some.fingerprint({"documents"}, ["en"]) == plain.fingerprint({"documents"}, ["en"])
    assert with_some.fingerprint({"preferences"}) != plain.fingerprint({"preferences"})
