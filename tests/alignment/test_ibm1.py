"""IBM Model 1: golden numbers, a slow version of it, and what must hold whatever the text."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from franken.alignment.base import Direction, Symmetry
from franken.alignment.fast_align import FastAlignAlignment
from franken.alignment.ibm1 import Ibm1Alignment, align_bitext, train, train_together, viterbi
from franken.errors import ConfigError
from tests.faults import faults_of, raises

from .toys import BOOK, as_dict, bitext, random_pairs, slow_agreement, slow_model

ALL = Ibm1Alignment(min_expected=0.0)
GOLDEN = {  # pair: count after 1 update, p after 1, count after 6, p after 6
    ("NULL", "the"): (0.666667, 0.333333, 0.636379, 0.462398),
    ("NULL", "house"): (0.333333, 0.166667, 0.051749, 0.037602),
    ("das", "the"): (0.666667, 0.500000, 1.225649, 0.906063),
    ("das", "house"): (0.333333, 0.250000, 0.099668, 0.073680),
    ("das", "book"): (0.333333, 0.250000, 0.027403, 0.020258),
    ("buch", "book"): (0.666667, 0.500000, 1.225649, 0.906063),
    ("buch", "a"): (0.333333, 0.250000, 0.099668, 0.073680),
    ("buch", "the"): (0.333333, 0.250000, 0.027403, 0.020258),
    ("haus", "house"): (0.333333, 0.500000, 0.848583, 0.884722),
    ("haus", "the"): (0.333333, 0.500000, 0.110569, 0.115278),
    ("ein", "a"): (0.333333, 0.500000, 0.848583, 0.884722),
    ("ein", "book"): (0.333333, 0.500000, 0.110569, 0.115278),
}


def model_of(text, config=ALL, **options):
    """Pair -> count, pair -> probability, NULL included; and the model."""
    return named(text, train(text, config, **options), config)


def named(text, model, config=ALL):
    """The same of a model that is trained."""
    index, words = model.index, text.target.words
    pairs = [
        (text.source.words[s], words[t])
        for s, t in zip(index.sources.tolist(), index.targets.tolist(), strict=True)
    ]
    pairs += [("NULL", word) for word in words] if config.null else []
    counts, probability = (
        dict(zip(pairs, [*known.tolist(), *null.tolist()], strict=False))
        for known, null in (
            (model.counts, model.null_counts), (model.probability, model.null_probability)
        )
    )  # fmt: skip
    return counts, probability, model


@pytest.mark.parametrize(("updates", "place"), [(1, 0), (6, 2)])
def test_the_golden_numbers_of_the_reference_aligner(updates, place):
    counts, probability, _ = model_of(bitext(BOOK), Ibm1Alignment(em_updates=updates))
    for pair, golden in GOLDEN.items():
        assert counts[pair] == pytest.approx(golden[place], abs=6e-7), pair
        assert probability[pair] == pytest.approx(golden[place + 1], abs=6e-7), pair
    assert sum(counts.values()) == pytest.approx(6)


def test_the_table_leaves_null_out_and_has_the_links():
    table = align_bitext(bitext(BOOK), ALL)
    assert as_dict(table, "expected") == pytest.approx(
        {pair: golden[2] for pair, golden in GOLDEN.items() if pair[0] != "NULL"}, abs=6e-7
    )
    assert as_dict(table, "links") == {
        ("das", "the"): 2, ("haus", "house"): 1, ("buch", "book"): 2, ("ein", "a"): 1
    }  # fmt: skip


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("tension", [0.0, 4.0])
@pytest.mark.parametrize("prune", [0.0, 0.02])
def test_equal_to_dictionaries_and_loops(null, tension, prune):
    pairs = random_pairs(120)
    counts, share, links = slow_model(pairs, 4, null=null, tension=tension, prune=prune)
    text = bitext(pairs)
    config = Ibm1Alignment(em_updates=4, null=null, tension=tension, prune=prune)
    fast_counts, fast_share, model = model_of(text, config, chunk_links=300)
    near = 1e-4 if tension else 1e-9  # priors are float32
    assert fast_counts == pytest.approx(counts, rel=near, abs=near**2)
    assert fast_share == pytest.approx(share, rel=near, abs=near**2)
    expected = [
        (int(text.source.offsets[n]) + i, int(text.target.offsets[n]) + j)
        for n, found in enumerate(links)
        for j, i in sorted(found.items())
    ]
    assert list(map(tuple, viterbi(model).tolist())) == expected


def test_variational_bayes_with_a_diagonal_equals_dictionaries_and_loops():
    pairs = random_pairs(60)
    counts, share, links = slow_model(pairs, 4, null=True, tension=4.0, alpha=0.01)
    config = FastAlignAlignment(em_updates=4, symmetrise=Symmetry.none)
    found, probability, model = model_of(bitext(pairs), config, chunk_links=200)
    assert found == pytest.approx(counts, rel=1e-4, abs=1e-8)  # priors are float32
    assert probability == pytest.approx(share, rel=1e-3, abs=1e-8)
    assert len(viterbi(model)) == sum(map(len, links))
    sums: dict[str, float] = {}
    for (source, _), value in probability.items():
        sums[source] = sums.get(source, 0) + value
    assert max(sums.values()) <= 1.0 + 1e-9
    assert min(sums.values()) < 1.0


@pytest.mark.parametrize("null", [True, False])
@pytest.mark.parametrize("tension", [0.0, 4.0])
@pytest.mark.parametrize("apart", [0, 2])
def test_agreement_equals_dictionaries_and_loops(null, tension, apart):
    pairs = random_pairs(80, seed=4)
    text = bitext(pairs)
    config = Ibm1Alignment(em_updates=apart + 2, null=null, tension=tension, agree_after=apart)
    models = train_together(text, config, chunk_links=200)
    slow = slow_agreement(pairs, apart, 2, null=null, tension=tension)
    near = 1e-4 if tension else 1e-9  # priors are float32
    for side, model, (counts, share) in zip((text, text.swapped()), models, slow, strict=True):
        found = named(side, model, config)
        assert found[0] == pytest.approx(counts, rel=near, abs=near**2)
        assert found[1] == pytest.approx(share, rel=near, abs=near**2)


def test_a_word_whose_links_nobody_believes_in_any_more_does_no_harm():
    """Its weights here fall tenfold with every update, below the smallest float in the end."""
    text = bitext([("a b", "v u u"), ("a a a", "u v v"), ("b b b", "u v u")])
    config = Ibm1Alignment(em_updates=900, null=False, agree_after=0)
    for model in train_together(text, config):
        for found in (model.counts, model.probability, model.log_likelihood):
            assert np.isfinite(found).all()
        assert model.counts.sum() > 0


@pytest.mark.parametrize("maker", [Ibm1Alignment, FastAlignAlignment])
def test_directions_that_agree_link_more_words_alike(maker):
    text, shares = bitext(random_pairs(200, seed=9)), []
    for after in (None, 3):
        config = maker(em_updates=6, agree_after=after)
        one, two = (
            align_bitext(text, replace(config, symmetrise=rule)).links.sum()
            for rule in (Symmetry.intersect, Symmetry.union)
        )
        shares.append(one / two)
    assert shares[1] > shares[0]


@pytest.mark.parametrize("rule", Symmetry)
def test_agreement_gives_the_same_links_from_either_direction(rule):
    text = bitext(random_pairs(60, seed=1))
    tables = [
        align_bitext(text, Ibm1Alignment(symmetrise=rule, direction=way, agree_after=1))
        for way in Direction
    ]
    same = as_dict(tables[0], "links") == as_dict(tables[1], "links")
    assert same == (rule is not Symmetry.none)
    assert as_dict(tables[0], "expected") == pytest.approx(as_dict(tables[1], "expected"), rel=1e-6)


def test_a_sparse_prior_leaves_a_word_fewer_partners_than_maximum_likelihood():
    pairs = random_pairs(150, seed=11)
    plain = model_of(bitext(pairs), Ibm1Alignment(em_updates=10, tension=4.0))[1]
    sparse = model_of(bitext(pairs), FastAlignAlignment())[1]
    likely = [sum(value > 0.01 for value in found.values()) for found in (plain, sparse)]
    assert likely[1] < likely[0]


def test_both_directions_are_trained_and_grown():
    text = bitext(random_pairs(80, seed=2))
    one_way = {d: FastAlignAlignment(direction=d, symmetrise=Symmetry.none) for d in Direction}
    ways = [set(as_dict(align_bitext(text, config), "links")) for config in one_way.values()]
    both = set(as_dict(align_bitext(text, FastAlignAlignment()), "links"))
    assert ways[0] & ways[1] <= both <= ways[0] | ways[1]
    assert both not in ways


def test_counts_sum_to_the_target_words_and_the_likelihood_never_falls():
    text = bitext(random_pairs(200, seed=3))
    for updates in (1, 2, 10):
        counts, share, model = model_of(text, Ibm1Alignment(em_updates=updates))
        assert sum(counts.values()) == pytest.approx(len(text.target.ids))
        sums: dict[str, float] = {}
        for (source, _), value in share.items():
            sums[source] = sums.get(source, 0) + value
        assert sums == pytest.approx(dict.fromkeys(sums, 1.0))
        assert (np.diff(model.log_likelihood) > -1e-9).all()
        assert len(model.log_likelihood) == updates


def test_the_likelihood_is_that_of_the_definition():
    pairs = BOOK
    _, share, _ = slow_model(pairs, 2, null=True)
    expected = sum(
        np.log(sum(share[s, t] for s in ["NULL", *source.split()]) / (len(source.split()) + 1))
        for source, target in pairs
        for t in target.split()
    )
    model = train(bitext(pairs), Ibm1Alignment(em_updates=3))
    assert model.log_likelihood[2] == pytest.approx(expected)


def test_neither_the_order_of_sentences_nor_the_chunks_matter():
    pairs = random_pairs(150, seed=5)
    one = align_bitext(bitext(pairs), ALL)
    for other in (
        align_bitext(bitext(pairs[::-1]), ALL),
        align_bitext(bitext(pairs), ALL, chunk_links=1),
        align_bitext(bitext(pairs), ALL, chunk_links=97),
    ):
        assert (one.source, one.target) == (other.source, other.target)
        assert np.array_equal(one.pairs, other.pairs)
        assert np.array_equal(one.links, other.links)
        np.testing.assert_allclose(one.expected, other.expected, rtol=1e-9, atol=1e-12)


def test_equal_bytes_in_every_process_and_with_any_number_of_threads():
    code = (
        "import hashlib\n"
        "from franken.alignment.ibm1 import align_bitext\n"
        "from franken.alignment.ibm1 import Ibm1Alignment\n"
        "from tests.alignment.toys import bitext, random_pairs\n"
        "t = align_bitext(bitext(random_pairs(80)), Ibm1Alignment())\n"
        "parts = [t.pairs, t.expected, t.probability, t.links]\n"
        "print(hashlib.sha256(b''.join(p.tobytes() for p in parts)).hexdigest())"
    )
    found = {
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "OMP_NUM_THREADS": threads, "PYTHONPATH": "."},
        ).stdout
        for seed, threads in (("0", "1"), ("77", "2"))
    }  # fmt: skip
    assert len(found) == 1


def test_the_other_direction_is_the_model_of_the_swapped_text():
    pairs = random_pairs(100, seed=8)
    backward = align_bitext(bitext(pairs), Ibm1Alignment(direction=Direction.t2s, min_expected=0))
    swapped = align_bitext(bitext([(t, s) for s, t in pairs]), ALL)
    turned = {(t, s): v for (s, t), v in as_dict(swapped, "expected").items()}
    assert as_dict(backward, "expected") == pytest.approx(turned)
    links = {(t, s): v for (s, t), v in as_dict(swapped, "links").items()}
    assert as_dict(backward, "links") == links
    sums: dict[str, float] = {}
    for (source, _), value in as_dict(backward, "probability").items():
        sums[source] = sums.get(source, 0) + value
    assert sums == pytest.approx(dict.fromkeys(sums, 1.0))


@pytest.mark.parametrize("rule", [Symmetry.intersect, Symmetry.union, Symmetry.grow_diag_final_and])
def test_symmetrised_links_lie_between_intersection_and_union(rule):
    text = bitext(random_pairs(100, seed=8))
    forward, backward = (
        {tuple(link) for link in viterbi(train(text, ALL)).tolist()},
        {(i, j) for j, i in viterbi(train(text.swapped(), ALL)).tolist()},
    )
    total = align_bitext(text, Ibm1Alignment(symmetrise=rule)).links.sum()
    both, either = len(forward & backward), len(forward | backward)
    bounds = {Symmetry.intersect: (both, both), Symmetry.union: (either, either)}
    low, high = bounds.get(rule, (both, either))
    assert low <= total <= high
    assert both < either


def test_symmetrised_links_are_the_same_from_either_direction():
    text = bitext(random_pairs(100, seed=8))
    tables = [
        align_bitext(text, Ibm1Alignment(symmetrise=Symmetry.grow_diag_final_and, direction=way))
        for way in Direction
    ]
    assert as_dict(tables[0], "links") == as_dict(tables[1], "links")


def test_pruning_drops_links_but_no_target_word():
    text = bitext(random_pairs(150, seed=2))
    full, cut = (train(text, Ibm1Alignment(prune=floor)) for floor in (0.0, 0.05))
    assert sum(len(chunk.rows) for chunk in cut.index.chunks) < sum(
        len(chunk.rows) for chunk in full.index.chunks
    )
    assert cut.counts.sum() + cut.null_counts.sum() == pytest.approx(len(text.target.ids))
    agreeing = {tuple(link) for link in viterbi(full).tolist()} & {
        tuple(link) for link in viterbi(cut).tolist()
    }
    assert len(agreeing) > 0.95 * len(viterbi(full))
    nothing = train(text, Ibm1Alignment(prune=1e-300))
    np.testing.assert_allclose(nothing.counts, full.counts)


def test_the_diagonal_tells_apart_words_of_every_sentence():
    pairs = [(f"the {word} .", f"{word[::-1]} .") for word in ("house", "book", "water", "bread")]
    plain, straight = (
        as_dict(align_bitext(bitext(pairs), Ibm1Alignment(tension=tension)), "links")
        for tension in (0.0, 4.0)
    )
    assert (".", ".") not in plain
    assert straight[".", "."] == 4


@pytest.mark.parametrize("null", [True, False])
def test_a_diagonal_of_any_steepness_leaves_each_word_a_source(null):
    pairs = random_pairs(60)
    steep, steepest = (
        align_bitext(bitext(pairs), Ibm1Alignment(em_updates=3, null=null, tension=tension))
        for tension in (400.0, 1e9)
    )
    assert np.isfinite(steepest.expected).all()
    assert steepest.expected.sum() == pytest.approx(steep.expected.sum(), rel=1e-3)
    assert as_dict(steepest, "links") == as_dict(steep, "links")


@pytest.mark.parametrize("tension", [float("inf"), float("nan")])
def test_a_tension_that_is_no_number_is_a_fault(tension):
    assert list(faults_of(Ibm1Alignment, tension=tension)) == ["tension"]
    with raises(ConfigError, "tension", tension):
        Ibm1Alignment(tension=tension)


def test_only_so_many_pairs_are_read():

    pairs = random_pairs(50)
    assert as_dict(Ibm1Alignment(max_pairs=20).align(iter(pairs), "sw"), "links") == as_dict(
        Ibm1Alignment().align(pairs[:20], "sw"), "links"
    )


def test_senseless_options_are_faults():
    wrong = {"em_updates": 0, "prune": -1, "max_pairs": 0, "min_expected": -1, "tension": -1}
    assert set(faults_of(Ibm1Alignment, **wrong)) == set(wrong)
    for after in (-1, 6):
        assert set(faults_of(Ibm1Alignment, agree_after=after)) == {"agree_after"}
    assert set(faults_of(Ibm1Alignment, agree_after=2, prune=0.1)) == {"prune"}
