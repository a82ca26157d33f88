"""HyperOFA: what its network learns, its loss by hand, and the rows that it gives."""

import math

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.init_method import Provenance, fit_map, initialise
from franken.init_method.hyperofa import HyperOfaInit
from franken.token_map.options import Fallback, SpaceAlignment
from franken.token_map.set_network import Schedule, WordSets, predicted, set_loss, train_network
from franken.token_map.token_vectors import OFA_FORMS, languages_in_one_space, words_of_pieces
from tests.faults import faults_of, raises
from tests.init_method.tiny import source_table

KIND = TokenizerKind.sentencepiece_bpe
QUICK = HyperOfaInit(keep_dim=6, hidden=8, epochs=2)


@pytest.fixture(scope="module")
def source():
    return source_table(KIND, tied=False)


def test_the_loss_by_hand():
    found, wanted = torch.tensor([[3.0, 0.0], [0.0, 2.0]]), torch.tensor([[1.0, 0.0], [1.0, 1.0]])
    half = math.sqrt(0.5)
    first = -math.log(math.exp(2) / (math.exp(2) + math.exp(2 * half)))
    second = -math.log(math.exp(2 * half) / (math.exp(2 * half) + 1))
    distance = (2 + 0 + 1 + 1) / 4 / (3 / 4)
    expected = 0.3 * (first + second) / 2 + 0.7 * distance
    assert math.isclose(
        set_loss(found, wanted, contrastive=0.3, temperature=0.5).item(), expected, rel_tol=1e-6
    )


def test_a_network_learns_what_the_words_of_a_piece_say_whatever_their_order():
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(60, 6, generator=generator)
    sizes = torch.randint(1, 4, (200,), generator=generator)
    starts = torch.cat([torch.zeros(1, dtype=torch.int64), sizes.cumsum(0)])
    sets = WordSets(vectors, starts, torch.randint(60, (int(sizes.sum()),), generator=generator))
    means = torch.stack([vectors[sets.of(row)].mean(0) for row in range(200)])
    wanted = means @ torch.randn(6, 3, generator=generator)
    schedule = Schedule(epochs=14, lr=1e-2, contrastive=0.1, temperature=0.25, batch=32)
    network, losses = train_network(
        sets, range(160), wanted[:160], hidden=16, dropout=0.0, schedule=schedule, seed=1
    )
    assert losses[-1] < 0.6 * losses[0]
    rest = range(160, 200)
    found = predicted(network, sets, rest)
    error = (found - wanted[160:]).square().sum() / wanted[160:].square().sum()
    assert error < 0.35
    again, _ = train_network(
        sets, range(160), wanted[:160], hidden=16, dropout=0.0, schedule=schedule, seed=1
    )
    assert torch.equal(predicted(again, sets, rest), found)


def test_the_words_of_a_piece_are_those_whose_cut_holds_it(source, resources):
    spaces, _ = languages_in_one_space(resources, SpaceAlignment.lexicon, "hyperofa")
    listed = list(spaces.values())
    sets = words_of_pieces(
        source.tokenizer, source.rows, listed, forms=OFA_FORMS, max_words=40, most=3
    )
    words = [(rank, word) for space in listed for rank, word in enumerate(list(space.words)[:40])]
    assert len(sets.vectors) == len(words)
    slow: dict[int, list[tuple[int, int]]] = {}
    for number, (rank, word) in enumerate(words):
        cut = {
            piece for form in OFA_FORMS
            for piece in source.tokenizer(form.format(word, title=word.title())[:],
                                          add_special_tokens=False).input_ids
        }  # fmt: skip
        for piece in cut:
            slow.setdefault(piece, []).append((rank, number))
    held = [row for row in slow if sets.sizes()[row]]
    assert len(held) > 20
    same = sum(sets.of(row).tolist() == [n for _, n in sorted(slow[row])[:3]] for row in held)
    assert same > 0.9 * len(held)  # a leading blank is the tokenizer's own in the slow way


def test_shared_pieces_are_copies_and_new_rows_are_of_the_rank(source, target, resources):
    table, token_map = initialise(source, target, QUICK, resources, 0)
    given = (token_map.provenance == int(Provenance.given)).nonzero().flatten()
    assert len(given) > 10
    for old, new in ((source.input, table.input), (source.output, table.output)):
        copied = token_map.copies().nonzero().flatten()
        origin = token_map.indices[token_map.indptr[copied]].long()
        assert torch.equal(new[copied], old[origin])
        ranks = torch.linalg.svdvals(new[given].double())
        assert int((ranks > ranks[0] * 1e-5).sum()) == QUICK.keep_dim
    again, _ = initialise(source, target, HyperOfaInit(**vars_of(QUICK)), resources, 0)
    assert torch.equal(again.input, table.input)
    other, _ = initialise(source, target, QUICK, resources, 1)
    assert not torch.equal(other.input[given], table.input[given])


def vars_of(method):
    return {name: getattr(method, name) for name in ("keep_dim", "hidden", "epochs")}


def test_rows_of_another_map_are_refused(source, target, resources):
    token_map = fit_map(source, target, QUICK, resources, 0)
    with raises(CompatibilityError, "init_method=hyperofa"):
        HyperOfaInit(name="hyperofa").given_rows(token_map, target, "input")
    assert set(faults_of(HyperOfaInit, keep_dim=0, dropout=1.0, lr=0.0, contrastive=2.0)) == {
        "keep_dim", "dropout", "lr", "contrastive",
    }  # fmt: skip
    assert HyperOfaInit().fallback is Fallback.normal
