"""Heads without weights: one linear map of the input rows, or draws."""

from dataclasses import replace

import pytest
import torch

from franken.init_method import Provenance, apply_map, initialise
from franken.init_method.clp_plus import ClpPlusInit
from franken.init_method.salt import SaltInit
from franken.token_map.explain import explain_row
from franken.token_map.options import Fallback, Head
from franken.token_map.output_heads import input_to_output
from tests.init_method.donor import DONOR_CONFIGS, KIND, donor_resources
from tests.init_method.tiny import source_table, target_tokenizer

TARGET = target_tokenizer(KIND)


def made(head, *, config=None, tied=False, dtype=torch.float32):
    source = source_table(KIND, tied=tied, dtype=dtype)
    config = replace(config or SaltInit(), head=head)
    table, token_map = initialise(source, TARGET, config, donor_resources(TARGET), 0)
    return source, table, token_map


def test_the_map_of_the_head_is_the_least_squares_over_rows_of_text() -> None:
    source = source_table(KIND, tied=False)
    chosen = torch.arange(source.rows) < 300
    found = input_to_output(source.input, source.output, chosen)
    expected = torch.linalg.lstsq(source.input[:300].double(), source.output[:300].double())
    torch.testing.assert_close(found.double(), expected.solution, atol=1e-5, rtol=1e-5)
    few = torch.arange(source.rows) < 5  # fewer rows than dimensions: the shortest such map
    found = input_to_output(source.input, source.output, few).double()
    expected = torch.linalg.pinv(source.input[:5].double()) @ source.output[:5].double()
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("method", sorted(DONOR_CONFIGS))
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_computed_output_rows_are_input_rows_under_the_map(method, dtype) -> None:
    source, table, token_map = made(Head.global_map, config=DONOR_CONFIGS[method], dtype=dtype)
    computed = token_map.provenance == Provenance.computed
    mapping = input_to_output(source.input, source.output, token_map.exemplars)
    expected = table.input[computed].float() @ mapping
    error = (table.output[computed].float() - expected).abs().max()
    assert error <= 2**-8 * expected.abs().max()
    plain = apply_map(token_map, source.output, part="output")
    assert torch.equal(table.output[~computed], plain[~computed])
    assert not torch.equal(table.output[computed], plain[computed])
    assert table.output.dtype == dtype


def test_a_head_that_is_the_input_mapped_is_found_again() -> None:
    """Then the plain weights give the same rows, since maps commute with sums."""
    source = source_table(KIND, tied=False)
    source.output = source.input @ torch.randn(12, 12, generator=torch.Generator().manual_seed(2))
    config = replace(ClpPlusInit(), head=Head.global_map)
    table, token_map = initialise(source, TARGET, config, donor_resources(TARGET), 0)
    plain = apply_map(token_map, source.output, part="output")
    torch.testing.assert_close(table.output, plain, atol=1e-3, rtol=1e-4)


def test_random_heads_are_draws_with_the_statistics_of_the_old_head() -> None:
    source, table, token_map = made(Head.random)
    computed = token_map.provenance == Provenance.computed
    plain = apply_map(token_map, source.output, part="output")
    assert torch.equal(table.output[~computed], plain[~computed])
    drawn, text = table.output[computed], source.output[token_map.exemplars]
    assert len(torch.unique(drawn, dim=0)) == len(drawn)
    tolerance = 4 / len(drawn) ** 0.5
    assert float((drawn.mean(0) - text.mean(0)).abs().max()) < tolerance
    assert float((drawn.std(0) / text.std(0) - 1).abs().max()) < 0.3
    again = made(Head.random)[1]
    assert torch.equal(again.output, table.output)
    assert torch.equal(table.input, made(Head.same_weights)[1].input)


def test_other_rows_keep_their_own_fallback_under_a_random_head() -> None:
    resources = donor_resources(TARGET)
    source = source_table(KIND, tied=False)
    config = SaltInit(head=Head.random, fallback=Fallback.mean)
    resources.helper.input[300:320] = 0
    table, token_map = initialise(source, TARGET, config, resources, 0)
    lost = token_map.provenance == Provenance.fallback
    assert int(lost.sum()) > 3
    mean = source.output[token_map.exemplars].mean(0)
    torch.testing.assert_close(table.output[lost], mean.expand(int(lost.sum()), -1))


def test_a_tied_table_has_no_head_of_its_own_and_the_map_says_what_it_was() -> None:
    _, table, token_map = made(Head.global_map, tied=True)
    assert table.output is None
    assert token_map.notes["head"] == "same_weights"
    _, _, token_map = made(Head.global_map)
    assert token_map.notes["head"] == "global_map"
    row = int((token_map.provenance == Provenance.computed).nonzero()[0])
    how = explain_row(token_map, row)["how"]
    assert how != explain_row(made(Head.same_weights)[2], row)["how"]
