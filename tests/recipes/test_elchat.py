"""ElChat from a config to a body and a table: what is mixed, what stays, what comes back."""

import math
from pathlib import Path

import pytest
import torch

from franken.parts.special_rows import match_control_tokens
from franken.parts.table import load_table
from franken.run import Runner
from franken.steps.common.models import open_model
from franken.steps.elchat import Path as Way
from franken.steps.elchat import interpolated

from .conftest import compose_config, weights_of

STEP = "step: elchat, model: adapted, chat: instruct"


def test_an_arc_keeps_lengths_and_a_chord_does_not() -> None:
    one, other = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    third = interpolated(one, other, 1 / 3, Way.slerp)
    torch.testing.assert_close(third, torch.tensor([[math.cos(math.pi / 6), 0.5]]))
    chord = interpolated(one, other, 1 / 3, Way.linear)
    torch.testing.assert_close(chord, torch.tensor([[2 / 3, 1 / 3]]))
    longer = interpolated(one, 3 * one, 0.5, Way.slerp)  # no arc between parallel ones
    torch.testing.assert_close(longer, 2 * one)
    assert interpolated(one, other, 0.0, Way.slerp) is one
    assert interpolated(one, other, 1.0, Way.slerp) is other
    zero = torch.zeros_like(one)
    torch.testing.assert_close(interpolated(zero, one, 0.5, Way.slerp), one / 2**0.5)


@pytest.fixture(scope="module")
def runner(shared_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Runner:
    config = compose_config(
        f"store.path={shared_store}", "recipe=elchat", "recipe.evaluate=[elchat]",
        "vocab=extension", "vocab.added=100", "init_method=subtoken_mean",
        "base_model.settings.num_hidden_layers=4",
        "recipe.steps.elchat.weights=[1.0, 0.25]",
        f"+recipe.steps.nothing={{{STEP}, weights: [0.0, 0.0], special_rows: false}}",
    )  # fmt: skip
    return Runner(config, tmp_path_factory.mktemp("elchat"))


def test_no_share_and_no_rows_change_nothing(runner: Runner) -> None:
    before, after = weights_of(runner, "adapted"), weights_of(runner, "nothing")
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_outer_layers_are_mixed_and_the_rest_stays(runner: Runner) -> None:
    adapted, chat, found = (weights_of(runner, name) for name in ("adapted", "instruct", "elchat"))
    for name in found:
        if ".layers.0." in name:
            assert torch.equal(found[name], chat[name])
        elif ".layers.3." in name:
            expected = interpolated(adapted[name], chat[name], 0.25, Way.slerp)
            torch.testing.assert_close(found[name], expected)
            moved = not torch.equal(adapted[name], chat[name])
            assert torch.equal(found[name], adapted[name]) != moved
        elif ".layers." in name:
            assert torch.equal(found[name], adapted[name])


def test_control_tokens_have_the_chat_models_rows(runner: Runner) -> None:
    adapted, chat, found = (
        load_table(open_model(runner.ensure(name), runner.store).table)
        for name in ("adapted", "instruct", "elchat")
    )
    matches = match_control_tokens(adapted.tokenizer, chat.tokenizer).values()
    ours = [own for own, _, _ in matches]
    assert len(ours) > 3
    assert torch.equal(found.input[ours], chat.input[[other for _, other, _ in matches]])
    text = sorted(set(range(len(found.input))) - set(ours))
    assert torch.equal(found.input[text], adapted.input[text])
    assert not torch.equal(found.input[ours], adapted.input[ours])
