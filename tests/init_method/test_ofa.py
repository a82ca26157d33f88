"""OFA: copies, softmax over pooled multilingual vectors, and tables of low rank."""

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import ArtifactError, CompatibilityError
from franken.init_method import Provenance, apply_map, fit_map, initialise
from franken.init_method.ofa import OfaInit
from franken.token_map.coordinates import (
    apply_low_rank,
    coordinates,
    load_factors,
    primitives,
    save_factors,
)
from franken.token_map.options import Fallback, SpaceAlignment
from franken.token_map.token_vectors import (
    OFA_FORMS,
    Weighting,
    languages_in_one_space,
    pooled_vectors,
)
from franken.tokenizer.pieces import canonical_bytes, vocabulary_overlap
from tests.faults import faults_of, raises
from tests.init_method.spaces import cosines, dense
from tests.init_method.tiny import source_table, written

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def source():
    return source_table(KIND, tied=False)


@pytest.fixture(scope="module")
def fitted(source, target, resources):
    return fit_map(source, target, OfaInit(), resources, 0)


def text_rows(source):
    text = written(source.tokenizer)
    return torch.cat([text, torch.zeros(source.rows - len(text), dtype=torch.bool)])


def test_weights_are_those_of_the_slow_obvious_way(source, target, resources, fitted):
    spaces, _ = languages_in_one_space(resources, SpaceAlignment.lexicon, "ofa")
    how = {"weighting": Weighting.equal, "forms": OFA_FORMS}
    new, known = pooled_vectors(target, fitted.rows, list(spaces.values()), **how)
    old, usable = pooled_vectors(source.tokenizer, source.rows, list(spaces.values()), **how)
    usable &= text_rows(source)
    candidates = usable.nonzero().flatten()
    rows = (fitted.provenance == Provenance.computed).nonzero().flatten().tolist()
    several = [row for row in rows if len(fitted.row(row)) > 1]
    assert len(several) > 10
    for row in several:
        assert known[row]
        similarity = cosines(new[[row]], old[candidates])[0]
        best = np.sort(similarity)[::-1][:10]
        expected = np.exp(best / 0.1) / np.exp(best / 0.1).sum()
        assert np.allclose([weight for _, weight in fitted.row(row)], expected, atol=1e-3)


def test_copies_first_up_to_case_and_leading_space(source, target, fitted):
    overlap = vocabulary_overlap(source.tokenizer, target)
    new, old = canonical_bytes(target), canonical_bytes(source.tokenizer)
    folded_copies = 0
    for row in range(fitted.rows):
        if new[row] is None:
            continue
        if row in overlap:
            assert fitted.row(row) == [(overlap[row], 1.0)]
            assert fitted.provenance[row] == Provenance.copied
        elif len(fitted.row(row)) == 1:
            index, weight = fitted.row(row)[0]
            assert weight == 1.0
            assert new[row].decode().strip().lower() == old[index].decode().strip().lower()
            folded_copies += 1
    assert folded_copies == fitted.notes["ofa"]["fuzzy_copies"] > 0


def test_exact_copies_only_where_asked(source, target, resources):
    strict = fit_map(source, target, OfaInit(fuzzy=False), resources, 0)
    assert strict.notes["ofa"]["fuzzy_copies"] == 0
    none = fit_map(source, target, OfaInit(copy_overlap=False), resources, 0)
    assert none.counts()["copied"] == none.notes["ofa"]["fuzzy_copies"] == 0


def test_primitives_are_orthogonal_and_their_norms_singular_values(source):
    rows = source.input[text_rows(source)]
    basis, singular = primitives(source.input, text_rows(source), 5)
    reference = torch.linalg.svdvals(rows.double())
    assert torch.allclose(singular, reference, rtol=1e-6)
    assert torch.allclose(basis @ basis.T, torch.diag(reference[:5] ** 2), atol=1e-6)


@pytest.mark.parametrize("rank", [1, 5, 11])
def test_the_error_of_rank_k_is_the_tail_of_singular_values(source, rank):
    rows = source.input[text_rows(source)]
    basis, singular = primitives(source.input, text_rows(source), rank)
    error = rows.double() - coordinates(rows, basis).double() @ basis
    assert float(error.norm()) == pytest.approx(float(singular[rank:].norm()), rel=1e-5)


def test_at_full_rank_the_plain_table_comes_out(source, target, fitted):
    """``(W F) P = W (F P) = W E``."""
    rank = source.input.shape[1]
    made, basis = apply_low_rank(fitted, source.input, rank)
    weighted = fitted.sizes() > 0
    expected = dense(fitted)[weighted] @ source.input.double()
    assert torch.allclose((made @ basis)[weighted].double(), expected, atol=2e-5)
    assert made.shape == (fitted.rows, rank)


def test_at_low_rank_new_rows_are_the_map_of_the_approximated_rows(source, target, fitted):
    basis, _ = primitives(source.input, fitted.exemplars, 4)
    made, kept = apply_low_rank(fitted, source.input, 4)
    approximated = coordinates(source.input, basis).double() @ basis
    weighted = fitted.sizes() > 0
    expected = dense(fitted)[weighted] @ approximated
    assert torch.allclose((made @ kept)[weighted].double(), expected, atol=2e-5)


def test_draws_are_made_among_coordinates(source, target, resources):
    """Fallback rows lie in the space of the primitives, with the spread of the coordinates."""
    config = OfaInit(keep_dim=3, fallback=Fallback.normal, max_words=1)
    table, token_map = initialise(source, target, config, resources, 0)
    fallback = (token_map.provenance == Provenance.fallback) & (token_map.sizes() == 0)
    assert int(fallback.sum()) > 50
    assert torch.linalg.matrix_rank(table.input[fallback].double(), rtol=1e-5) == 3
    basis, _ = primitives(source.input, text_rows(source), 3)
    old = coordinates(source.input[text_rows(source)], basis)
    new = coordinates(table.input[fallback], basis)
    assert torch.allclose(new.mean(0), old.mean(0), atol=float(4 * old.std() / len(new) ** 0.5))
    assert torch.allclose(new.std(0), old.std(0), rtol=0.4)


def test_the_method_gives_the_folded_table_for_input_output_and_bias(
    source, target, resources, tmp_path
):
    config = OfaInit(keep_dim=4)
    table, token_map = initialise(source, target, config, resources, 0)
    plain, _ = initialise(source, target, OfaInit(), resources, 0)
    assert torch.equal(table.output_bias, plain.output_bias)
    save_factors(token_map, source, 4, tmp_path / "factors")
    for name, matrix in (("input", table.input), ("output", table.output)):
        product = token_map.provenance != Provenance.special
        assert torch.linalg.matrix_rank(matrix[product].double(), rtol=1e-5) == 4
        pair = load_factors(tmp_path / "factors", name)
        assert pair.coordinates.shape == (table.rows, 4)
        assert pair.primitives.shape == (4, 12)
        close = pair.coordinates[product].double() @ pair.primitives.double()
        assert torch.allclose(close, matrix[product].double(), atol=1e-5)
        assert torch.equal(pair.table(), matrix)
        assert sum(tensor.numel() for tensor in vars(pair).values()) < matrix.numel()
    assert torch.equal(plain.input, apply_map(token_map, source.input))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_control_tokens_keep_their_rows_at_low_rank(target, resources, dtype):
    source = source_table(KIND, tied=False, dtype=dtype)
    table, token_map = initialise(source, target, OfaInit(keep_dim=4), resources, 0)
    special = (token_map.provenance == Provenance.special).nonzero().flatten().tolist()
    assert len(special) > 3
    for row in special:
        ((index, _),) = token_map.row(row)
        assert torch.equal(table.input[row], source.input[index])
        assert torch.equal(table.output[row], source.output[index])


def test_factors_that_are_not_there_are_missed_by_name(source, fitted, tmp_path):
    with raises(ArtifactError, tmp_path / "output.safetensors"):
        load_factors(tmp_path, "output")
    (tmp_path / "input.safetensors").write_bytes(b"no tensors")
    with raises(ArtifactError, tmp_path / "input.safetensors", "init_method.keep_dim"):
        load_factors(tmp_path)


def test_lengths_and_noise_are_those_of_the_rows_not_of_the_coordinates(source, target, resources):
    plain, token_map = initialise(source, target, OfaInit(keep_dim=4), resources, 0)
    matched, _ = initialise(source, target, OfaInit(keep_dim=4, norm_match=True), resources, 0)
    noisy, _ = initialise(source, target, OfaInit(keep_dim=4, noise_std=0.5), resources, 0)
    texts = source.input[text_rows(source)].double()
    chosen = token_map.provenance == Provenance.computed
    assert int(chosen.sum()) > 10
    lengths = matched.input[chosen].double().norm(dim=1)
    assert torch.allclose(lengths, texts.norm(dim=1).mean().expand_as(lengths), rtol=1e-5)
    turned = torch.cosine_similarity(plain.input[chosen], matched.input[chosen])
    assert float(turned.min()) > 1 - 1e-5
    made = chosen | (token_map.provenance == Provenance.fallback)
    noise = (noisy.input[made] - plain.input[made]).double()
    wanted = 0.5 * float(texts.std(0, correction=0).mean())
    # a mean of n k squares of normal numbers: relative deviation sqrt(2 / n k)
    drawn = noise.numel() / 12 * 4
    assert float(noise.square().mean()) == pytest.approx(wanted**2, rel=5 * (2 / drawn) ** 0.5)
    assert torch.equal(noisy.input[~made], plain.input[~made])
    assert torch.linalg.matrix_rank(noisy.input[made].double(), rtol=1e-5) == 4


def test_a_rank_beyond_the_table_is_refused(source, target, resources):
    with raises(CompatibilityError, "keep_dim=13", 12):
        initialise(source, target, OfaInit(keep_dim=13), resources, 0)
    assert "keep_dim" in faults_of(OfaInit, keep_dim=0)


def test_needs_follow_the_options():
    assert OfaInit().needs() == {"word_vectors", "lexicon"}
    assert OfaInit(align=SpaceAlignment.none).needs() == {"word_vectors"}


def test_the_factors_are_kept_beside_a_low_rank_table_alone(source, fitted, tmp_path):
    OfaInit().save_beside(fitted, source, tmp_path / "full")
    OfaInit(keep_dim=4).save_beside(fitted, source, tmp_path / "low")
    assert not (tmp_path / "full").exists()
    kept = sorted(path.name for path in (tmp_path / "low" / "factors").iterdir())
    assert kept == ["input.safetensors", "output.safetensors"]
