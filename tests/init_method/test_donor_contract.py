"""What initialisers that read a helper owe, over tokenizers, tied and untied tables, and dtypes."""

from dataclasses import replace

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, DataError
from franken.init_method import InitResources, Provenance, initialise
from franken.tokenizer.pieces import special_roles
from tests.faults import raises
from tests.init_method.donor import DONOR_CONFIGS, KIND, donor_resources, helper_table
from tests.init_method.test_contract import TABLES, check_rows
from tests.init_method.tiny import (
    edited,
    source_table,
    target_tokenizer,
    text_ids,
)

METHODS = sorted(DONOR_CONFIGS)
KINDS = list(TokenizerKind)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", KINDS, ids=[kind.value for kind in KINDS])
@pytest.mark.parametrize(("tied", "dtype"), TABLES, ids=["tied-bf16", "untied-fp32"])
def test_a_method_keeps_the_contract(kind, method, tied, dtype):
    source = source_table(kind, tied=tied, dtype=dtype)
    target = target_tokenizer(kind)
    config = DONOR_CONFIGS[method]
    table, token_map = initialise(source, target, config, donor_resources(target, tied=tied), 3)

    check_rows(source, table, token_map)
    assert table.tied == tied
    for index in special_roles(target).values():
        assert token_map.provenance[index] == Provenance.special
    used = token_map.indices[torch.repeat_interleave(token_map.provenance, token_map.sizes()) == 2]
    assert bool(token_map.exemplars[used.long()].all())  # neither padding nor control rows


@pytest.mark.parametrize("method", METHODS)
def test_the_head_takes_its_own_weights_where_the_helper_has_a_head(method):
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    _, token_map = initialise(
        source, target, DONOR_CONFIGS[method], donor_resources(target, tied=False), 0
    )
    has_own = token_map.output_weights is not None
    assert has_own is (method != "salt")
    assert token_map.notes["head"] == ("helper_head" if has_own else "same_weights")
    _, token_map = initialise(source, target, DONOR_CONFIGS[method], donor_resources(target), 0)
    assert token_map.output_weights is None


@pytest.mark.parametrize("method", [name for name in METHODS if name != "salt"])
def test_the_output_weights_are_those_of_the_helpers_head_alone(method):
    """The head solved by itself, as the input of a helper and a source whose input is that head."""
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    both = donor_resources(target, tied=False)
    _, token_map = initialise(source, target, DONOR_CONFIGS[method], both, 0)
    swapped = InitResources(
        languages=["sw"], helper=helper_table(target), word_vectors=both.word_vectors
    )
    swapped.helper.input = both.helper.output
    heads = replace(source, input=source.output)
    _, alone = initialise(heads, target, DONOR_CONFIGS[method], swapped, 0)
    # A row that the input or the head cannot compute falls back in both.
    kept = (token_map.provenance != Provenance.fallback).nonzero().flatten().tolist()
    assert token_map.counts()["computed"] > 10
    for row in kept:
        assert dict(token_map.row(row, "output")) == pytest.approx(dict(alone.row(row)), abs=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_a_vocabulary_of_its_own_gets_its_own_rows_back(method):
    """Identity transfer: everything is shared, so nothing is computed."""
    source = source_table(KIND)
    target = source.tokenizer
    table, token_map = initialise(source, target, DONOR_CONFIGS[method], donor_resources(target), 0)
    assert token_map.counts()["computed"] == token_map.counts()["fallback"] == 0
    assert torch.equal(table.input, source.input[: len(target)])


@pytest.mark.parametrize("method", METHODS)
def test_results_do_not_depend_on_the_order_of_the_ids(method):
    source, target = source_table(KIND), target_tokenizer(KIND)
    ids = text_ids(target)
    moves = dict(zip(ids, ids[::-1], strict=True))
    moved = edited(target, moves)
    resources, other = donor_resources(target), donor_resources(moved)
    places = torch.tensor([moves.get(index, index) for index in range(len(target))])
    other.helper.input = resources.helper.input[places.argsort()]
    other.word_vectors = resources.word_vectors
    first, _ = initialise(source, target, DONOR_CONFIGS[method], resources, 0)
    second, _ = initialise(source, moved, DONOR_CONFIGS[method], other, 0)
    torch.testing.assert_close(second.input[places], first.input, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("method", METHODS)
def test_a_missing_or_foreign_helper_is_refused(method):
    source, target = source_table(KIND), target_tokenizer(KIND)
    config = DONOR_CONFIGS[method]
    with raises(DataError, f"init_method={method}", "helper"):
        initialise(source, target, config, InitResources(), 0)
    foreign = donor_resources(target)
    foreign.helper = helper_table(target_tokenizer(TokenizerKind.byte_level_bpe))
    with raises(CompatibilityError, f"init_method={method}", len(target)):
        initialise(source, target, config, foreign, 0)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("part", ["input", "output"])
def test_a_helper_row_that_is_not_finite_is_refused_by_name(method, part):
    target = target_tokenizer(KIND)
    resources = donor_resources(target, tied=False)
    row = text_ids(target)[-1]
    getattr(resources.helper, part)[row, 3] = float("nan") if part == "input" else float("inf")
    token = target.convert_ids_to_tokens(row)
    with raises(CompatibilityError, f"{part} table", f"row {row}", repr(token)):
        initialise(source_table(KIND, tied=False), target, DONOR_CONFIGS[method], resources, 0)


@pytest.mark.parametrize("method", METHODS)
def test_no_shared_text_is_an_error_and_no_silent_draw(method, monkeypatch):
    from franken.token_map import builder

    monkeypatch.setattr(builder, "overlap_of", lambda source, target: {})
    config = DONOR_CONFIGS[method]
    source, target = source_table(KIND), target_tokenizer(KIND)
    with raises(CompatibilityError, "overlap.mode=bytes"):
        initialise(source, target, config, donor_resources(target), 0)


@pytest.mark.parametrize("method", METHODS)
def test_tokens_without_helper_row_follow_the_fallback_and_are_counted(method):
    source, target = source_table(KIND), target_tokenizer(KIND)
    resources = donor_resources(target)
    _, before = initialise(source, target, DONOR_CONFIGS[method], resources, 0)
    lost = (before.provenance == Provenance.computed).nonzero().flatten()[:7]
    resources.helper.input[lost] = 0
    table, token_map = initialise(source, target, DONOR_CONFIGS[method], resources, 0)
    assert (token_map.provenance[lost] == Provenance.fallback).all()
    assert token_map.notes["without_helper_row"] == 7
    assert len(torch.unique(table.input[lost], dim=0)) == 7
