"""The screened search against all inner products in float64."""

import pytest
import torch

from franken.token_map.atom_search import AtomSearch
from franken.token_map.pair_products import fast_dtype


def vectors(count: int, width: int = 40, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def no_atoms(count: int) -> torch.Tensor:
    return torch.empty(count, 0, dtype=torch.int64)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("scale", [1e-15, 1.0, 1e15])
@pytest.mark.parametrize("normalise", [False, True])
def test_the_best_in_float64_is_found(dtype, scale, normalise) -> None:
    atoms = vectors(5001) * torch.logspace(-2, 2, 5001)[:, None] * scale  # more than one tile
    atoms[3000:3200] = atoms[2999] + 1e-4 * atoms[3000:3200]  # what bfloat16 cannot tell apart
    asked = torch.cat([vectors(60, seed=1), atoms[2990:3010] / scale]).double()
    found = AtomSearch(atoms, normalise=normalise, dtype=dtype).best(asked, no_atoms(80))
    dense = (asked @ atoms.double().T).abs()
    if normalise:
        dense /= atoms.double().norm(dim=1)
    assert torch.equal(found, dense.argmax(1))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_small_differences_of_what_all_have_in_common(dtype) -> None:
    """Atoms share a large part that the vectors lack: errors of the products exceed the scores."""
    common = vectors(1, seed=2).double()
    share = {torch.bfloat16: 1e3, torch.float32: 1e6}[dtype]
    atoms = (vectors(2000).double() + share * common).float()
    asked = vectors(100, seed=1).double()
    asked -= (asked @ common.T) / common.square().sum() * common
    found = AtomSearch(atoms, dtype=dtype).best(asked, no_atoms(100))
    first = (asked.to(dtype) @ atoms.to(dtype).T).abs().argmax(1)
    best = (asked @ atoms.double().T).abs().argmax(1)
    assert (first != best).sum() > 10
    assert torch.equal(found, best)


def test_of_equal_atoms_the_first_that_is_not_taken() -> None:
    atoms = vectors(30)
    atoms[[25, 7, 19]] = 9 * atoms[4]
    search = AtomSearch(atoms)
    asked = atoms[4:5].double().repeat(3, 1)
    taken = torch.tensor([[-1, -1], [7, -1], [7, 19]])
    assert search.best(asked, taken).tolist() == [7, 19, 25]


def test_what_has_no_best() -> None:
    zero = torch.zeros(2, 40, dtype=torch.float64)
    assert AtomSearch(vectors(20)).best(zero, no_atoms(2)).tolist() == [-1, -1]
    asked = vectors(2).double()
    assert AtomSearch(torch.zeros(20, 40)).best(asked, no_atoms(2)).tolist() == [-1, -1]
    assert AtomSearch(vectors(1)).best(asked, torch.tensor([[0], [-1]])).tolist() == [-1, 0]


@pytest.mark.parametrize("width", [576, 4096])
def test_products_in_bfloat16_are_as_exact_as_the_bound_says(width) -> None:
    """Sums in float32, rounded once: of what this processor does, whichever instructions it has."""
    some, others = (vectors(50, width, seed).bfloat16() for seed in (3, 4))
    exact = some.double() @ others.double().T
    lengths = some.double().norm(dim=1)[:, None] * others.double().norm(dim=1)
    allowed = 0.5 * torch.finfo(torch.bfloat16).eps * exact.abs()
    allowed += 2 * width * torch.finfo(torch.float32).eps * lengths
    assert ((some @ others.T).double() - exact).abs().le(allowed).all()


@pytest.mark.parametrize(
    ("capability", "expected"),
    [
        ("amx_bf16", torch.bfloat16),
        ("avx512_bf16", torch.bfloat16),
        ("avx512_f", torch.float32),
    ],
)
def test_bfloat16_where_the_processor_multiplies_it(monkeypatch, capability, expected) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {capability: True})
    assert fast_dtype() is expected
