"""UNKs Everywhere: what stays in the factor space, what is copied, and what is drawn."""

from dataclasses import replace

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.unks_everywhere import UnksEverywhereInit
from franken.token_map.clusters import k_means
from tests.init_method.tiny import source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe


def make(size: int = 12, tied: bool = True, seed: int = 0, dtype=torch.float32, **options):
    source = source_table(KIND, size=size, tied=tied, dtype=dtype)
    table, token_map = initialise(
        source, target_tokenizer(KIND), UnksEverywhereInit(**options), InitResources(), seed
    )
    return source, table, token_map


def factor_space(source, token_map, dim: int) -> torch.Tensor:
    """``(D, D)`` projector on the row space of the truncated SVD."""
    text = source.input[token_map.exemplars].double()
    right = torch.linalg.svd(text, full_matrices=False).Vh[:dim]
    return right.T @ right


@pytest.mark.parametrize("project", [False, True])
def test_shared_rows_are_whole_or_projected(project: bool) -> None:
    source, table, token_map = make(dim=4, project_overlap=project)
    shared = (token_map.provenance == Provenance.copied).nonzero().flatten()
    old = source.input[token_map.indices[token_map.indptr[shared]].long()]
    if project:
        expected = old.double() @ factor_space(source, token_map, 4)
        torch.testing.assert_close(table.input[shared].double(), expected, atol=1e-5, rtol=1e-5)
        assert (table.input[shared] - old).norm() > 0.1 * old.norm()  # the residual is lost
    else:
        assert torch.equal(table.input[shared], old)
    special = (token_map.provenance == Provenance.special).nonzero().flatten()
    kept = source.input[token_map.indices[token_map.indptr[special]].long()]
    assert torch.equal(table.input[special], kept)


def test_drawn_rows_lie_in_the_factor_space_and_differ() -> None:
    source, table, token_map = make(dim=4)
    drawn = table.input[token_map.provenance == Provenance.fallback].double()
    projector = factor_space(source, token_map, 4)
    torch.testing.assert_close(drawn @ projector, drawn, atol=1e-4, rtol=1e-4)
    assert torch.linalg.matrix_rank(drawn, rtol=1e-4) == 4
    assert len(torch.unique(drawn, dim=0)) == len(drawn)


def test_draws_have_the_mean_and_deviation_of_the_factors() -> None:
    source, _, token_map = make(dim=3)
    text = source.input[token_map.exemplars].double()
    left = torch.linalg.svd(text, full_matrices=False)
    factors = text @ left.Vh[:3].T
    drawn = torch.cat(
        [
            table.input[token_map.provenance == Provenance.fallback].double() @ left.Vh[:3].T
            for table in (make(dim=3, seed=seed)[1] for seed in range(20))
        ]
    )
    error = factors.std(0) / len(drawn) ** 0.5
    assert ((drawn.mean(0) - factors.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(drawn.std(0), factors.std(0), rtol=0.08, atol=0)


def test_at_full_width_the_projection_gives_the_rows_back() -> None:
    source, table, token_map = make(size=12, dim=100, project_overlap=True)
    shared = (token_map.provenance == Provenance.copied).nonzero().flatten()
    old = source.input[token_map.indices[token_map.indptr[shared]].long()]
    torch.testing.assert_close(table.input[shared], old, atol=1e-4, rtol=1e-4)
    assert token_map.notes["factor_dim"] == 12


def test_an_untied_head_has_factors_of_its_own_and_dtypes_stay() -> None:
    _, table, token_map = make(tied=False, dim=4, dtype=torch.bfloat16)
    assert table.output is not None
    assert table.input.dtype == table.output.dtype == torch.bfloat16
    drawn = token_map.provenance == Provenance.fallback
    assert bool((table.input[drawn] != table.output[drawn]).any(dim=1).all())
    again = make(tied=False, dim=4, dtype=torch.bfloat16)[1]
    assert torch.equal(again.input, table.input)


def test_k_means_finds_clusters_that_stand_apart_and_stops_at_different_rows() -> None:
    draws = torch.Generator().manual_seed(0)
    centres = torch.tensor([[10.0, 0.0], [0.0, 10.0], [-10.0, -10.0]])
    of_row = torch.arange(300) % 3
    rows = centres[of_row] + torch.randn(300, 2, generator=draws)
    found = k_means(rows, 3, seed=1)
    pairs = {(int(a), int(b)) for a, b in zip(of_row, found, strict=True)}
    assert len(pairs) == 3
    assert k_means(centres.repeat(2, 1), 10, seed=0).max() == 2


def test_each_group_is_drawn_in_the_factor_space_of_its_own_rows() -> None:
    source, table, token_map = make(dim=2, groups=3, project_overlap=True)
    classes = token_map.classes
    assert classes is not None
    assert token_map.notes["groups"] == classes.sizes()
    assert sum(classes.sizes()) == int(token_map.exemplars.sum())
    copied = (token_map.provenance == Provenance.copied).nonzero().flatten()
    partners = token_map.indices[token_map.indptr[copied]].long()
    for group in range(3):
        members = source.input[classes.source == group].double()
        right = torch.linalg.svd(members, full_matrices=False).Vh[:2]
        drawn = table.input[classes.target == group].double()
        assert len(drawn) > 1
        torch.testing.assert_close(drawn @ right.T @ right, drawn, atol=1e-4, rtol=1e-4)
        mine = classes.source[partners] == group
        expected = source.input[partners[mine]].double() @ right.T @ right
        torch.testing.assert_close(
            table.input[copied[mine]].double(), expected, atol=1e-4, rtol=1e-4
        )


def test_draws_of_a_group_have_the_moments_of_its_factors() -> None:
    source, _, token_map = make(dim=2, groups=2)
    assert token_map.classes is not None
    members = source.input[token_map.classes.source == 0].double()
    right = torch.linalg.svd(members, full_matrices=False).Vh[:2]
    factors = members @ right.T
    method, mine = UnksEverywhereInit(dim=2, groups=2), token_map.classes.target == 0
    drawn = []
    for seed in range(20):  # other clusters come with other seeds: this map's rows, drawn again
        other = replace(token_map, fallback=replace(token_map.fallback, seed=seed))
        drawn.append(method.own_rows(other, source, "input")[mine])
    rows = torch.cat(drawn).double() @ right.T
    error = factors.std(0) / len(rows) ** 0.5
    assert ((rows.mean(0) - factors.mean(0)).abs() < 5 * error).all()
    torch.testing.assert_close(rows.std(0), factors.std(0), rtol=0.1, atol=0)


def test_new_tokens_fall_into_groups_by_their_sizes() -> None:
    hits = expected = variance = 0.0
    for seed in range(20):
        token_map = make(dim=2, groups=3, seed=seed)[2]
        assert token_map.classes is not None
        sizes = torch.tensor(token_map.classes.sizes())
        largest, share = int(sizes.argmax()), float(sizes.max() / sizes.sum())
        drawn = token_map.classes.target[token_map.classes.target >= 0]
        hits += int((drawn == largest).sum())
        expected += share * len(drawn)
        variance += share * (1 - share) * len(drawn)
    assert abs(hits - expected) < 4 * variance**0.5
