"""Operators of packs declare themselves: one file each, found by name."""

import pytest

from franken.config.pack import ClassRule, operator_of
from franken.declare import options
from franken.errors import ConfigError
from franken.pack_operator.base import PackOperator
from tests.faults import raises


@pytest.mark.parametrize("name", sorted(options("pack_operator")))
def test_every_operator_is_made_by_its_name_and_knows_its_widths(name: str) -> None:
    operator = operator_of(ClassRule(op=name))
    assert isinstance(operator, PackOperator)
    assert operator.name == name
    for bits in (0, 4, 16, 64):
        faults = dict(ClassRule(op=name, bits=bits).faults())
        assert ("bits" in faults) == (bits not in operator.widths)


def test_an_unknown_operator_is_a_fault_of_its_own_key() -> None:
    rule = ClassRule(op="lowrnk")
    assert [key for key, _ in rule.faults()] == ["op"]
    with raises(ConfigError, "pack_operator.name", "'lowrnk'", "'lowrank'"):
        operator_of(rule)
