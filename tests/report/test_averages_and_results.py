"""Aggregation against numbers worked by hand and against the paper's printed averages."""

import math
from collections.abc import Sequence

import pytest

from franken.report.averages import macro_average
from franken.report.results import Results
from tests.faults import raises

PAPER = """
Gemma2-2B FLAN 52.0 36.0 50.2 65.9 47.3 67.8 27.8 9.6 20.7 7.6 47.8 3.7 36.6 31.7
Gemma2-2B IT+Lang-Adapt 51.2 36.7 42.9 67.0 48.7 67.1 35.4 14.2 29.2 12.3 40.2 7.1 27.5 33.0
Gemma2-2B EmbSwap 62.0 40.2 54.4 72.9 57.9 70.5 27.0 11.0 17.2 8.6 54.1 6.6 34.1 35.3
Gemma2-2B EmbSwap+LoRA 63.3 43.7 55.8 73.5 47.8 70.7 37.1 18.3 32.5 9.8 60.5 9.9 31.9 38.7
Gemma2-2B ChatVector 28.8 32.5 30.6 24.5 29.3 52.2 42.1 32.7 36.1 19.4 16.1 19.3 21.9 28.0
Gemma2-2B CPT 55.4 49.0 58.9 66.9 65.9 78.4 44.2 24.4 36.0 11.2 68.2 14.8 34.0 43.0
Gemma2-9B FLAN 70.6 49.9 68.9 74.4 61.0 79.1 32.0 12.6 27.8 9.8 60.3 15.1 37.5 42.0
Gemma2-9B IT+Lang-Adapt 75.4 57.9 72.7 77.2 69.2 79.7 39.3 22.2 38.7 23.1 69.6 17.0 33.9 48.3
Gemma2-9B EmbSwap 78.1 57.5 71.2 78.6 68.8 79.8 35.9 16.5 31.4 12.5 65.2 15.2 37.1 45.5
Gemma2-9B EmbSwap+LoRA 78.4 60.2 73.1 78.5 69.2 80.1 40.0 25.6 40.5 12.1 64.1 17.4 37.0 47.3
Gemma2-9B ChatVector 69.0 52.5 59.3 82.1 66.1 77.2 44.5 26.6 40.5 17.3 29.8 22.1 26.9 43.7
Gemma2-9B CPT 76.3 65.4 74.1 83.0 64.8 80.0 45.2 34.1 44.6 19.5 72.7 22.6 37.0 51.7
Gemma2-27B FLAN 71.9 52.6 72.9 72.6 60.2 76.4 33.2 15.2 29.6 20.4 61.7 15.0 37.6 43.7
Gemma2-27B IT+Lang-Adapt 81.7 62.7 76.0 82.1 70.0 81.9 42.5 24.8 39.3 26.4 73.0 18.3 35.8 51.1
Gemma2-27B EmbSwap 78.8 56.3 73.1 78.1 66.1 78.5 33.7 13.2 23.9 15.2 59.3 12.4 36.8 43.5
Gemma2-27B EmbSwap+LoRA 79.5 60.4 74.3 79.5 68.3 80.0 42.5 25.7 40.6 16.4 70.1 18.0 36.9 49.1
Gemma2-27B ChatVector 78.5 55.7 71.7 81.5 55.9 77.1 43.4 31.4 37.8 16.2 18.2 20.0 22.8 43.0
Gemma2-27B CPT 81.2 68.6 77.6 72.6 72.3 78.2 45.4 34.4 45.0 21.1 72.4 23.7 38.7 52.5
PaLM2-XXS FLAN 54.5 40.0 49.4 67.2 51.3 70.9 28.5 13.9 21.0 9.7 42.1 4.8 33.7 32.8
PaLM2-S EmbSwap 83.2 67.1 79.9 77.0 66.9 74.6 36.1 23.1 34.6 21.1 51.8 17.3 40.1 47.1
Aya23-8B EmbSwap 56.6 38.4 48.0 72.4 58.7 71.3 28.8 9.1 11.5 7.8 61.6 3.9 25.7 34.2
Aya23-35B EmbSwap 57.6 40.2 53.0 70.8 53.8 68.5 27.7 9.5 13.9 6.8 62.3 7.3 22.1 35.2
Gemma2-9B-IT IT-EmbSwap+LoRA 76.5 58.1 70.8 81.3 71.2 82.8 41.5 25.1 39.8 18.2 68.2 15.7 33.0 48.4
""".strip().splitlines()
"""Tables 2 and 4 of the Franken-Adapter paper: 13 group values and the printed average."""
OFF = {"Gemma2-9B EmbSwap+LoRA": 47.6, "Aya23-35B EmbSwap": 34.8}
"""Rows whose printed average does not follow from the printed groups."""
PAPER_COLUMNS = (
    ("BELEBELE", ("SEA", "AFR", "IND")),
    ("SIB", ("SEA", "AFR", "IND")),
    ("FLORES", ("SEA", "AFR", "IND")),
    ("XORQA", ("indic", "english")),
    ("XSUM", ("indic", "english")),
)
"""Columns of Table 2 without the English benchmarks, in printed order."""
XSUM_INDIC_LANGUAGES = 29


def paper_average(values: Sequence[float], *, count_xsum_english: bool = True) -> float:
    """``Avg`` of Tables 2 and 4 from the 13 group values of a row, in printed order.

    The paper averages XSum over 30 entries, 29 Indic languages and English, although its caption
    leaves English out; ``count_xsum_english=False`` follows the caption.
    """
    rest = iter(values)
    tasks = {task: {group: next(rest) for group in groups} for task, groups in PAPER_COLUMNS}
    if not count_xsum_english:
        del tasks["XSUM"]["english"]
    return macro_average(tasks, {"XSUM": {"indic": XSUM_INDIC_LANGUAGES}})


@pytest.mark.parametrize("line", PAPER, ids=lambda line: " ".join(line.split()[:2]))
def test_group_values_of_the_paper_give_its_printed_averages(line):
    base, system, *numbers = line.split()
    *values, printed = map(float, numbers)
    expected = OFF.get(f"{base} {system}", printed)
    assert paper_average(values) == pytest.approx(expected, abs=0.1)


def test_leaving_xsum_english_out_lowers_the_average():
    values = [float(number) for number in PAPER[0].split()[2:-1]]
    assert paper_average(values, count_xsum_english=False) < paper_average(values)


def test_macro_average_weighs_tasks_equally_and_groups_by_their_weights():
    tasks = {"a": {"x": 10.0, "y": 20.0, "z": 30.0}, "b": {"x": 1.0, "y": 4.0}}
    assert macro_average(tasks) == pytest.approx((20 + 2.5) / 2)
    assert macro_average(tasks, {"b": {"y": 2}}) == pytest.approx((20 + 3) / 2)


@pytest.mark.parametrize("tasks", [{}, {"a": {}}])
def test_an_average_of_nothing_is_refused(tasks):
    with raises(ValueError, "tasks"):
        macro_average(tasks)


def rows(results):
    return {row.label: row for row in results.rows}


def test_models_that_do_not_depend_on_the_variant_are_shown_once(grid):
    results = Results(grid)
    assert [row.label for row in results.rows] == [
        "instruct", "franken (lexicon)", "franken (mean)",
    ]  # fmt: skip
    instruct = rows(results)["instruct"]
    assert results.cell(instruct, "topic", "acc", "en").seeds == 2


def test_tasks_of_the_languages_adapted_to_stand_first(make):
    kept = make("base", "fr", 0.5, task="retention", extra={"lang_role": "other"})
    scored = [make("base", lang, 0.5, task="topic") for lang in ("en", "hi")]
    assert Results([kept, *scored]).tasks == ["topic", "retention"]


def test_a_gap_in_the_grid_does_not_split_a_shared_model(grid):
    lost = [r for r in grid if not (r.variant == "mean" and r.seed == 1)]
    assert Results(lost).rows[0].label == "instruct"


def test_variants_that_coincide_share_their_names(make):
    records = [
        make("franken", "hi", 0.5, variant=variant, key=key)
        for variant, key in (("original+mean", "k"), ("original+max", "k"), ("scratch", "other"))
    ]
    assert [row.variant for row in Results(records).rows] == [
        "original+mean = original+max", "scratch",
    ]  # fmt: skip


def test_the_target_mean_leaves_the_source_language_out(grid):
    results = Results(grid)
    cell = results.mean(rows(results)["franken (lexicon)"], "topic", "acc")
    # seeds give 0.65 and 0.75
    assert cell.value == pytest.approx(0.70)
    assert cell.spread == pytest.approx(math.sqrt(2 * 0.05**2))
    assert cell.stderr == pytest.approx(0.03)  # as if all were the same items
    assert (cell.seeds, cell.languages, cell.n) == (2, 2, 100)


def test_one_seed_shows_the_standard_error_over_items(grid):
    results = Results(record for record in grid if record.seed == 0)
    cell = results.cell(rows(results)["franken (mean)"], "topic", "acc", "hi")
    assert cell.stderr == pytest.approx(0.03)
    assert cell.spread is None


def test_gain_refers_to_the_baseline_of_the_same_experiment(grid):
    results = Results(grid)
    named = rows(results)
    gain = results.gain(named["franken (lexicon)"], "topic", "acc", "instruct")
    assert gain.value == pytest.approx(0.45)
    assert gain.test == "unpaired"
    assert results.gain(named["instruct"], "topic", "acc", "instruct") is None
    assert results.gain(named["franken (mean)"], "topic", "acc", "nobody") is None


def test_values_not_above_chance_are_told(grid):
    results = Results(grid)
    named = rows(results)
    assert results.mean(named["franken (mean)"], "topic", "acc").at_chance
    assert not results.mean(named["franken (lexicon)"], "topic", "acc").at_chance
    assert not results.mean(named["franken (mean)"], "text", "bits_per_byte").at_chance


def test_repeated_records_count_once(grid):
    assert len(Results(grid + grid).records) == len(Results(grid).records)


def test_runs_of_equal_name_but_different_keys_are_told_apart(make):
    records = [
        make("franken", "hi", 0.5, variant="a", key="first000", extra={"run": "mon"}),
        make("franken", "hi", 0.9, variant="a", key="second00", extra={"run": "tue"}),
    ]
    results = Results(records)
    assert [row.variant for row in results.rows] == ["a [mon]", "a [tue]"]
    assert results.conflicts == ["franken (a)"]


def test_a_seed_that_lacks_languages_does_not_distort_the_mean(make):
    records = [
        make("franken", "hi", 0.8),
        make("franken", "ka", 0.4),
        make("franken", "hi", 0.9, seed=1),
    ]
    results = Results(records)
    cell = results.mean(results.rows[0], "topic", "acc")
    assert (cell.value, cell.seeds, cell.languages) == (pytest.approx(0.6), 1, 2)


def test_source_languages_are_guessed_where_records_do_not_say(make):
    records = [make("base", lang, 0.5, extra={}) for lang in ("eng_Latn", "swh_Latn")]
    results = Results(records)
    assert results.sources("topic", "acc") == ["eng_Latn"]
    assert results.targets("topic", "acc") == ["swh_Latn"]
