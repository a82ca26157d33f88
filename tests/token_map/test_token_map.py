"""The map as an object and as files: what is refused, and what comes back."""

import dataclasses
import json

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import ArtifactError, CompatibilityError
from franken.init_method import FallbackRule, Provenance, TokenMap, apply_map, initialise
from franken.init_method.lexicon import LexiconInit
from franken.parts.tokenizer_files import tokenizer_identity
from franken.token_map.options import Fallback
from franken.token_map.storage import load_map, save_map
from tests.faults import raises
from tests.init_method.tiny import RESOURCES, hand_made_map, source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_unigram


def good() -> TokenMap:
    return hand_made_map(
        [{2: 1.0}, {0: 1.0}, {0: 0.75, 1: 0.25}, {}, {}], [0, 1, 2, 3, 4], source_rows=3
    )


@pytest.fixture(scope="module")
def fitted():
    config = LexiconInit(fallback=Fallback.normal, noise_std=0.1, norm_match=True)
    source = source_table(KIND)
    _, token_map = initialise(source, target_tokenizer(KIND), config, RESOURCES, 9)
    return source, token_map


def test_a_good_map_has_no_faults_and_counts_every_row_once():
    good().validate()
    assert good().counts() == {
        "special": 1, "copied": 1, "computed": 1, "fallback": 1, "padding": 1, "given": 0
    }  # fmt: skip
    assert good().row(2) == [(0, 0.75), (1, 0.25)]


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"indices": torch.tensor([2, 0, 0, 3], dtype=torch.int32)}, ["indices", 3, "0..2"]),
        ({"indices": torch.tensor([2, 0, 0, -1], dtype=torch.int32)}, ["indices", -1, "0..2"]),
        ({"weights": torch.tensor([1, 1, float("nan"), 0.2])}, ["weights", "NaN"]),
        ({"weights": torch.tensor([1, 0.5, 0.5, 0.5])}, ["weights", "row 1", 0.5]),
        (
            {"weights": torch.ones(4, dtype=torch.float64)},
            ["weights", torch.float64, torch.float32],
        ),
        ({"provenance": torch.tensor([0, 1, 1, 3, 4], dtype=torch.uint8)}, ["row 2", 2, 1]),
        ({"provenance": torch.tensor([0, 1, 2, 2, 4], dtype=torch.uint8)}, ["row 3", "computed"]),
        ({"provenance": torch.tensor([0, 1, 4, 3, 4], dtype=torch.uint8)}, ["row 2", "padding", 2]),
        ({"provenance": torch.tensor([0, 1, 2, 3, 9], dtype=torch.uint8)}, ["provenance", 9]),
        ({"indptr": torch.tensor([0, 1, 2, 4, 4, 5])}, ["indptr", 0, 5]),
        ({"indptr": torch.tensor([0, 2, 1, 4, 4, 4])}, ["indptr", "row 1"]),
        ({"exemplars": torch.zeros(3, dtype=torch.bool)}, ["exemplars"]),
        ({"keys": [b"one"]}, ["keys", 1, 5]),
    ],
)
def test_a_map_that_would_make_a_wrong_table_is_refused(change, names):
    with raises(CompatibilityError, *names):
        dataclasses.replace(good(), **change).validate()


def test_a_map_comes_back_as_it_was_saved_and_makes_the_same_rows(fitted, tmp_path):
    source, token_map = fitted
    save_map(token_map, tmp_path / "map")
    loaded = load_map(tmp_path / "map")
    for field in dataclasses.fields(TokenMap):
        before, after = getattr(token_map, field.name), getattr(loaded, field.name)
        same = torch.equal(before, after) if torch.is_tensor(before) else before == after
        assert same, field.name
    assert torch.equal(apply_map(loaded, source.input), apply_map(token_map, source.input))


def test_saving_twice_writes_the_same_bytes(fitted, tmp_path):
    for name in ("a", "b"):
        save_map(fitted[1], tmp_path / name)
    for name in ("token_map.json", "token_map.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_labels_name_the_tokens_and_the_tokenizers(fitted):
    _, token_map = fitted
    labels = token_map.labels
    assert labels.target_sha256 == tokenizer_identity(target_tokenizer(KIND))
    assert len(labels.target) == token_map.rows
    assert len(labels.source) == token_map.source_rows
    assert {"▁nyumba", "<bos>", "<0x0A>"} <= set(labels.target)
    assert labels.source[-1] == ""
    assert all(label.isprintable() for label in labels.target)


def test_no_two_tokens_share_a_draw(fitted):
    keys = fitted[1].keys
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("name", ["token_map.safetensors", "token_map.json"])
def test_a_damaged_file_is_named(fitted, tmp_path, name):
    save_map(fitted[1], tmp_path)
    path = tmp_path / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with raises(ArtifactError, tmp_path / name):
        load_map(tmp_path)


def test_missing_and_foreign_directories_are_named(fitted, tmp_path):
    with raises(ArtifactError, tmp_path, "token_map.json"):
        load_map(tmp_path)
    save_map(fitted[1], tmp_path)
    description = json.loads((tmp_path / "token_map.json").read_text())
    for change, *names in (
        ({"kind": "table"}, "token_map.json"),
        ({"schema": 99}, "schema 99"),
        ({"fallback": {"kind": "median"}}, "'median'", "Fallback"),
        ({"fallback": None}, "fallback", None),
        ({"notes": None}, "notes", None),
        ({"notes": {"method": 5}}, "method", 5),
        ({"notes": {"trained": None}}, "trained", None),
        ({"noise_std": "much"}, "noise_std", "'much'"),
        ({"norm_match": 1}, "norm_match", 1),
        ({"target_tokenizer_sha256": 3}, "target_tokenizer_sha256", 3),
    ):
        (tmp_path / "token_map.json").write_text(json.dumps(description | change))
        with raises(ArtifactError, tmp_path / "token_map.json", *names):
            load_map(tmp_path)
    (tmp_path / "token_map.json").write_text(json.dumps(description))
    (tmp_path / "token_map.safetensors").unlink()
    with raises(ArtifactError, tmp_path / "token_map.safetensors"):
        load_map(tmp_path)


def test_provenance_codes_are_fixed_for_ever():
    """They are in files."""
    assert [(kind.name, int(kind)) for kind in Provenance] == [
        ("special", 0), ("copied", 1), ("computed", 2), ("fallback", 3), ("padding", 4),
        ("given", 5),
    ]  # fmt: skip
    assert FallbackRule() == FallbackRule(Fallback.mean, 1.0, 0)
