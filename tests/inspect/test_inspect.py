"""Broken and greedy rows are found; sound ones are not."""

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from franken.inspect.__main__ import main
from franken.inspect.behaviour import PROMPTS, Preferences, expectations, preferences, takeovers
from franken.parts.row_report import report_rows, warn_of_odd_rows
from franken.parts.table_rows import open_rows
from tests.parts.test_table import make_table
from tests.parts.tiny import LINES, save_checkpoint, tiny_model, tiny_tokenizer


def report_of(rows: torch.Tensor) -> Any:
    return report_rows(lambda start, stop: rows[start:stop], len(rows))


def random_rows(count: int = 300, width: int = 16) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(0))


def test_each_kind_of_odd_row_is_found_and_nothing_else() -> None:
    rows = random_rows()
    assert report_of(rows).odd() == {}
    rows[3] = 0
    rows[5, 2] = float("nan")
    rows[6, 0] = float("inf")
    rows[7] *= 100
    rows[9] = rows[8]
    found = report_of(rows)
    assert found.odd() == {"zero": [3], "not_finite": [5, 6], "long": [7]}
    assert found.twins == [[8, 9]]


def test_a_table_in_blocks_is_reported_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = random_rows()
    rows[[4, 250]] = rows[17].clone()
    rows[299] *= 50
    whole = report_of(rows)
    monkeypatch.setattr("franken.parts.row_report._CHUNK", 7)
    assert report_of(rows) == whole
    assert whole.twins == [[4, 17, 250]]


def test_a_table_that_is_put_together_warns(caplog: pytest.LogCaptureFixture) -> None:
    table = make_table(rows=96, tied=True)
    with caplog.at_level(logging.WARNING):
        warn_of_odd_rows(open_rows(table), "here")
        assert caplog.records == []
        rows = table.input.clone()
        rows[40] *= 1000
        warn_of_odd_rows(open_rows(replace(table, input=rows)), "here")
    assert len(caplog.records) == 1


def test_preferences_are_means_over_positions() -> None:
    model, tokenizer = tiny_model("llama", rows=330), tiny_tokenizer("byte_level", size=330)
    found = preferences(model, tokenizer, LINES[:2])
    parts = []
    for line in LINES[:2]:
        with torch.no_grad():
            logits = model(torch.tensor([tokenizer.encode(line)])).logits[0]
        parts += list(torch.softmax(logits.double(), -1).numpy())
    np.testing.assert_allclose(found.mean, np.mean(parts, 0), rtol=1e-4)
    np.testing.assert_allclose(found.highest, np.max(parts, 0), rtol=1e-4)
    assert found.first.sum() == pytest.approx(1)


def test_a_token_is_expected_where_the_base_expects_its_first_piece() -> None:
    base, wider = tiny_tokenizer("byte_level", size=275), tiny_tokenizer("byte_level", size=330)
    mean = np.random.default_rng(0).dirichlet(np.ones(len(base)))
    expected = expectations(wider, mean, base)
    for token, index in wider.get_vocab().items():
        known = base.get_vocab().get(token)
        if known is None:
            text = wider.decode([index])
            known = base.encode(text, add_special_tokens=False)[0]
        assert expected[index] == mean[known]


def test_only_a_greedy_row_takes_over() -> None:
    tokenizer = tiny_tokenizer("byte_level", size=330)
    mean = np.full(330, 1 / 330)
    base = Preferences(mean, mean, mean)
    greedy = mean.copy()
    greedy[300], greedy[301] = 0.2, 3 * mean[301]
    found = takeovers(Preferences(greedy, greedy, greedy), tokenizer, base, tokenizer)
    assert [item.index for item in found] == [300]


FAVOURITE, RARE = 20, 310


def with_a_favourite() -> tuple[Any, Any]:
    """A model that often expects one token, as trained ones expect commas."""
    tokenizer = tiny_tokenizer("byte_level", size=330)
    model = tiny_model("llama", tied=False, rows=330)
    ids = torch.tensor([tokenizer.encode(" ".join(PROMPTS))])
    with torch.no_grad():
        common = model.model(ids).last_hidden_state.mean((0, 1))
        norms = model.lm_head.weight.norm(dim=1)
        model.lm_head.weight[FAVOURITE] = 1.5 * norms.max() * common / common.norm()
        model.lm_head.weight.mul_(4)
    return model, tokenizer


def test_the_command_finds_a_planted_row_and_leaves_a_sound_model_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, tokenizer = with_a_favourite()
    base = save_checkpoint(model, tokenizer, tmp_path / "base")
    assert main([str(base), "--base", str(base)]) == 0
    sound = json.loads(capsys.readouterr().out)
    assert sound["old_rows"]["changed_output"] == sound["old_rows"]["changed_input"] == 0
    with torch.no_grad():
        model.lm_head.weight[RARE] = model.lm_head.weight[FAVOURITE]
    bad = save_checkpoint(model, tokenizer, tmp_path / "bad")
    assert main([str(bad), "--base", str(base)]) == 1
    report = json.loads(capsys.readouterr().out)
    assert [item["index"] for item in report["behaviour"]["takeovers"]] == [RARE]
    assert report["old_rows"]["changed_output"] == 1
    assert report["old_rows"]["changed_input"] == 0
    assert main([str(bad), "--weights-only"]) == 0  # its norm is nothing out of the way


def test_a_place_without_a_model_is_an_error(tmp_path: Path) -> None:
    assert main([str(tmp_path)]) == 2
