"""SCE and PCB-Merging against loops over entries, and what must hold of any merge."""

import numpy as np
import pytest
import torch

from franken.config.pack import MergeMethod
from franken.skillpack.merge import merge_deltas


def drawn(packs: int = 3, shape: tuple[int, ...] = (6, 11), seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(shape, generator=generator) * (k + 1) * 0.01 for k in range(packs)]


def slow_sce(packs: list[torch.Tensor], density: float) -> np.ndarray:
    flat = [pack.double().flatten().tolist() for pack in packs]
    places = range(len(flat[0]))
    spread = [np.var([values[i] for values in flat]) for i in places]
    chosen = sorted(places, key=lambda i: -spread[i])[: int(density * len(places))]
    kept = [[values[i] if i in chosen else 0.0 for i in places] for values in flat]
    energy = [np.mean(np.square(values)) for values in kept]
    result = []
    for i in places:
        total = sum(values[i] for values in kept)
        there = [k for k, values in enumerate(kept) if np.sign(values[i]) == np.sign(total)]
        share = sum(energy[k] for k in there)
        result.append(sum(energy[k] * kept[k][i] for k in there) / share if share else 0.0)
    return np.reshape(result, packs[0].shape)


def slow_pcb(packs: list[torch.Tensor], density: float) -> np.ndarray:
    flat = [pack.double().flatten().tolist() for pack in packs]
    sums = [sum(column) for column in zip(*flat, strict=True)]
    weights, sizes = [], []
    for values in flat:
        ordered = sorted(map(abs, values))
        low, high = ordered[int(len(ordered) * 1e-4)], ordered[int(len(ordered) * (1 - 1e-4) - 1)]
        size = [min(max(abs(v), low), high) for v in values]
        intra = [np.exp(len(flat) * ((s - low) / (high - low)) ** 2) for s in size]
        balance = [w * np.tanh(v * t) for w, v, t in zip(intra, values, sums, strict=True)]
        floor = sorted(balance)[int(len(balance) * (1 - density))]
        top = max(balance)
        weights.append([max(b - floor, 0.0) / (top - floor) for b in balance])
        sizes.append([np.sign(v) * s for v, s in zip(values, size, strict=True)])
    result = []
    for i in range(len(sums)):
        total = sum(own[i] for own in weights)
        mixed = sum(own[i] * size[i] for own, size in zip(weights, sizes, strict=True))
        result.append(mixed / max(total, 1e-12))
    return np.reshape(result, packs[0].shape)


@pytest.mark.parametrize("shape", [(6, 11), (40,)])
@pytest.mark.parametrize("density", [0.1, 0.5])
@pytest.mark.parametrize(
    ("method", "slow"), [(MergeMethod.sce, slow_sce), (MergeMethod.pcb, slow_pcb)]
)
def test_equal_to_loops_over_entries(method, slow, density, shape):
    packs = drawn(shape=shape)
    found = merge_deltas(packs, [1.0] * 3, method, density=density)
    np.testing.assert_allclose(found.numpy(), slow(packs, density), rtol=2e-3, atol=1e-7)
    assert 0 < (found != 0).float().mean() < 1


@pytest.mark.parametrize("method", [MergeMethod.sce, MergeMethod.pcb])
def test_the_order_of_packs_and_the_places_of_entries_do_not_matter(method):
    packs = drawn(seed=4)
    found = merge_deltas(packs, [1.0] * 3, method, density=0.3)
    turned = merge_deltas(packs[::-1], [1.0] * 3, method, density=0.3)
    moved = merge_deltas([pack.flip(0, 1) for pack in packs], [1.0] * 3, method, density=0.3)
    torch.testing.assert_close(turned, found)
    torch.testing.assert_close(moved.flip(0, 1), found)


def test_a_pack_of_nothing_leaves_sce_the_other_one_whole():
    pack = drawn(1)[0]
    found = merge_deltas([pack, torch.zeros_like(pack)], [1.0, 1.0], MergeMethod.sce, density=1.0)
    torch.testing.assert_close(found, pack)


def test_packs_of_nothing_merge_to_nothing():
    for method in (MergeMethod.sce, MergeMethod.pcb):
        found = merge_deltas([torch.zeros(4, 5)] * 2, [1.0, 1.0], method, density=0.2)
        assert torch.equal(found, torch.zeros(4, 5))
