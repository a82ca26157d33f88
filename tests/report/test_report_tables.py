"""Golden tables, and what they do when they are wide or long."""

import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from franken.report import print_tables
from franken.report.compare import comparison_tables
from franken.report.notes import computed_notes
from franken.report.records import write_records
from franken.report.results import Results
from franken.report.runs import load_groups
from franken.report.tables import all_tables, overview, task_table
from franken.report.text import long_csv, markdown, print_table, wide_csv
from tests.faults import unnamed

GOLDEN = """
Overview
                            topic                   text
                         accuracy (%)           bits per byte
model     variant     targets    gain    en       targets     en
────────────────────────────────────────────────────────────────
instruct           25.0° ±3.0       –  80.0  4.000 ±0.050  1.000
franken   lexicon   65.0 ±3.0  +40.0*  80.0  1.600 ±0.050  1.000
franken   mean     25.0° ±3.0     0.0  80.0  2.000 ±0.050  1.000
"""


def printed(table, width=120):
    console = Console(file=io.StringIO(), width=width)
    print_table(table, console)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def test_the_overview_is_as_written_by_hand(grid):
    table = overview(Results(record for record in grid if record.seed == 0))
    assert printed(table) == GOLDEN.rstrip("\n")


def test_seeds_are_counted_and_the_best_value_is_marked(grid):
    table = overview(Results(grid))
    assert table.keys == ("model", "variant", "seeds")
    assert table.labels[1] == ("franken", "lexicon", "2")
    assert table.views[1][0].text == "70.0 ±3.0"
    assert [views[0].best for views in table.views] == [False, True, False]
    assert [views[4].best for views in table.views] == [False, True, False]
    assert not any(views[3].best for views in table.views)  # all equal: nothing to praise


def test_the_overview_leaves_out_who_has_no_figure_in_it(grid, make):
    bound = make("grid", "hi", 0.5, metric="upper_bound")
    assert overview(Results([*grid, bound])).labels == overview(Results(grid)).labels


def test_a_language_table_states_its_item_count(grid):
    table = task_table(Results(grid), "topic", "acc")
    assert [c for group in table.groups for c in group.columns] == [
        "targets", "sd seeds", "gain", "en", "hi", "ka",
    ]  # fmt: skip
    assert table.notes == ["n = 100 per language."]
    assert any("sd" in line for line in table.legend)


def test_a_narrow_console_gets_panels_that_fit(grid):
    table = task_table(Results(grid), "topic", "acc")
    text = printed(table, width=70)
    assert max(len(line) for line in text.splitlines()) <= 70
    assert text.count("lexicon") > 1
    for lang in ("en", "hi", "ka"):
        assert lang in text


def test_a_pipe_gets_wide_lines_unless_columns_says_otherwise(grid, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    table = all_tables(Results(grid))[0]
    console = Console(file=io.StringIO(), width=80)
    print_table(table, console)
    assert console.file.getvalue().count("lexicon") == 1


def test_markdown_has_one_row_per_system_and_bold_bests(grid):
    text = markdown(overview(Results(grid)))
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert lines[0] == (
        "| model | variant | seeds | topic: accuracy (%), targets | topic: accuracy (%), sd seeds "
        "| topic: accuracy (%), gain | topic: accuracy (%), en | text: bits per byte, targets "
        "| text: bits per byte, sd seeds | text: bits per byte, en |"
    )
    assert len({line.count("|") for line in lines}) == 1
    assert "**70.0 ±3.0**" in lines[3]


def test_wide_csv_holds_full_numbers(grid):
    table = list(csv.DictReader(io.StringIO(wide_csv(Results(grid)))))
    lexicon = next(row for row in table if row["variant"] == "lexicon")
    assert float(lexicon["topic/acc/targets"]) == pytest.approx(0.7)
    assert float(lexicon["topic/acc/gain"]) == pytest.approx(0.45)
    assert float(lexicon["text/bits_per_byte/hi"]) == pytest.approx(1.6)
    assert lexicon["seeds"] == "2"


def test_long_csv_has_one_line_per_distinct_record(grid):
    results = Results(grid)
    table = list(csv.DictReader(io.StringIO(long_csv(results.records))))
    assert len(table) == len(results.records) < len(grid)
    assert table[0]["chance"] == "0.25"


def test_console_output_ends_with_legend_and_warnings(grid):
    console = Console(file=io.StringIO(), width=100)
    print_tables(grid, console, notes=["job 3 failed"])
    text = console.file.getvalue()
    assert "! job 3 failed" in text
    (chance,) = [line for line in text.splitlines() if line.startswith("! topic")]
    assert not unnamed(chance, 25.0, "instruct, franken (mean)")
    assert text.count("Bold") == 1


def test_many_systems_print_the_overview_alone(make):
    records = [make("franken", lang, 0.5, variant=f"v{i}") for i in range(60) for lang in "ab"]
    console = Console(file=io.StringIO(), width=100)
    print_tables(records, console)
    assert console.file.getvalue().count("v59") == 1


def test_no_records_say_so():
    console = Console(file=io.StringIO(), width=100)
    print_tables([], console)
    assert "no scores yet" in console.file.getvalue()


def test_plain_dictionaries_are_records_too(grid):
    import json

    console = Console(file=io.StringIO(), width=100)
    print_tables([json.loads(record.to_line()) for record in grid], console)
    assert "lexicon" in console.file.getvalue()


def test_experiments_get_a_column_when_there_are_several(grid, make):
    other = make("franken", "hi", 0.3, experiment="flan", key="f")
    assert overview(Results([*grid, other])).keys[0] == "experiment"


def test_missing_languages_are_marked_and_noted(grid, make):
    records = [r for r in grid if r.seed == 0 and not (r.variant == "mean" and r.lang == "ka")]
    results = Results([r for r in records if r.model == "franken"])
    table = task_table(results, "topic", "acc")
    assert "†" in table.views[1][0].text
    notes = computed_notes(results)
    assert any(not unnamed(note, "topic", "en, hi, ka", "franken (mean)") for note in notes)


def test_cut_prompts_are_counted(make):
    records = [make("base", lang, 0.5, extra={"truncated": 3}) for lang in ("hi", "ka")]
    assert any("6 prompts" in note for note in computed_notes(Results(records)))


def test_everything_at_chance_is_said_once(make):
    records = [make(model, "hi", 0.2) for model in ("base", "franken")]
    (said,) = [note for note in computed_notes(Results(records)) if "25.0" in note]
    assert unnamed(said, "topic", "base", "franken") == ["base", "franken"]


@pytest.fixture
def two_runs(make, tmp_path):
    for name, value, variant in (("before", 0.5, "a"), ("after", 0.6, "b")):
        records = [make("base", lang, 0.3, key="shared") for lang in ("en", "hi")]
        records += [
            make("franken", lang, value, variant=variant, key=name) for lang in ("en", "hi")
        ]
        write_records(tmp_path / name / "results.jsonl", records)
    return [tmp_path / "before", tmp_path / "after"]


def test_comparison_gives_differences_with_the_combined_error(two_runs):
    table, lines = comparison_tables(load_groups(two_runs))
    assert not unnamed(table.title, "after minus before")
    assert table.labels == [("base", ""), ("franken", "a → b")]
    # sqrt(0.03^2 + 0.03^2) = 0.042; 0.1 is beyond two of them
    assert [view.text for view in table.views[1]] == ["+10.0* ±4.2", "+10.0* ±4.2"]
    assert table.views[0][0].text == "0.0 ±4.2"
    test = lines.groups[0].columns.index("test")
    assert {views[test].text for views in lines.views} == {"unpaired"}


def test_only_what_both_runs_have_is_compared(two_runs, make):
    write_records(two_runs[1] / "results.jsonl", [make("flan", "hi", 0.5)])
    assert comparison_tables(load_groups(two_runs)) == []


def test_a_bootstrap_interval_stands_in_place_of_the_standard_error(grid):
    def with_interval(record):
        bounds = {"low": record.value - 0.1, "high": record.value + 0.05}
        return replace(record, extra={**record.extra, **bounds})

    own = [with_interval(r) for r in grid if r.task == "topic" and r.lang != "hi"]
    one_seed = Results(record for record in own if record.seed == 0)
    table = task_table(one_seed, "topic", "acc")
    columns = [c for group in table.groups for c in group.columns]
    row = dict(zip(columns, table.views[1], strict=True))
    value = one_seed.cell(one_seed.rows[1], "topic", "acc", "ka").value
    expected = f"{100 * value:.1f} [{100 * value - 10:.1f}, {100 * value + 5:.1f}]"
    assert row["ka"].text == row["targets"].text == expected
    assert "[low, high]" in " ".join(table.legend)
    assert "[" not in printed(overview(one_seed))
    seeds = task_table(Results(own), "topic", "acc")
    assert not any("[" in view.text for view in seeds.views[1])  # what seeds differ by is said
    both = Results(with_interval(r) for r in grid if r.seed == 0)
    targets = task_table(both, "topic", "acc").views[1][0]
    assert "±" in targets.text  # a mean of two languages has no interval of its own


@pytest.mark.parametrize(
    ("bits", "tokens", "loses"),
    [(3.4, 27, True), (1.1, 27, False), (3.4, 62, False), (1.31, 27, False)],
    ids=["worse", "better", "same vocabulary", "within the error"],
)
def test_a_new_vocabulary_that_loses_to_the_untouched_model_is_named(make, bits, tokens, loses):
    text = {"task": "text", "metric": "bits_per_byte", "stderr": 0.02}
    results = Results([
        make("base", "ta", 1.3, **text, extra={"tokens": 62, "lang_role": "target"}),
        make("initial", "ta", bits, **text, extra={"tokens": tokens, "lang_role": "target"}),
    ])  # fmt: skip
    named = [note for note in computed_notes(results) if "untouched" in note]
    assert len(named) == loses
    assert all("initial" in note and "1.300" in note and "3.400" in note for note in named)


@pytest.mark.parametrize("tuned", [1.0, 1.5], ids=["old vocabulary ahead", "new one ahead"])
def test_an_old_vocabulary_that_is_better_when_trained_too_is_named(make, tuned):
    text = {"task": "text", "metric": "bits_per_byte", "stderr": 0.02}
    old, new = ({"tokens": count, "lang_role": "target"} for count in (62, 27))
    results = Results([
        make("base", "ta", 1.3, **text, extra=old),
        make("adapted", "ta", 1.2, **text, extra=new),
        make("untouched", "ta", tuned, **text, extra=old),
    ])  # fmt: skip
    named = [note for note in computed_notes(results) if "untouched" in note]
    assert len(named) == (tuned < 1.2)
    assert all("1.000" in note and "adapted 1.200" in note for note in named)
