"""ChatVector from a config to a body and a table, against sums worked weight by weight."""

from pathlib import Path

import pytest
import torch

from franken.errors import CompatibilityError
from franken.files import read_json
from franken.parts.anatomy import anatomy_of
from franken.parts.model import assemble
from franken.parts.table import load_table
from franken.run import Runner
from franken.steps.common.models import open_model
from franken.tokenizer.pieces import canonical_bytes
from tests.faults import raises

from .conftest import compose_config, weights_of

STEP = "step: chat_vector, chat: instruct, base: base"


@pytest.fixture(scope="module")
def run(shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    config = compose_config(
        f"store.path={shared_store}", "recipe=chat_vector", "recipe.evaluate=[chat_vector]",
        "eval_suite.tasks={bits_per_byte:{kind:bits_per_byte,source:monolingual,limit:4}}",
        f"+recipe.steps.nothing={{{STEP}, model: cpt_text, scale: 0.0}}",
        f"+recipe.steps.to_base={{{STEP}, model: base}}",
        f"+recipe.steps.body_alone={{{STEP}, model: cpt_text, rows: none}}",
        "+recipe.steps.foreign={step: chat_vector, model: cpt_text, chat: instruct, base: other}",
        "+recipe.steps.other={step: pretrain, model: '${base_model}', data: '${data}', "
        "training: '${training.repair}'}",
    )  # fmt: skip
    return Runner(config, tmp_path_factory.mktemp("chat_vector"))


def test_no_difference_changes_nothing(run: Runner) -> None:
    before, after = weights_of(run, "cpt_text"), weights_of(run, "nothing")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_the_difference_on_the_base_gives_the_chat_model(run: Runner) -> None:
    chat, found = weights_of(run, "instruct"), weights_of(run, "to_base")
    for name in chat:
        torch.testing.assert_close(found[name], chat[name], rtol=0, atol=1e-7)


def test_each_weight_of_the_body_is_the_sum_and_shared_rows_move_alike(run: Runner) -> None:
    names = ("cpt_text", "instruct", "base", "chat_vector", "body_alone")
    adapted, chat, base, found, alone = (weights_of(run, name) for name in names)
    model, _ = assemble(open_model(run.ensure("base"), run.store))
    table = set(anatomy_of(model.config).table_tensors)
    for name in adapted.keys() - table:
        expected = adapted[name] + (chat[name] - base[name])
        torch.testing.assert_close(found[name], expected, rtol=0, atol=1e-7)
        assert torch.equal(found[name], alone[name])
    tables = [load_table(open_model(run.ensure(name), run.store).table) for name in names]
    old = {data: row for row, data in enumerate(canonical_bytes(tables[2].tokenizer)) if data}
    new = canonical_bytes(tables[0].tokenizer)
    moved = 0
    for row, data in enumerate(new):
        expected = tables[0].input[row]
        if data in old and len(data) > 1:
            expected = expected + tables[1].input[old[data]] - tables[2].input[old[data]]
            moved += 1
        elif data is None or len(data) == 1:  # control tokens, and bytes that have two pieces
            continue
        torch.testing.assert_close(tables[3].input[row], expected, rtol=0, atol=1e-7)
    assert 0 < moved < len(new)
    assert torch.equal(tables[4].input, tables[0].input)


def test_models_of_another_family_are_refused(run: Runner) -> None:
    with raises(CompatibilityError, "'foreign'"):
        run.ensure("foreign")


def test_a_run_scores_it_and_says_how_far_the_weights_moved(run: Runner) -> None:
    run.run()
    facts = read_json(run.ensure("chat_vector").path / "manifest.json")
    assert "chat_norm" in str(facts)
    assert {r["model"] for r in run.write_results()} == {"chat_vector"}
