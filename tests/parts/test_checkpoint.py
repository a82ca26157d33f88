import json

import pytest
import torch

from franken.errors import ArtifactError
from franken.parts.anatomy import anatomy_of
from franken.parts.checkpoint import INDEX_FILE, Checkpoint
from franken.parts.fingerprint import body_fingerprint, body_tensors
from tests.faults import raises
from tests.parts.tiny import save_checkpoint, tiny_model


@pytest.fixture
def model():
    return tiny_model("llama", tied=False)


@pytest.fixture
def sharded(model, tmp_path):
    return save_checkpoint(model, None, tmp_path / "sharded", max_shard_size="8KB")


def test_single_and_sharded_files_hold_the_same(model, sharded, tmp_path):
    single = Checkpoint(save_checkpoint(model, None, tmp_path / "single"))
    parts = Checkpoint(sharded)
    assert len(parts.shards()) > 2
    assert single.names() == parts.names() == sorted(model.state_dict())
    for name, tensor in model.state_dict().items():
        assert torch.equal(parts.tensor(name), tensor)
        assert parts.shape(name) == tuple(tensor.shape)
        assert parts.dtype(name) == tensor.dtype
        assert name in parts.shards()[parts.shard_of(name)]
    rows = parts.rows("model.embed_tokens.weight", 3, 7)
    assert torch.equal(rows, model.get_input_embeddings().weight[3:7])


def test_a_missing_shard_is_named(sharded):
    victim = sorted(sharded.glob("*.safetensors"))[1]
    victim.unlink()
    with raises(ArtifactError, sharded / INDEX_FILE, victim.name):
        Checkpoint(sharded)


def test_an_index_that_promises_too_much_is_refused(sharded):
    index = json.loads((sharded / INDEX_FILE).read_text())
    index["weight_map"]["ghost"] = next(iter(index["weight_map"].values()))
    (sharded / INDEX_FILE).write_text(json.dumps(index))
    with raises(ArtifactError, sharded / INDEX_FILE, "'ghost'"):
        Checkpoint(sharded)


def test_an_index_cannot_point_outside_its_directory(sharded):
    index = json.loads((sharded / INDEX_FILE).read_text())
    index["weight_map"]["lm_head.weight"] = "../elsewhere.safetensors"
    (sharded / INDEX_FILE).write_text(json.dumps(index))
    with raises(
        ArtifactError, sharded / INDEX_FILE, "'lm_head.weight'", "'../elsewhere.safetensors'"
    ):
        Checkpoint(sharded)


def test_pickled_weights_are_refused_with_the_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with raises(ArtifactError, tmp_path, "pytorch_model.bin", "safetensors"):
        Checkpoint(tmp_path)


def test_an_empty_or_absent_directory_is_named(tmp_path):
    with raises(ArtifactError, tmp_path, "model.safetensors", INDEX_FILE):
        Checkpoint(tmp_path)
    with raises(ArtifactError, tmp_path / "absent"):
        Checkpoint(tmp_path / "absent")


def test_fingerprint_ignores_shards_and_tables(model, sharded, tmp_path):
    anatomy = anatomy_of(model.config)
    expected = body_fingerprint(sharded, anatomy)
    with torch.no_grad():
        model.get_input_embeddings().weight.mul_(2)
        model.get_output_embeddings().weight.mul_(2)
    single = save_checkpoint(model, None, tmp_path / "single")
    assert body_fingerprint(single, anatomy) == expected


@pytest.mark.parametrize("change", ["value", "dtype", "shape"])
def test_fingerprint_tells_bodies_apart(model, sharded, change, tmp_path):
    anatomy = anatomy_of(model.config)
    if change == "value":
        with torch.no_grad():
            model.model.layers[1].mlp.up_proj.weight[3, 4] += 1e-3
    elif change == "dtype":
        model = model.bfloat16()
    else:
        model = tiny_model("llama", tied=False, intermediate_size=40)
    other = save_checkpoint(model, None, tmp_path / "other")
    assert body_fingerprint(other, anatomy) != body_fingerprint(sharded, anatomy)


def test_large_tensors_are_sampled_at_both_ends(tmp_path):
    model = tiny_model("llama", intermediate_size=20_000)
    anatomy = anatomy_of(model.config)
    weight = model.model.layers[0].mlp.up_proj.weight
    assert weight.nbytes > 64 * 4096
    seen = set()
    for index, (row, column) in enumerate([(0, 0), (-1, -1), (0, 1)]):
        with torch.no_grad():
            weight[row, column] += 1
        directory = save_checkpoint(model, None, tmp_path / str(index))
        seen.add(body_fingerprint(directory, anatomy))
    assert len(seen) == 3


def test_stored_constants_are_no_part_of_a_body(tmp_path):
    from safetensors.torch import load_file, save_file

    model = tiny_model("gpt2")
    directory = save_checkpoint(model, None, tmp_path)
    before = body_fingerprint(directory, anatomy_of(model.config))
    tensors = load_file(directory / "model.safetensors")
    tensors = {name.removeprefix("transformer."): tensor for name, tensor in tensors.items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 4, 4)
    save_file(tensors, directory / "model.safetensors", {"format": "pt"})

    names = body_tensors(Checkpoint(directory), anatomy_of(model.config))
    assert "h.0.attn.c_attn.bias" in names
    assert "h.0.attn.bias" not in names
    assert body_fingerprint(directory, anatomy_of(model.config)) == before
