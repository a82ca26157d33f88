"""D-QRELO: signs and directions by turns."""

import itertools

import pytest
import torch

from franken.config.pack import ClassRule, PackConfig, QuantOptions, operator_of
from franken.parts.forms import SignForm
from franken.skillpack.changes import Residual, encode
from franken.skillpack.policy import Plan

SHAPE = (24, 18)


def change(seed=0):
    """A few strong directions and a flat rest, as large tunings have them."""
    generator = torch.Generator().manual_seed(seed)
    left, right = torch.randn(24, 3, generator=generator), torch.randn(3, 18, generator=generator)
    return Residual(left @ right + torch.randn(SHAPE, generator=generator))


def error_of(found, *, rank=3, bits=32, op="dqrelo", **options):
    rule = ClassRule(op=op, rank=rank, bits=bits, options=options)
    plan = Plan("layer.weight", SHAPE, "mlp", "matrices", rule, ((bits, rank),))
    made = encode(found, plan, PackConfig(quant=QuantOptions(group=8)))
    return made.squared_error, made.form


def test_one_round_is_sign_plus_lowrank():
    found = change()
    first, form = error_of(found, rounds=1)
    plain, other = error_of(found, op="sign_plus_lowrank")
    assert first == plain
    assert torch.equal(form.decode(), other.decode())


def test_no_round_makes_it_worse_and_the_first_is_better_than_signs_alone():
    found = change()
    signs = float((found.values - SignForm.fit(found.values).decode()).double().square().sum())
    errors = [error_of(found, rounds=rounds)[0] for rounds in (1, 2, 4, 8)]
    assert errors[0] < signs
    for before, after in itertools.pairwise(errors):
        assert after <= before * (1 + 1e-5)
    assert errors[-1] < 0.98 * errors[0]


def test_more_directions_are_never_worse_and_all_of_them_are_exact():
    found = change()
    errors = [error_of(found, rank=rank, rounds=3)[0] for rank in (1, 3, 6, 18)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-8 * float(found.values.square().sum())


def test_a_pack_says_its_size_before_it_is_made():
    rule = ClassRule(op="dqrelo", rank=3, bits=8)
    plan = Plan("layer.weight", SHAPE, "mlp", "matrices", rule, ((8, 3),))
    said = operator_of(rule).description(plan, 8)
    _, form = error_of(change(), bits=8)
    assert form.describe()["form"] == said["form"] == "sum"
    assert [part["form"] for part in said["parts"]] == ["sign", "lowrank"]


@pytest.mark.parametrize("options", [{"rounds": 0}, {"rounds": 1.5}, {"round": 2}])
def test_wrong_options_are_named(options):
    faults = dict(ClassRule(op="dqrelo", options=options).faults())
    assert len(faults) == 1
    assert next(iter(faults)).startswith("options")
