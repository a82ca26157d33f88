"""Trans-Tokenization's two phases from a config to scores, and what each phase may change."""

from pathlib import Path

import pytest
import torch

from franken.alignment import load_tables
from franken.errors import DataError
from franken.files import read_json
from franken.run import Runner
from franken.steps.common.models import read_places
from franken.token_map.storage import load_map
from tests.faults import raises

from .conftest import compose_config, weights_of

OVERRIDES = (
    "recipe=trans_tokenization", "init_method=trans_tokenization",
    "base_model.settings.num_hidden_layers=4", "eval_suite.tasks.arithmetic.limit=4",
    # a stage more, with a training of its own
    "+recipe.steps.phase3={step: train, model: phase2, trainable: embeddings, data: '${data}', "
    "split: target_text, training: {steps: 2, batch_size: 2, sequence_length: 64, lr: 1e-2}}",
)  # fmt: skip


@pytest.fixture(scope="module")
def runner(shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    config = compose_config(f"store.path={shared_store}", *OVERRIDES)
    made = Runner(config, tmp_path_factory.mktemp("trans_tokenization"))
    made.run()
    return made


def test_every_step_is_scored(runner: Runner) -> None:
    records = runner.write_results()
    assert {record["model"] for record in records} == {"base", "initial", "phase1", "phase2"}


def test_word_tables_of_every_language_lie_in_the_store(runner: Runner) -> None:
    folder = runner.ensure("alignment").path
    tables = load_tables(folder)
    assert sorted(tables) == ["id", "ka"]
    report = read_json(folder / "report.json")
    for language, table in tables.items():
        assert report[language]["sentence_pairs"] == 60
        assert report[language]["word_pairs"] == len(table) > 100
        likelihoods = report[language]["log_likelihood"]
        assert len(likelihoods) == 6
        assert likelihoods == sorted(likelihoods)


def test_what_is_not_copied_comes_from_the_alignment_or_borrows(runner: Runner) -> None:
    token_map = load_map(runner.ensure("initial").path / "token_map")
    rows = token_map.notes["trans_tokenization"]["rows_by_origin"]
    counts = token_map.counts()
    assert rows["aligned"] == counts["computed"] > 0
    assert sum(rows.values()) == counts["computed"] + counts["fallback"]
    assert rows["unk"] < 10
    assert rows["nothing"] == 0


def test_the_first_phase_changes_the_table_alone(runner: Runner) -> None:
    base, phase1 = (read_places(runner.ensure(name)) for name in ("base", "phase1"))
    assert phase1["body"] == base["body"]
    assert not (runner.ensure("phase1").path / "body").exists()


def test_the_second_phase_leaves_the_middle_layers_bit_for_bit(runner: Runner) -> None:
    before, after = weights_of(runner, "phase1"), weights_of(runner, "phase2")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    layers = {int(name.split("layers.")[1].split(".")[0]) for name in changed if "layers." in name}
    assert layers == {0, 3}
    assert any("embed_tokens" in name for name in changed)


def test_a_third_stage_has_a_training_and_a_text_of_its_own(runner: Runner) -> None:
    before, after = (read_places(runner.ensure(name)) for name in ("phase2", "phase3"))
    assert after["body"] == before["body"]
    report = read_json(runner.ensure("phase3").path / "training.json")
    assert report["steps"] == 2
    assert [point["lr"] for point in report["curve"]] == [0.01, 0.01]


def test_alignments_are_shared_by_seeds_and_initialisers(
    runner: Runner, shared_store: Path, tmp_path: Path
) -> None:
    config = compose_config(
        f"store.path={shared_store}", *OVERRIDES, "seed=1", "init_method=trans_tokenization_parity"
    )
    other = Runner(config, tmp_path)
    assert other.keys["alignment"] == runner.keys["alignment"]
    assert other.keys["initial"] != runner.keys["initial"]


def test_files_made_elsewhere_enter_the_key_by_their_content(
    shared_store: Path, tmp_path: Path
) -> None:
    keys = []
    for folder, count in (("one", 3), ("two", 3), ("two", 4)):
        (tmp_path / folder).mkdir(exist_ok=True)
        for language in ("id", "ka"):
            path = tmp_path / folder / f"{language}.tsv"
            path.write_text(f"house\trumah\t{count}\n")
        config = compose_config(
            f"store.path={shared_store}", *OVERRIDES, "alignment=files",
            f'alignment.table="{tmp_path / folder}/{{lang}}.tsv"',
        )  # fmt: skip
        keys.append(Runner(config, tmp_path / "run").keys["alignment"])
    assert keys[0] == keys[1] != keys[2]
    (tmp_path / "two" / "ka.tsv").unlink()
    with raises(DataError, "alignment.table", tmp_path / "two/ka.tsv"):
        Runner(config, tmp_path / "run")
