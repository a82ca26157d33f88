"""``transfer_checkpoint``: from one directory to another, as ``transfer`` would make it."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import franken
from franken.errors import ArtifactError, ConfigError, DataError
from franken.files import read_json
from franken.parts.tokenizer_files import save_exported_tokenizer, tokenizer_identity
from franken.token_map.storage import load_map
from tests.faults import raises
from tests.init_method.texts import SWAHILI
from tests.library.toys import SENTENCES, WORDS, base, target
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer


def checkpoint(place: Path, *, tied: bool = True) -> Path:
    model = tiny_model("llama", tied=tied, rows=96)
    return Path(save_checkpoint(model, tiny_tokenizer(size=96), place))


def tokenizer_in(place: Path) -> Path:
    place.mkdir()
    target().save_pretrained(str(place))
    return place


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("subtoken_mean", {}),
        ("lexicon", {"lexicon": WORDS}),
        ("focus", {"texts": SWAHILI}),
        ("trans_tokenization", {"pairs": {"sw": SENTENCES}}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_checkpoint_is_what_transfer_saves(
    tmp_path: Path, method: str, given: dict[str, Any], tied: bool
) -> None:
    source = checkpoint(tmp_path / "base", tied=tied)
    made = franken.transfer_checkpoint(
        source, tokenizer_in(tmp_path / "new"), tmp_path / "out", method=method, seed=3, **given
    )
    model = AutoModelForCausalLM.from_pretrained(source)
    own = AutoTokenizer.from_pretrained(source)
    expected = franken.transfer(model, own, target(), method=method, seed=3, **given)
    expected.save_pretrained(tmp_path / "expected")
    ours, theirs = (
        load_file(tmp_path / name / "model.safetensors") for name in ("out", "expected")
    )
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    configs = [read_json(tmp_path / name / "config.json") for name in ("out", "expected")]
    assert {**configs[0], "transformers_version": 0} == {**configs[1], "transformers_version": 0}
    loaded = AutoTokenizer.from_pretrained(tmp_path / "out")
    assert tokenizer_identity(loaded) == tokenizer_identity(target())
    assert load_map(tmp_path / "out" / "token_map").counts() == made.map.counts()
    report = read_json(tmp_path / "out" / "token_map" / "report.json")
    assert report == made.report == expected.report
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.vocab_size == len(target())


def test_a_family_without_a_known_layout_goes_the_longer_way(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "base")
    config = (source / "config.json").read_text()
    (source / "config.json").write_text(config.replace('"architectures"', '"was_architectures"'))
    made = franken.transfer_checkpoint(source, target(), tmp_path / "out", method="subtoken_mean")
    plain = franken.transfer(*base(), target(), method="subtoken_mean")
    assert torch.equal(made.table.input, plain.table.input)
    assert tokenizer_identity(AutoTokenizer.from_pretrained(tmp_path / "out")) == (
        tokenizer_identity(target())
    )


def test_rows_alone_are_given_back_where_no_place_is_named(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "base")
    made = franken.transfer_checkpoint(source, target(), method="subtoken_mean")
    assert made.directory is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base"]
    plain = franken.transfer(*base(), target(), method="subtoken_mean")
    assert torch.equal(made.table.input, plain.table.input)


def test_padding_is_the_mean_row(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "base")
    made = franken.transfer_checkpoint(
        source, target(), tmp_path / "out", method="subtoken_mean", pad_to_multiple=64
    )
    count = len(target())
    assert made.table.rows % 64 == 0
    assert made.table.rows - count in range(1, 64)
    rows = load_file(tmp_path / "out" / "model.safetensors")["model.embed_tokens.weight"]
    assert torch.equal(rows[count:], rows[:count].mean(0).expand(made.table.rows - count, -1))
    config = read_json(tmp_path / "out" / "config.json")
    assert config["franken_padding_rows"] == made.table.rows - count


@pytest.mark.parametrize("link", [True, False], ids=["linked", "copied"])
def test_the_body_is_linked_only_where_asked(tmp_path: Path, link: bool) -> None:
    source = tmp_path / "base"
    model = tiny_model("llama", rows=96)
    model.save_pretrained(str(source), max_shard_size="8KB")
    save_exported_tokenizer(tiny_tokenizer(size=96), source)
    franken.transfer_checkpoint(
        source, target(), tmp_path / "out", method="subtoken_mean", link=link
    )
    weights = read_json(source / "model.safetensors.index.json")["weight_map"]
    shard = weights["model.layers.0.mlp.up_proj.weight"]
    assert shard != weights["model.embed_tokens.weight"]
    assert (source / shard).samefile(tmp_path / "out" / shard) is link


def test_what_is_wrong_is_told_before_anything_is_read(tmp_path: Path) -> None:
    source = checkpoint(tmp_path / "base")
    with raises(ConfigError, "retok", "franken.transfer"):
        franken.transfer_checkpoint(source, target(), tmp_path / "out", method="retok")
    with raises(ConfigError, "target_tokenizer", "LlamaForCausalLM"):
        franken.transfer_checkpoint(source, base()[0], tmp_path / "out", method="subtoken_mean")
    with raises(ArtifactError, "target_tokenizer", "AutoTokenizer"):
        franken.transfer_checkpoint(source, "gpt2", tmp_path / "out", method="subtoken_mean")
    with raises(ArtifactError, "base", "exists already"):
        franken.transfer_checkpoint(source, target(), source, method="subtoken_mean")
    with raises(ArtifactError, "elsewhere"):
        franken.transfer_checkpoint(
            tmp_path / "elsewhere", target(), tmp_path / "out", method="subtoken_mean"
        )
    bare = tmp_path / "bare"
    tiny_model("llama", rows=96).save_pretrained(str(bare))
    with raises(ArtifactError, "bare", "tokenizer.json"):
        franken.transfer_checkpoint(bare, target(), tmp_path / "out", method="subtoken_mean")
    with raises(DataError, "texts="):
        franken.transfer_checkpoint(source, target(), tmp_path / "out", method="focus")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bare", "base"]


def test_no_modelling_code_is_imported_for_a_known_family(tmp_path: Path) -> None:
    source, new = checkpoint(tmp_path / "base"), tokenizer_in(tmp_path / "new")
    code = (
        "import sys, franken\n"
        "franken.transfer_checkpoint(*sys.argv[1:], method='subtoken_mean')\n"
        "heavy = ('transformers.modeling_utils', 'transformers.activations', 'torch._dynamo')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(source), str(new), str(tmp_path / "out")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"
    assert (tmp_path / "out" / "model.safetensors").is_file()
