"""TokAlign: a one-to-one map by what stands near what, in spaces that were trained apart."""

import pytest
import torch

from franken.errors import DataError
from franken.init_method import Provenance, fit_map
from franken.init_method.tokalign import Induction, TokAlignInit, _less_crowded
from franken.tokenizer.pieces import vocabulary_overlap
from franken.word_vectors import VectorSpace
from franken.word_vectors.common.pieces import piece_labels
from tests.faults import raises
from tests.init_method.spaces import cosines, drawn, resources_of, rotation
from tests.init_method.tiny import written


def shared_labels(source, target):
    """Target label -> source label of pieces of equal bytes; ``,`` may be ``<0x2C>`` there."""
    old, new = piece_labels(source.tokenizer), piece_labels(target)
    used = written(source.tokenizer)
    return {
        new[row]: old[partner]
        for row, partner in vocabulary_overlap(source.tokenizer, target).items()
        if new[row] and old[partner] and used[partner]
    }


def twins(source, target):
    """Every unshared target piece has the vector of an unshared source piece, seen turned."""
    shared = shared_labels(source, target)
    old = sorted({label for label in piece_labels(source.tokenizer) if label} - {*shared.values()})
    new = sorted({label for label in piece_labels(target) if label} - {*shared})
    old, new = ([label for label in side if not label.startswith("<0x")] for side in (old, new))
    pairs = {**shared, **dict(zip(new, old, strict=False))}
    sources = list(dict.fromkeys(pairs.values()))
    spaces = {
        "target": VectorSpace(
            list(pairs), torch.stack([drawn("twin", label) for label in pairs.values()])
        ),
        "source": VectorSpace(
            sources, torch.stack([drawn("twin", label) for label in sources])
        ).transformed(rotation("source side")),
    }
    alone = {label: partner for label, partner in pairs.items() if label not in shared}
    return alone, resources_of(source.tokenizer, target, piece_vectors=spaces)


def computed(token_map):
    return (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()


@pytest.mark.parametrize("normalise", [True, False])
def test_pieces_of_equal_company_are_found_in_a_turned_space(source, target, normalise):
    pairs, resources = twins(source, target)
    token_map = fit_map(source, target, TokAlignInit(normalise=normalise), resources, 0)
    found = {
        token_map.labels.target[row]: token_map.labels.source[token_map.row(row)[0][0]]
        for row in computed(token_map)
    }
    assert len(pairs) > 5
    right = sum(found.get(new) == old for new, old in pairs.items())
    assert right >= (1.0 if normalise else 0.8) * len(pairs)


def test_a_rotation_of_one_side_changes_nothing(source, target, resources):
    spaces = resources.piece_vectors
    turned = {**spaces, "source": spaces["source"].transformed(rotation("another"))}
    first = fit_map(source, target, TokAlignInit(), resources, 0)
    other = resources_of(source.tokenizer, target, piece_vectors=turned)
    second = fit_map(source, target, TokAlignInit(), other, 0)
    assert torch.equal(first.indices, second.indices)


@pytest.mark.parametrize("normalise", [True, False])
def test_the_choice_is_that_of_the_definition(source, target, resources, normalise):
    """Every shared piece a pivot; each row by cosines taken one by one."""
    config = TokAlignInit(pivots=10_000, normalise=normalise)
    token_map = fit_map(source, target, config, resources, 0)
    new, old = resources.piece_vectors["target"], resources.piece_vectors["source"]
    pairs = [
        (mine, theirs)
        for mine, theirs in shared_labels(source, target).items()
        if mine in new.index and theirs in old.index
    ]
    right = cosines(old.vectors, old.lookup([theirs for _, theirs in pairs])[0])
    asked = [row for row in computed(token_map) if token_map.labels.target[row] in new.index]
    assert len(asked) > 20
    for row in asked:
        mine = new.lookup([token_map.labels.target[row]])[0]
        scores = right @ cosines(mine, new.lookup([mine for mine, _ in pairs])[0])[0]
        if normalise:
            scores = scores / (right**2).sum(1) ** 0.5
        chosen = token_map.labels.source[token_map.row(row)[0][0]]
        assert scores[old.index[chosen]] == pytest.approx(scores.max(), rel=1e-5)


def test_pivots_follow_the_seed(source, target, resources):
    config = TokAlignInit(pivots=4)
    maps = [fit_map(source, target, config, resources, seed) for seed in (0, 0, 1)]
    assert torch.equal(maps[0].indices, maps[1].indices)
    assert not torch.equal(maps[0].indices, maps[2].indices)
    assert maps[0].notes["tokalign"]["pivots"] == 4


def test_without_a_shared_piece_that_has_vectors_it_is_refused(source, target):
    spaces = {side: VectorSpace(["nothing"], torch.ones(1, 4)) for side in ("target", "source")}
    given = resources_of(source.tokenizer, target, piece_vectors=spaces)
    with raises(DataError, "init_method=tokalign", "word_vectors.min_count"):
        fit_map(source, target, TokAlignInit(), given, 0)


def test_csls_marks_down_what_is_near_to_all():
    generator = torch.Generator().manual_seed(0)
    new, old = (torch.randn(size, 5, generator=generator) for size in (30, 12))
    old[3] = new.mean(0) * 5  # a hub
    left, right = _less_crowded(new, old)
    likeness = new @ old.T
    crowd = torch.stack([column.sort(descending=True).values[:10].mean() for column in likeness.T])
    torch.testing.assert_close(left @ right.T, 2 * likeness - crowd, rtol=1e-4, atol=1e-4)


def test_csls_takes_more_source_pieces_than_likeness_alone(source, target, resources):
    taken = {}
    for induction in Induction:
        token_map = fit_map(source, target, TokAlignInit(induction=induction), resources, 0)
        taken[induction] = token_map.notes["tokalign"]["source_pieces_taken"]
    assert taken[Induction.csls] > taken[Induction.nearest]
