"""Selection, sparse indexes, signs, exact changes (graftllm notes, invariants 1, 2, 11, 12)."""

import pytest
import torch

from franken.errors import ArtifactError
from franken.parts.forms import (
    DenseForm,
    LevelsForm,
    LowRankForm,
    RowsForm,
    SignForm,
    SparseForm,
    SumForm,
    ZeroForm,
    decode_form,
    encoded_bytes,
    form_bytes,
)
from franken.parts.forms.dense import exact_delta
from franken.parts.weights import LoadedWeights
from franken.skillpack import pack_difference
from franken.skillpack.policy import schedule_columns
from franken.skillpack.selection import largest, random_subset
from tests.faults import raises
from tests.parts.tiny import tiny_model
from tests.skillpack.pairs import exact_policy, lowrank_noise, policy, tuned_copy


def blocks_of(matrix, rows):
    return lambda: iter(matrix.split(rows))


@pytest.mark.parametrize("count", [0, 1, 7, 100, 599, 600])
@pytest.mark.parametrize("rows", [1, 7, 30])
def test_the_streamed_threshold_is_that_of_a_stable_sort(count, rows):
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(30, 20, generator=generator).round(decimals=1)  # many ties
    places, values = largest(blocks_of(matrix, rows), count)
    order = matrix.flatten().abs().sort(descending=True, stable=True).indices[:count]
    assert torch.equal(places, order.sort().values)
    assert torch.equal(values, matrix.flatten()[places])
    if 0 < count < 600:
        dropped = torch.ones(600, dtype=torch.bool)
        dropped[places] = False
        assert float(values.abs().min()) >= float(matrix.flatten()[dropped].abs().max())
        for _ in range(5):
            other = torch.randperm(600, generator=generator)[:count]
            assert float(values.square().sum()) >= float(matrix.flatten()[other].square().sum())


def test_random_entries_are_unbiased_and_do_not_depend_on_the_blocks():
    matrix = torch.randn(100, 200, generator=torch.Generator().manual_seed(1))
    places, values = random_subset(blocks_of(matrix, 100), 0.25, 5)
    others, same = random_subset(blocks_of(matrix, 13), 0.25, 5)
    assert torch.equal(places, others)
    assert torch.equal(values, same)
    assert len(places) == pytest.approx(5000, rel=0.05)
    torch.testing.assert_close(values, matrix.flatten()[places] * 4)


@pytest.mark.parametrize("index", ["bitmap", "csr", "rows", "elias_fano"])
@pytest.mark.parametrize("bits", [4, 8, 16, 32])
def test_every_index_gives_the_kept_entries_back(index, bits):
    matrix = torch.zeros(50, 70)
    matrix[3, 5:60], matrix[20], matrix[49, 69] = 1.5, -0.25, 1e-3
    places = matrix.flatten().nonzero().flatten()
    form = SparseForm.encode(
        (50, 70), places, matrix.flatten()[places], bits=bits, index=index, group_size=32
    )
    back = decode_form(form.describe(), encoded_bytes(form))
    assert torch.equal(back.decode(), form.decode())
    assert torch.equal(back.decode(18, 50), form.decode()[18:])
    if bits == 32:
        assert torch.equal(form.decode(), matrix)
    assert bool((form.decode()[matrix == 0] == 0).all())


def test_the_cheapest_index_is_taken():
    def chosen(matrix):
        places = matrix.flatten().nonzero().flatten()
        form = SparseForm.encode(tuple(matrix.shape), places, matrix.flatten()[places], bits=16)
        sizes = {}
        for index in ("bitmap", "csr", "rows"):
            form_of = SparseForm.encode(
                tuple(matrix.shape), places, matrix.flatten()[places], bits=16, index=index
            )
            sizes[index] = encoded_bytes(form_of).numel()
        assert sizes[form.index] == min(sizes.values())
        return form.index

    dense, few, rows = torch.rand(64, 64), torch.zeros(1000, 512), torch.zeros(1000, 512)
    few[::100, 7] = 1.0
    rows[3], rows[500] = 1.0, 1.0
    assert chosen(dense) == "bitmap"
    assert chosen(few) in ("csr", "rows")
    assert chosen(rows) == "rows"


def all_forms():
    delta = lowrank_noise(48, 40)
    u, s, v = torch.linalg.svd(delta, full_matrices=False)
    lowrank = LowRankForm.encode(
        u[:, :10], s[:10], v[:10], [(8, 1), (4, 2), (3, 3), (2, 4)], group_size=16
    )
    places, values = largest(lambda: iter([delta]), 100)
    return {
        "zero": ZeroForm((48, 40)),
        "dense": DenseForm(delta.bfloat16()),
        "exact": DenseForm(delta.double()),
        "scalar": DenseForm(torch.tensor(0.5)),
        "lowrank": lowrank,
        "wide": LowRankForm.encode(u[:, :3], s[:3], v[:3], [(32, 3)]),
        "half": LowRankForm.encode(u[:, :3], s[:3], v[:3], [(16, 3)]),
        "sparse": SparseForm.encode((48, 40), places, values, bits=8),
        "levels": LevelsForm.encode(
            (48, 40), places, (values > 0).to(torch.uint8), torch.tensor([-0.5, 0.25])
        ),
        "rows": RowsForm.encode(delta, torch.tensor([1, 5, 47]), 8, 16),
        "sign": SignForm.fit(delta),
        "sum": SumForm(SignForm.fit(delta), lowrank),
    }


@pytest.mark.parametrize("name", list(all_forms()))
def test_every_form_comes_back_from_its_bytes_and_knows_their_number(name):
    form = all_forms()[name]
    payload = encoded_bytes(form)
    assert payload.numel() == form_bytes(form.describe())
    back = decode_form(form.describe(), payload)
    assert torch.equal(back.decode(), form.decode())
    if form.shape:
        assert torch.equal(back.decode(7, 31), form.decode()[7:31])


def test_a_low_rank_form_takes_the_bytes_of_the_formula():
    """Payload sum b c (m + n) / 8, sigma 2 r, 16 + b bits per group of 128."""
    rows, columns, groups = 256, 512, [(8, 2), (4, 6), (2, 24)]
    u, s, v = torch.linalg.svd(torch.randn(rows, columns), full_matrices=False)
    form = LowRankForm.encode(u[:, :32], s[:32], v[:32], groups)
    bits = sum(b * c * (rows + columns) for b, c in groups) + 16 * 32
    per_row = rows // 128 + columns // 128
    bits += sum((16 + b) * c * per_row for b, c in groups)
    # zero points of a row are padded to a byte: 2 x 2 and 4 x 2 bits on either side
    padding = 24 * (8 - 4) + 0
    assert encoded_bytes(form).numel() * 8 == bits + padding


def test_the_nominal_ratio_of_delta_come_is_a_sixteenth():
    found = policy("delta_come")
    for width, tolerance in ((4096, 0.0), (1024, 0.01), (256, 0.05)):  # counts are scaled
        columns = schedule_columns(found, "attn", found.classes["attn"], (width, width))
        payload = sum(bits * count for bits, count in columns) * 2 * width
        assert payload / (16 * width**2) == pytest.approx(1 / 16, rel=tolerance, abs=0)


def test_signs_have_the_error_of_a_gaussian():
    delta = torch.randn(300, 400, generator=torch.Generator().manual_seed(3)) * 1e-4
    form = SignForm.fit(delta)
    assert float((delta - form.decode()).norm() / delta.norm()) == pytest.approx(0.603, abs=5e-3)
    assert form.scale == pytest.approx(float(delta.abs().mean()), rel=1e-6)
    assert SignForm.fit(torch.zeros(2, 3)).decode().tolist() == [[0.0] * 3] * 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("size", [1e-5, 1e-3, 10.0])
def test_an_exact_change_gives_every_bit_back(dtype, size):
    generator = torch.Generator().manual_seed(0)
    base = (torch.randn(400, 50, generator=generator) * 0.02).to(dtype)
    tuned = (base.float() + torch.randn(400, 50, generator=generator) * size).to(dtype)
    tuned[:5], tuned[5:10] = 0, base[5:10]
    delta = exact_delta(base, tuned)
    assert torch.equal((base.to(delta.dtype) + delta).to(dtype), tuned)
    assert bool((delta[5:10] == 0).all())
    if dtype is not torch.float32:
        assert delta.dtype == torch.float32


def test_an_exact_change_is_exact_in_float64_or_refused(tmp_path):
    base = torch.tensor([1.0, 0.5, 0.0, -0.0, 3.0])
    near = torch.tensor([1e-9, 0.5, -0.0, 0.0, 3.0])  # float32 loses the first
    assert exact_delta(base[1:], near[1:]).dtype == torch.float32
    delta = exact_delta(base, near)
    assert delta.dtype == torch.float64
    assert torch.equal((base.double() + delta).float(), near)  # -0.0 equals 0.0
    assert bool((delta[1:] == 0).all())
    far = torch.tensor([1e-20, 0.5, 0.0, 0.0, 3.0])
    with raises(ArtifactError, 1.0, "[0]", 1):
        exact_delta(base, far)
    model = tiny_model()
    tuned = tuned_copy(model)
    with torch.no_grad():
        model.model.norm.weight[0], tuned.model.norm.weight[0] = 1.0, 1e-20
    with raises(ArtifactError, "'model.norm.weight'", 1.0):
        pack_difference(
            LoadedWeights(model), LoadedWeights(tuned), exact_policy(), tmp_path / "p", name="p"
        )
    assert not (tmp_path / "p").exists()


def test_rounding_the_change_first_loses_bits():
    """Why the difference is taken in float32."""
    generator = torch.Generator().manual_seed(0)
    base = (torch.randn(500, 500, generator=generator) * 0.02).bfloat16()
    tuned = (base.float() + torch.randn(500, 500, generator=generator) * 1e-3).bfloat16()
    wrong = (base.float() + (tuned - base).float()).bfloat16() != tuned
    assert 0.005 < float(wrong.float().mean()) < 0.04
