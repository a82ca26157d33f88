"""Changes too large to be held go block by block; the packs are those of the held ones."""

import pytest
import torch

from franken.config.pack import SvdMethod, SvdOptions
from franken.parts.checkpoint import Checkpoint
from franken.parts.forms import SignForm
from franken.parts.weights import StoredWeights
from franken.skillpack import changes, pack_difference
from franken.skillpack.apply import apply_to_checkpoint
from franken.skillpack.svd import RowBlocks, factorise
from tests.parts.tiny import save_checkpoint, tiny_model
from tests.skillpack.pairs import policy


@pytest.fixture
def pair(tmp_path):
    for name, seed in (("base", 0), ("tuned", 1)):
        model = tiny_model("llama", tied=False, seed=seed, dtype=torch.bfloat16)
        save_checkpoint(model, None, tmp_path / name, max_shard_size="4KB")
    return tmp_path


@pytest.mark.parametrize("name", ["dense", "dense_bf16", "bitdelta", "prune", "dare"])
def test_packs_and_what_they_give_are_the_same_block_by_block(name, pair, monkeypatch):
    base, tuned = (StoredWeights.of_checkpoint(pair / part) for part in ("base", "tuned"))
    held = pack_difference(base, tuned, policy(name), pair / "held", name="x")
    apply_to_checkpoint(pair / "base", [held], pair / "held_model")
    monkeypatch.setattr(changes, "LARGE_BYTES", 0)
    monkeypatch.setattr(changes, "BLOCK_BYTES", 4 * 16 * 3)  # three rows
    pack = pack_difference(base, tuned, policy(name), pair / "streamed", name="x")
    apply_to_checkpoint(pair / "base", [pack], pair / "streamed_model")
    assert (pair / "held/pack.safetensors").read_bytes() == (
        pair / "streamed/pack.safetensors"
    ).read_bytes()
    one, other = (Checkpoint(pair / f"{kind}_model") for kind in ("held", "streamed"))
    assert all(torch.equal(one.tensor(n), other.tensor(n)) for n in one.names())


def test_directions_from_blocks_are_those_of_the_matrix():
    generator = torch.Generator().manual_seed(0)
    delta = torch.randn(60, 4, generator=generator) @ torch.randn(4, 40, generator=generator)
    options = SvdOptions(method=SvdMethod.randomized)
    whole = factorise(delta, 4, options, name="w")
    calls = []
    blocks = RowBlocks(lambda: calls.append(1) or iter(delta.split(7)), (60, 40))
    found = factorise(blocks, 4, options, name="w")
    assert len(calls) == 2 + 2 * options.power
    assert torch.allclose(found.sigma, torch.linalg.svdvals(delta)[:4], rtol=1e-4)
    product = (found.left * found.sigma) @ found.right
    assert torch.allclose(product, delta, atol=1e-3)
    assert torch.allclose(product, (whole.left * whole.sigma) @ whole.right, atol=1e-3)


def test_signs_of_blocks_have_the_mean_magnitude():
    delta = torch.tensor([[1.0, -3.0], [0.0, 2.0], [-4.0, 2.0]])
    form = SignForm.fit_blocks(lambda: iter(delta.split(2)), (3, 2))
    assert form.scale == 2.0
    assert form.decode().tolist() == [[2, -2], [2, 2], [-2, 2]]
