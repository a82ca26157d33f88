"""TokenAdapt: pieces and neighbours, each a softmax, against a slow version."""

import math

import pytest
from torch.nn.functional import cosine_similarity

from franken.init_method import InitResources, Provenance, fit_map
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.init_method.tokenadapt import Encoder, TokenAdaptInit
from franken.tokenizer.pieces import canonical_bytes, encode_pieces
from franken.word_vectors.common.pieces import piece_labels
from tests.init_method.tiny import written


def softmax(scores, temperature):
    powers = [math.exp(score / temperature) for score in scores]
    return [power / sum(powers) for power in powers]


def characters(data):
    return len(data.strip().decode(errors="replace")) if data.strip() else len(data)


def slow_weights(source, target, resources, config, row):
    """Weights of one token, by the definition."""
    space = resources.piece_vectors["target"]
    labels = piece_labels(source.tokenizer)
    old_bytes, data = canonical_bytes(source.tokenizer), canonical_bytes(target)[row]
    mine = space.lookup([piece_labels(target)[row]])[0][0]
    old = space.lookup([label or "" for label in labels])[0]
    cut = encode_pieces(source.tokenizer, [data])[0]
    scores = [
        (float(cosine_similarity(old[piece], mine, dim=0))
         + characters(old_bytes[piece]) / characters(data)) / 2
        for piece in cut
    ]  # fmt: skip
    used = written(source.tokenizer)
    near = sorted(
        ((float(cosine_similarity(old[index], mine, dim=0)), -index) for index, label in
         enumerate(labels) if label and used[index]), reverse=True,
    )[: config.neighbours]  # fmt: skip
    near = [(score, -index) for score, index in near if score >= config.min_cosine]
    share = config.share if near else 0.0
    weights: dict[int, float] = {}
    for piece, weight in zip(cut, softmax(scores, config.temperature), strict=True):
        weights[piece] = weights.get(piece, 0) + (1 - share) * weight
    for (_, piece), weight in zip(
        near, softmax([score for score, _ in near], config.temperature), strict=True
    ):
        weights[piece] = weights.get(piece, 0) + share * weight
    return weights, bool(near)


def test_weights_are_those_of_the_definition(source, target, resources):
    config = TokenAdaptInit(min_cosine=0.5)
    token_map = fit_map(source, target, config, resources, 0)
    plain_ascii = [
        row for row in (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
        if canonical_bytes(target)[row].isascii()
    ]  # fmt: skip
    kinds = set()
    for row in plain_ascii:
        expected, has_near = slow_weights(source, target, resources, config, row)
        kinds.add(has_near)
        found = sorted(weight for _, weight in token_map.row(row))  # neighbours may be equally near
        assert found == pytest.approx(sorted(expected.values()), abs=1e-5)
    assert kinds == {True, False}


def test_without_neighbours_and_with_much_heat_it_is_the_subtoken_mean(source, target, resources):
    config = TokenAdaptInit(share=0.0, temperature=1e9)
    token_map = fit_map(source, target, config, resources, 0)
    means = fit_map(source, target, SubtokenMeanInit(), resources, 0)
    for row in (token_map.provenance == Provenance.computed).nonzero().flatten().tolist():
        found = {index: weight for index, weight in token_map.row(row) if weight}
        assert found == pytest.approx(dict(means.row(row)), abs=1e-6)


@pytest.mark.parametrize("encoder", list(Encoder))
def test_weights_are_positive_and_sum_to_one(source, target, resources, encoder):
    token_map = fit_map(source, target, TokenAdaptInit(encoder=encoder), resources, 0)
    computed = (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert len(computed) > 50
    for row in computed:
        weights = [weight for _, weight in token_map.row(row)]
        assert min(weights) >= 0
        assert sum(weights) == pytest.approx(1, abs=1e-6)


def test_the_rows_encoder_needs_nothing_beside_the_model(source, target):
    config = TokenAdaptInit(encoder=Encoder.rows)
    assert not config.needs()
    assert fit_map(source, target, config, InitResources(), 0).counts()["computed"] > 50
