"""Packs on live models (graftllm notes, invariants 13 and 14), sums and merges."""

import pytest
import torch

from franken.config.pack import MergeMethod
from franken.errors import CompatibilityError
from franken.parts.mount import Mounts
from franken.parts.skillpack import check_base
from franken.parts.weights import LoadedWeights
from franken.skillpack import pack_difference
from franken.skillpack.experts import Experts
from franken.skillpack.merge import merge_deltas, merged_tensors, ties
from tests.faults import raises
from tests.parts.tiny import logits_of, some_ids, tiny_model
from tests.skillpack.pairs import exact_policy, policy, tuned_copy


def state(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def same(left, right):
    return all(torch.equal(left[name], right[name]) for name in left)


def make(model, directory, *, seed=1, size=1e-2, found=None, name=None):
    tuned = tuned_copy(model, seed=seed, size=size)
    return tuned, pack_difference(
        LoadedWeights(model), LoadedWeights(tuned), found or exact_policy(), directory,
        name=name or directory.name,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("tied", [True, False])
def test_mounting_gives_the_tuned_model_and_unmounting_the_old_bits(tmp_path, dtype, tied):
    model = tiny_model("gemma2", dtype=dtype, tied=tied)
    before, parameters = state(model), list(map(id, model.parameters()))
    tuned, pack = make(model, tmp_path / "p")
    mounts = Mounts(model)
    mounts.mount(pack)
    assert same(state(model), state(tuned))
    assert torch.equal(logits_of(model, some_ids(96)), logits_of(tuned, some_ids(96)))
    mounts.unmount("p")
    assert same(state(model), before)
    assert list(map(id, model.parameters())) == parameters


def test_unmounting_in_any_order_restores_every_bit(tmp_path):
    model = tiny_model(dtype=torch.bfloat16)
    before = state(model)
    packs = {n: make(model, tmp_path / n, seed=i)[1] for i, n in enumerate("abc")}
    mounts = Mounts(model)
    for name in "cab":
        mounts.mount(packs[name], weight=0.7)
    three = state(model)
    mounts.unmount("a")
    mounts.unmount("c")
    only = Mounts(other := tiny_model(dtype=torch.bfloat16))
    only.mount(packs["b"], weight=0.7)
    assert same(state(model), state(other))
    for name in "ac":
        mounts.mount(packs[name], weight=0.7)
    assert same(state(model), three)  # whatever the order of mounting
    mounts.clear()
    assert same(state(model), before)


def test_changes_are_linear_in_float32(tmp_path):
    model = tiny_model()
    _, pack = make(model, tmp_path / "p", found=policy("module_aware"))
    before = state(model)
    mounts = Mounts(model)
    mounts.mount(pack, weight=0.3)
    for name in pack.names():
        moved = state(model)[name] - before[name]
        torch.testing.assert_close(moved, 0.3 * pack.delta(name).float(), rtol=1e-3, atol=1e-6)
    mounts.unmount("p")
    assert same(state(model), before)


def test_the_block_form_takes_the_pack_off_after_an_error(tmp_path):
    model = tiny_model()
    before = state(model)
    _, pack = make(model, tmp_path / "p")

    def fail():
        with Mounts(model).mounted(pack):
            assert not same(state(model), before)
            raise RuntimeError("inside")

    with raises(RuntimeError, "inside"):
        fail()
    assert same(state(model), before)


def test_another_model_or_a_taken_name_is_refused_and_nothing_changes(tmp_path):
    model = tiny_model()
    _, pack = make(model, tmp_path / "p")
    other = tiny_model(seed=5)
    before = state(other)
    with raises(CompatibilityError, "'p'", "'model"):
        Mounts(other).mount(pack)
    with raises(CompatibilityError, "'p'", "'model.embed_tokens.weight'"):
        Mounts(tiny_model("gpt2")).mount(pack)
    assert same(state(other), before)
    Mounts(other).mount(pack, check=False)  # a relative, on purpose
    assert not same(state(other), before)
    mounts = Mounts(model)
    mounts.mount(pack)
    with raises(CompatibilityError, "'p'"):
        mounts.mount(pack)
    with raises(CompatibilityError, "'q'", "p"):
        mounts.unmount("q")


def test_a_model_in_a_narrower_format_takes_a_pack_of_its_own_base(tmp_path):
    model = tiny_model()
    _, pack = make(model, tmp_path / "p")
    half = tiny_model().bfloat16()
    Mounts(half).mount(pack)
    expected = (tiny_model().bfloat16().float().state_dict()["model.norm.weight"]
                + pack.delta("model.norm.weight")).bfloat16()  # fmt: skip
    assert torch.equal(half.state_dict()["model.norm.weight"], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_foreign_base_is_refused_in_a_narrower_format_too(tmp_path, dtype):
    model = tiny_model()
    _, pack = make(model, tmp_path / "p")
    Mounts(tiny_model().to(dtype)).mount(pack)
    foreign = tuned_copy(model, size=0.1, seed=99, only="mlp").to(dtype)
    before = state(foreign)
    with raises(CompatibilityError, "'p'", "'model.layers.0.mlp.down_proj.weight'"):
        Mounts(foreign).mount(pack)
    assert same(state(foreign), before)
    with raises(CompatibilityError, "'p'"):
        Experts(foreign, {"p": pack})
    with raises(CompatibilityError, "'p'", dtype):
        check_base(pack, LoadedWeights(tiny_model().to(dtype)))


def test_a_class_can_be_left_out(tmp_path):
    model = tiny_model()
    _, pack = make(model, tmp_path / "p", found=policy("svd"))
    before = state(model)
    Mounts(model).mount(pack, classes={"attn": 0.0})
    for name, tensor in model.named_parameters():
        assert torch.equal(tensor, before[name]) == ("self_attn" in name)


def test_a_later_pack_leaves_the_answers_of_an_earlier_one_alone(tmp_path):
    """No forgetting: task 1 with its own pack, before and after task 2 is learnt."""
    model = tiny_model()
    mounts, ids = Mounts(model), some_ids(96)
    _, first = make(model, tmp_path / "first", found=policy("module_aware"))
    with mounts.mounted(first):
        before = logits_of(model, ids)
    _, second = make(model, tmp_path / "second", seed=9, found=policy("module_aware"))
    with mounts.mounted(second):
        other = logits_of(model, ids)
    with mounts.mounted(first):
        assert torch.equal(logits_of(model, ids), before)
    assert not torch.equal(other, before)


def test_ties_by_hand():
    one = torch.tensor([[1.0, -2.0, 0.1, 3.0]])
    two = torch.tensor([[2.0, 1.0, -0.2, -5.0]])
    # half of each is kept: one -> -2, 3; two -> 2, -5; signs of the sums: +, -, 0, -
    expected = torch.tensor([[2.0, -2.0, 0.0, -5.0]])
    assert torch.equal(ties([one, two], [1.0, 1.0], 0.5), expected)


def test_dare_is_right_on_average_and_sum_and_average_are_what_they_say():
    deltas = [torch.ones(50, 40), 2 * torch.ones(50, 40)]
    found = torch.stack([
        merge_deltas(deltas, [1.0, 0.5], MergeMethod.dare, density=0.3, seeds=[2 * i, 2 * i + 1])
        for i in range(40)
    ])  # fmt: skip
    assert float(found.mean()) == pytest.approx(2.0, rel=0.02)
    assert torch.equal(merge_deltas(deltas, [1.0, 0.5], MergeMethod.sum), 2 * torch.ones(50, 40))
    mean = merge_deltas(deltas, [1.0, 0.5], MergeMethod.average)
    torch.testing.assert_close(mean, torch.full((50, 40), 4 / 3))


def test_a_merge_does_not_depend_on_the_order_of_the_packs(tmp_path):
    model = tiny_model(dtype=torch.bfloat16)
    packs = {n: make(model, tmp_path / n, seed=i)[1] for i, n in enumerate("abc")}
    turned = {n: packs[n] for n in "cba"}
    for method in MergeMethod:
        left, right = (
            dict(merged_tensors(LoadedWeights(model), given, {}, method))
            for given in (packs, turned)
        )
        assert same(left, right)
    summed = dict(merged_tensors(LoadedWeights(model), packs, {}, MergeMethod.sum))
    mounts = Mounts(model)
    for pack in packs.values():
        mounts.mount(pack)
    assert same(summed, state(model))
