"""Layer swapping: each layer comes whole from its giver, and the vocabulary with its rows."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken.errors import ConfigError
from franken.layer_swap import main
from franken.parts.layer_swap import plan
from tests.faults import raises
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer

LAYERS = 6


@pytest.fixture
def experts(tmp_path: Path) -> tuple[Path, Path]:
    task = tiny_model("llama", rows=96, num_hidden_layers=LAYERS)
    language = tiny_model("llama", rows=120, num_hidden_layers=LAYERS, seed=1)
    return (
        save_checkpoint(task, tiny_tokenizer(size=96), tmp_path / "task"),
        save_checkpoint(language, tiny_tokenizer(size=105), tmp_path / "language"),
    )


def weights(directory: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = AutoModelForCausalLM.from_pretrained(directory).state_dict()
    return found


def swapped(experts: tuple[Path, Path], out: Path, *arguments: str) -> dict[str, torch.Tensor]:
    assert main([*map(str, experts), "-o", str(out), *arguments]) == 0
    return weights(out)


def layer(name: str) -> int | None:
    return int(name.split(".")[2]) if ".layers." in name else None


def test_each_tensor_is_its_givers(experts: tuple[Path, Path], tmp_path: Path) -> None:
    arguments = ["--bottom", "2", "--top", "1", "--transition", "1"]
    found = swapped(experts, tmp_path / "out", *arguments)
    task, language = map(weights, experts)
    for name, tensor in found.items():
        if layer(name) in {2, 4}:
            torch.testing.assert_close(tensor, (task[name] + language[name]) / 2)
        else:
            of_language = layer(name) in {0, 1, 5} or "embed" in name or "lm_head" in name
            assert torch.equal(tensor, (language if of_language else task)[name]), name
    tokenizers = [AutoTokenizer.from_pretrained(place) for place in (experts[1], tmp_path / "out")]
    assert tokenizers[0].get_vocab() == tokenizers[1].get_vocab()


def test_all_layers_of_one_expert_are_that_expert(
    experts: tuple[Path, Path], tmp_path: Path
) -> None:
    task, language = map(weights, experts)
    own = swapped((experts[0], experts[0]), tmp_path / "same")
    none = swapped(experts, tmp_path / "none", "--bottom", "0", "--top", "0", "--tables", "task")
    for name, tensor in task.items():
        assert torch.equal(tensor, own[name])
        assert torch.equal(tensor, none[name])
    every = swapped(experts, tmp_path / "all", "--bottom", str(LAYERS), "--top", "0")
    norms = [name for name in language if layer(name) is None and "norm" in name]
    for name, tensor in language.items():
        assert torch.equal((task if name in norms else language)[name], every[name]), tensor.shape


def test_counts_are_the_papers_in_proportion() -> None:
    assert plan(32).language == [0, 1, 2, 3, 4, 30, 31]
    assert plan(16).language == [0, 1, 15]
    whole = plan(10, 3, 2, 2)
    assert (whole.both, whole.task) == ([3, 4, 6, 7], [5])
    assert plan(10, 10, 0, 3).both == []
    for bad in [(4, 3, 2, 0), (4, 1, 1, 2), (4, -1, 0, 0)]:
        with raises(ConfigError, f"bottom {bad[1]}", f"top {bad[2]}", bad[0]):
            plan(*bad)


def test_bodies_of_another_shape_are_refused(experts: Any, tmp_path: Path) -> None:
    other = save_checkpoint(
        tiny_model("llama", rows=96, num_hidden_layers=2), tiny_tokenizer(), tmp_path / "other"
    )
    assert main([str(experts[0]), str(other), "-o", str(tmp_path / "out")]) == 2
    assert not (tmp_path / "out").exists()


def test_the_report_names_the_layers(experts: Any, tmp_path: Path, capsys: Any) -> None:
    swapped(experts, tmp_path / "out")
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["language"] == [0]
