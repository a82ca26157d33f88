"""Covers in running text: an example worked by hand, a slow count, and what lacks evidence."""

import warnings
from collections import Counter
from fractions import Fraction

import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, DataError
from franken.init_method import InitResources, Provenance, fit_map, initialise
from franken.init_method.merge import MergeInit
from franken.init_method.span_align import AlignedPart, AlignStart, SpanAlignInit
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.parts.table import Table
from franken.tokenizer.pieces import canonical_bytes, encode_pieces
from franken.tokenizer.spans import SpanReader
from tests.faults import raises
from tests.init_method.tiny import (
    RESOURCES,
    SWAHILI,
    edited,
    source_table,
    target_tokenizer,
    text_ids,
)

KINDS = list(TokenizerKind)


def spelled(vocab, merges):
    model = models.BPE(vocab={piece: i for i, piece in enumerate(vocab)}, merges=merges)
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


SOURCE = spelled(["▁", "a", "b", "c", "d", "ab", "bc"], [("a", "b"), ("b", "c")])
TARGET = spelled(
    ["▁", "a", "b", "c", "d", "cd", "bcd", "▁a"], [("c", "d"), ("b", "cd"), ("▁", "a")]
)


def resources(*texts):
    return InitResources(languages=["sw"], texts=lambda language: iter(texts))


def by_hand(*texts, **options):
    source = Table(SOURCE, torch.eye(7), None, None, lineage="body")
    options = {"start": AlignStart.subtoken_mean, **options}
    token_map = fit_map(source, TARGET, SpanAlignInit(**options), resources(*texts), 0)
    names = {index: piece for piece, index in SOURCE.get_vocab().items()}
    ids = TARGET.get_vocab()
    return {
        piece: {names[i]: w for i, w in token_map.row(ids[piece])} for piece in ("cd", "bcd", "▁a")
    }, token_map


def test_covers_worked_by_hand():
    """``abcd``: source ▁ ab c d, target ▁a bcd. ``bcd``: source ▁ bc d, target ▁ bcd."""
    rows, token_map = by_hand("abcd", "bcd", "bcd")
    third = 1 / 3
    # bcd: once covered by (ab, c, d), twice by (bc, d)
    assert rows["bcd"] == pytest.approx(
        {"ab": third * third, "c": third * third, "d": third * third + third, "bc": third}
    )
    assert rows["▁a"] == pytest.approx({"▁": 0.5, "ab": 0.5})
    assert rows["cd"] == pytest.approx({"c": 0.5, "d": 0.5})  # not seen: the start
    assert (token_map.notes["from_text"], token_map.notes["from_start"]) == (2, 1)


def test_the_release_ignores_tokens_that_reach_over_one_end():
    rows, _ = by_hand("abcd", partial_overlap=False)
    assert rows["bcd"] == pytest.approx({"c": 0.5, "d": 0.5})
    assert rows["▁a"] == pytest.approx({"▁": 1.0})


def test_the_plain_segmentation_may_count_as_often_as_the_most_frequent_cover():
    rows, _ = by_hand("abcd", "bcd", "bcd", consider_mean=True)
    # the plain segmentation of bcd is (bc, d); the most frequent cover has 2 of 3
    fifth, third = Fraction(1, 5), Fraction(1, 3)
    expected = {
        "ab": fifth * third,
        "c": fifth * third,
        "d": fifth * third + 2 * fifth,
        "bc": 2 * fifth,
    }
    assert rows["bcd"] == pytest.approx({k: float(v) for k, v in expected.items()})


def test_pieces_seen_too_seldom_keep_the_start():
    rows, token_map = by_hand("abcd", "bcd", min_count=2)
    assert rows["▁a"] == pytest.approx({"▁": 0.5, "a": 0.5})
    assert token_map.notes["from_text"] == 1


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.value)
def test_counts_are_those_of_a_slow_count_over_bytes(kind):
    source, target = source_table(kind), target_tokenizer(kind)
    _, token_map = initialise(source, target, SpanAlignInit(), RESOURCES, 0)
    texts = {"s": canonical_bytes(source.tokenizer), "t": canonical_bytes(target)}
    shares, seen = {}, Counter()
    for line in SWAHILI:
        data = f" {line}".encode()
        owner = {}
        places = [0, 0]
        (ids,), (new,) = encode_pieces(source.tokenizer, [data]), encode_pieces(target, [data])
        if any(
            b"".join(texts[side][i] or b"?" for i in found) != data
            for side, found in (("s", ids), ("t", new))
        ):
            continue
        for number, index in enumerate(ids):
            for _ in texts["s"][index]:
                owner[places[0]] = (number, index)
                places[0] += 1
        for index in new:
            stop = places[1] + len(texts["t"][index])
            cover = list(dict.fromkeys(owner[place] for place in range(places[1], stop)))
            places[1] = stop
            seen[index] += 1
            for _, column in cover:
                row = shares.setdefault(index, Counter())
                row[column] += Fraction(1, len(cover))
    computed = (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    checked = [row for row in computed if seen[row]]
    assert len(checked) >= 20
    for row in checked:
        expected = {column: float(share / seen[row]) for column, share in shares[row].items()}
        assert dict(token_map.row(row)) == pytest.approx(expected, abs=1e-6)


def test_batches_of_text_do_not_change_the_spans():
    source, target = source_table(KINDS[0]).tokenizer, target_tokenizer(KINDS[0])
    whole = list(SpanReader(source, target).read(SWAHILI))
    cut = list(SpanReader(source, target).read(SWAHILI, batch_texts=3))
    assert len(cut) > len(whole) == 1
    assert [i for batch in cut for i in batch.target.ids] == whole[0].target.ids.tolist()
    assert sum(int(batch.edges[-1]) for batch in cut) == whole[0].edges[-1]


def test_text_that_a_tokenizer_changes_is_left_out_and_counted():
    kind = TokenizerKind.sentencepiece_unigram
    source, target = source_table(kind).tokenizer, target_tokenizer(kind)
    (batch,) = SpanReader(SOURCE, TARGET).read(["abcd", "xyz", "bcd", " "])
    assert batch.skipped == 1
    assert len(batch.edges) == 3
    assert source is not target
    with raises(DataError, 1, "skipped"):
        by_hand("xyz")


def test_rows_without_evidence_are_those_of_the_start():
    kind = TokenizerKind.byte_level_bpe
    source, target = source_table(kind), target_tokenizer(kind)
    merged = fit_map(source, target, MergeInit(), RESOURCES, 0)
    with pytest.warns(UserWarning, match="init_method=span_align"):
        token_map = fit_map(source, target, SpanAlignInit(), resources("the house"), 0)
    assert all(token_map.row(row) == merged.row(row) for row in range(token_map.rows))
    plain = fit_map(source, target, SubtokenMeanInit(), RESOURCES, 0)
    config = SpanAlignInit(start=AlignStart.subtoken_mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        token_map = fit_map(source, target, config, resources("the house"), 0)
    for row in range(token_map.rows):
        assert dict(token_map.row(row)) == pytest.approx(dict(plain.row(row)))


@pytest.mark.parametrize("part", [AlignedPart.input, AlignedPart.output])
def test_one_side_may_keep_the_start(part):
    kind = TokenizerKind.byte_level_bpe
    source, target = source_table(kind, tied=False), target_tokenizer(kind)
    both, _ = initialise(source, target, SpanAlignInit(), RESOURCES, 0)
    start, _ = initialise(source, target, MergeInit(), RESOURCES, 0)
    table, _ = initialise(source, target, SpanAlignInit(part=part), RESOURCES, 0)
    other = "output" if part is AlignedPart.input else "input"
    assert torch.allclose(getattr(table, part.value), getattr(both, part.value), atol=1e-6)
    assert torch.allclose(getattr(table, other), getattr(start, other), atol=1e-6)
    assert not torch.allclose(table.input, start.input) or part is AlignedPart.output


def test_rows_follow_their_token_when_ids_move():
    kind = TokenizerKind.byte_level_bpe
    source, target = source_table(kind), target_tokenizer(kind)
    ids = text_ids(target)
    moved = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    first, _ = initialise(source, target, SpanAlignInit(consider_mean=True), RESOURCES, 0)
    second, _ = initialise(
        source, edited(target, moved), SpanAlignInit(consider_mean=True), RESOURCES, 0
    )
    for old, new in moved.items():
        assert torch.equal(first.input[old], second.input[new])


def test_what_it_needs_is_named():
    kind = TokenizerKind.sentencepiece_unigram
    source, target = source_table(kind), target_tokenizer(kind)
    with raises(DataError, "init_method=span_align", "monolingual"):
        fit_map(source, target, SpanAlignInit(), InitResources(languages=["sw"]), 0)
    with raises(CompatibilityError, "init_method=merge", "Unigram"):
        fit_map(source, target, SpanAlignInit(start=AlignStart.merge), RESOURCES, 0)


def test_no_more_text_is_read_than_asked_for():
    read = []

    def texts(language):
        for _ in range(100):
            read.append(language)
            yield "nyumba maji kitabu " * 50

    limited = InitResources(languages=["sw", "id"], texts=texts)
    kind = TokenizerKind.byte_level_bpe
    fit_map(source_table(kind), target_tokenizer(kind), SpanAlignInit(megabytes=0.005), limited, 0)
    assert Counter(read) == {"sw": 7, "id": 7}
