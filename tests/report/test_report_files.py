"""Report files, the HTML page and the command line."""

import re
import struct
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from franken.errors import DataError
from franken.report import write_report
from franken.report.__main__ import main
from franken.report.findings import accuracy_finding, bits_finding, token_finding
from franken.report.records import write_records
from franken.report.results import Results
from franken.report.runs import Run, load_groups, load_runs, shared_steps
from tests.faults import raises, unnamed


@pytest.fixture
def report(full_run, tmp_path):
    return write_report(
        load_groups([full_run]), tmp_path / "out", "A <demo>", notes=["job 3 failed"]
    )


class Page(HTMLParser):
    """Collects tags, attributes and text; notices unclosed tags."""

    VOID = ("meta", "img", "br", "link", "input", "hr")

    def __init__(self):
        super().__init__()
        self.links, self.images, self.open, self.text = [], [], [], []

    def handle_starttag(self, tag, attributes):
        values = dict(attributes)
        self.links += [values[name] for name in ("src", "href", "data") if name in values]
        self.images += [values["src"]] if tag == "img" else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture
def page(report):
    parser = Page()
    parser.feed(report.html.read_text(encoding="utf-8"))
    assert parser.open == []
    return parser


def test_the_page_loads_nothing_from_elsewhere(report, page):
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in page.links)
    text = report.html.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|url\(", text)


def test_the_page_shows_tables_plots_notes_and_provenance(report, page):
    text = " ".join(page.text)
    for expected in (
        "A <demo>", "job 3 failed", "70.0 ±3.0", "at chance (25.0 %)", "prune_extend",
        "python -m franken +experiment=demo", "torch 2.13", "cached", "computed", "abababab",
    ):  # fmt: skip
        assert expected in text
    assert len(page.images) == len(report.plots) == 3


@pytest.mark.parametrize(
    ("jobs", "expected"),
    [
        ([("focus", 0, "a", "b"), ("ofa", 0, "a", "c")], {"body"}),
        ([("focus", 0, "a", "b"), ("ofa", 0, "a", "c"), ("focus", 1, "d", "e")], {"body"}),
        ([("focus", 0, "a", "b"), ("focus", 1, "d", "e")], set()),  # seeds of one variant
        ([("focus", 0, "a", "b")], set()),
    ],
)
def test_a_step_that_all_variants_share_belongs_to_none(tmp_path, jobs, expected):
    runs = [
        Run(tmp_path, "", [], {
            "variant": variant, "seed": seed,
            "steps": [{"name": "body", "key": body}, {"name": "table", "key": table}],
        })
        for variant, seed, body, table in jobs
    ]  # fmt: skip
    assert shared_steps(runs) == expected


def test_plots_are_png_files_of_a_readable_size(report):
    assert {path.name for path in report.plots} == {
        "accuracy_topic.png", "bits_text.png", "training_curves.png",
    }  # fmt: skip
    for path in report.plots:
        payload = path.read_bytes()
        assert payload.startswith(b"\x89PNG")
        width, height = struct.unpack(">II", payload[16:24])
        assert width > 800
        assert height > 200


def test_the_same_records_give_the_same_files(full_run, tmp_path, report):
    again = write_report(
        load_groups([full_run]), tmp_path / "again", "A <demo>", notes=["job 3 failed"]
    )
    for one, other in zip(report.plots, again.plots, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert report.html.read_bytes() == again.html.read_bytes()
    assert report.long_csv.read_bytes() == again.long_csv.read_bytes()


def test_titles_state_what_the_numbers_say(grid, make):
    results = Results(grid)
    best = "franken (lexicon)"
    assert not unnamed(
        accuracy_finding(results, "topic"), best, 70.0, "+45.0", "instruct", "en 0.0"
    )
    assert not unnamed(
        bits_finding(results, "text"), best, "1.600", "instruct", "4.000", "\u221260 %"
    )
    weak = [make("instruct", "hi", 0.5), make("franken", "hi", 0.52)]
    said = accuracy_finding(Results(weak), "topic")
    assert unnamed(said, "instruct", "franken", 52.0) == ["franken", "52.0"]
    none = [make("instruct", "hi", 0.2), make("franken", "hi", 0.26)]
    said = accuracy_finding(Results(none), "topic")
    assert unnamed(said, 25.0, "franken", 26.0) == ["franken", "26.0"]
    worse = [
        make(model, "hi", bits, task="text", metric="bits_per_byte")
        for model, bits in (("base", 2.0), ("adapted", 3.0))
    ]
    assert unnamed(bits_finding(Results(worse), "text"), "base", "adapted") == ["adapted"]
    tokens = [
        make(model, "hi", value, task="tok", metric="tokens_per_byte")
        for model, value in (("base", 0.8), ("instruct", 0.8), ("adapted", 0.2))
    ]
    assert not unnamed(token_finding(Results(tokens), "tok"), "0.25")


@pytest.mark.parametrize("count", [1, 80])
def test_few_and_many_systems_can_be_drawn(make, tmp_path, count):
    records = [
        make("franken", lang, 0.5 + i / 200, variant=f"a rather long name of a variant {i}")
        for i in range(count)
        for lang in ("en", "hi")
    ]
    write_records(tmp_path / "run" / "results.jsonl", records)
    paths = write_report(load_groups([tmp_path / "run"]), tmp_path / "out", "many")
    assert len(paths.plots) == 1


def test_scores_of_the_source_language_alone_make_a_report(make, tmp_path):
    records = [make("base", "en", 0.5)]
    for task, metric in (("text", "bits_per_byte"), ("tok", "tokens_per_byte")):
        records.append(make("base", "en", 1.5, task=task, metric=metric))
    write_records(tmp_path / "run" / "results.jsonl", records)
    assert write_report(load_groups([tmp_path / "run"]), tmp_path / "out", "source").html.exists()


def test_a_sweep_is_searched_and_its_own_copy_of_the_results_ignored(run_dir, grid):
    write_records(run_dir.parent / "results.jsonl", grid)
    write_records(run_dir.parent / "10" / "results.jsonl", grid)
    write_records(run_dir.parent / "2" / "results.jsonl", grid)
    runs = load_runs([run_dir.parent])
    assert [run.path.parent.name for run in runs] == ["0", "2", "10"]


def test_a_path_without_results_is_named(tmp_path):
    with raises(DataError, tmp_path, "results.jsonl"):
        load_runs([tmp_path])
    with raises(DataError, tmp_path / "nothing"):
        load_runs([tmp_path / "nothing"])


def test_the_command_prints_tables_and_rebuilds_the_report(full_run, capsys):
    assert main([str(full_run)]) == 0
    assert "Overview" in capsys.readouterr().out
    assert (full_run / "report" / "index.html").exists()


def test_the_command_prints_csv_or_markdown_alone(full_run, capsys):
    assert main([str(full_run), "--csv"]) == 0
    assert capsys.readouterr().out.startswith("experiment,recipe,model,variant,seeds,")
    assert main([str(full_run), "--markdown", "--title", "Mine"]) == 0
    assert capsys.readouterr().out.startswith("# Mine\n")
    assert not (full_run / "report").exists()


def test_the_command_compares_several_paths(full_run, tmp_path, grid, capsys):
    write_records(tmp_path / "other" / "results.jsonl", grid)
    out = tmp_path / "both"
    assert main([str(full_run), str(tmp_path / "other"), "--out", str(out)]) == 0
    assert not unnamed(capsys.readouterr().out, "other minus 0")
    assert not unnamed((out / "index.html").read_text(encoding="utf-8"), "other minus 0")


def test_the_command_explains_what_is_wrong(tmp_path, capsys):
    (tmp_path / "results.jsonl").write_text("{\n")
    assert main([str(tmp_path)]) == 2
    assert not unnamed(capsys.readouterr().err, "results.jsonl:1")


def test_the_report_imports_neither_torch_nor_transformers(full_run, tmp_path):
    code = (
        "import sys; from franken.report.__main__ import main;"
        f"assert main([{str(full_run)!r}, '--out', {str(tmp_path / 'o')!r}]) == 0;"
        "heavy = {'torch', 'transformers', 'hydra', 'pytorch_lightning'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_reading_records_does_not_import_matplotlib():
    code = (
        "import sys, franken.report;assert not {'matplotlib', 'jinja2', 'torch'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
