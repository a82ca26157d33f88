"""Row by row against mergekit's tokensurgeon (LGPL: a peer to test with, no dependency).

``pip install mergekit`` 0.1.5, or its wheel with ``immutables`` beside what franken has. Left out:
tokens with a neighbour of negative cosine under proximity, whose weights mergekit lets turn.
"""

import pytest
import torch

from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.landmark_pca import LandmarkPcaInit, axes_of
from franken.init_method.local_least_squares import LocalLeastSquaresInit, LocalWeights
from franken.init_method.omp import OmpInit
from franken.init_method.prefix_match import PrefixMatchInit
from franken.token_map.options import Metric
from tests.init_method.donor import KIND, anchor_pairs, helper_table, make
from tests.init_method.tiny import source_table, target_tokenizer

interpolation = pytest.importorskip("mergekit.tokensurgeon.common_interpolation")
pursuit = pytest.importorskip("mergekit.tokensurgeon.omp")
landmarks = pytest.importorskip("mergekit.tokensurgeon.pca")
normalization = pytest.importorskip("mergekit.tokenizer.normalization")

HELPER = helper_table(target_tokenizer(KIND), size=32).input
SCHEMES = {
    LocalWeights.proximity: "DISTANCE_PROPORTIONAL",
    LocalWeights.barycentric: "BARYCENTRIC",
    LocalWeights.least_squares: "LEAST_SQUARES",
}
ENOUGH = 0.9999


def rows_of(config):
    """Computed rows, and what mergekit works on: tokens, anchors, and the anchors' source rows."""
    source, table, token_map = make(config, rows=HELPER, source=source_table(KIND, size=24))
    computed = (token_map.provenance == Provenance.computed).nonzero().flatten()
    shared, columns = anchor_pairs(token_map)
    assert len(computed) > 80
    return table.input[computed], HELPER[computed], HELPER[shared], source.input[columns]


def lowest_cosine(ours, found, old):
    indices, weights = found
    theirs = torch.einsum("nk,nkd->nd", weights.float(), old[indices])
    return float(torch.cosine_similarity(ours.double(), theirs.double(), dim=1).min())


@pytest.mark.parametrize("metric", list(Metric))
@pytest.mark.parametrize("weights", list(SCHEMES))
def test_local_interpolation(weights, metric):
    ours, tokens, anchors, old = rows_of(LocalLeastSquaresInit(k=9, metric=metric, weights=weights))
    found = interpolation.common_interp_approximate(
        tokens, anchors, 9, interpolation.DistanceMetric[metric.name.upper()],
        interpolation.WeightingScheme[SCHEMES[weights]],
    )  # fmt: skip
    sound = (
        (found[1] > 0).all(1) if weights is LocalWeights.proximity else torch.ones(len(ours)) > 0
    )
    assert int(sound.sum()) > 80
    lowest = lowest_cosine(ours[sound], [part[sound] for part in found], old)
    print(f"{weights.value} {metric.value}: {int(sound.sum())} rows, lowest cosine {lowest:.7f}")
    assert lowest > ENOUGH


@pytest.mark.parametrize("k", [1, 5, 20])
def test_matching_pursuit(k):
    ours, tokens, anchors, old = rows_of(OmpInit(k=k))
    lowest = lowest_cosine(ours, pursuit.batch_omp(tokens, anchors, k), old)
    print(f"omp k={k}: {len(ours)} rows, lowest cosine {lowest:.7f}")
    assert lowest > ENOUGH


@pytest.mark.parametrize("width", [24, 40], ids=["narrower source", "wider source"])
def test_landmark_pca(monkeypatch, width):
    """As released, turned round; mergekit takes our axes, whose signs it draws otherwise."""

    def given(centred, q):
        return None, None, axes_of(centred.double(), q).float()

    source = source_table(KIND, size=width)
    _, table, token_map = make(
        LandmarkPcaInit(scale=False, transposed=True), rows=HELPER, source=source
    )
    computed = (token_map.provenance == Provenance.computed).nonzero().flatten()
    shared, columns = anchor_pairs(token_map)
    monkeypatch.setattr(torch, "pca_lowrank", given)
    found = landmarks.landmark_pca_approximate(
        HELPER[computed], HELPER[shared], source.input[columns]
    )
    lowest = float(torch.cosine_similarity(table.input[computed], found, dim=1).min())
    print(f"landmark_pca {width}: {len(found)} rows, lowest cosine {lowest:.7f}")
    assert lowest > ENOUGH
    torch.testing.assert_close(table.input[computed], found, rtol=1e-3, atol=1e-3)


def test_prefix_match():
    """Prefixes in the vocabulary's own spelling, where all are whole characters."""
    source, target = source_table(KIND), target_tokenizer(KIND)
    _, token_map = initialise(source, target, PrefixMatchInit(), InitResources(), 0)
    old = {
        normalization.normalize_token(piece, {}): index
        for piece, index in source.tokenizer.get_vocab().items()
        if piece not in source.tokenizer.all_special_tokens
    }
    names = target.convert_ids_to_tokens(range(len(target)))
    compared = 0
    for row in (token_map.provenance == Provenance.computed).nonzero().flatten().tolist():
        prefixes = normalization.token_prefixes(normalization.normalize_token(names[row], {}))
        first = next((old[prefix] for prefix in prefixes if prefix in old), None)
        if first is not None:
            compared += 1
            assert token_map.row(row) == [(first, 1.0)]
    print(f"prefix match: {compared} rows")
    assert compared > 50
