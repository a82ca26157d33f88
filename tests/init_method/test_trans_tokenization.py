"""Trans-Tokenization: golden numbers of spreading and borrowing, and its invariants."""

import math
import subprocess
import sys
from collections import defaultdict

import numpy as np
import pytest
import torch
from transformers import PreTrainedTokenizerFast

from franken.alignment import WordTable
from franken.alignment.ibm1 import Ibm1Alignment
from franken.config.base_model import TokenizerKind
from franken.config.checks import collect_faults
from franken.errors import DataError
from franken.init_method import InitResources, Provenance, fit_map, initialise
from franken.init_method.trans_tokenization import (
    Borrowing,
    BorrowingConfig,
    EvidenceConfig,
    TransTokenizationInit,
    Unmapped,
)
from franken.init_method.trans_tokenization_parity import TransTokenizationParityInit
from franken.token_map.explain import explain_row
from franken.token_map.options import NumberRule, PairCounts, SpecialRule, SpreadConfig
from franken.token_map.spelling_weights import borrow
from franken.token_map.storage import save_map
from franken.token_map.token_counts import TokenCounts
from franken.token_map.word_pieces import filtered_pairs, spread_table
from franken.tokenizer.families import train_tokenizer
from franken.tokenizer.pieces import canonical_bytes, encode_piece, special_roles
from tests.bounds import one_error
from tests.faults import faults_of, raises
from tests.init_method.tiny import edited, row_of, source_table

PAIRS = [
    ("the house is near the water", "nyumba iko karibu na maji"),
    ("my house is old", "nyumba yangu ni ya zamani"),
    ("the water is cold", "maji ni baridi"),
    ("the children read the book", "watoto wanasoma kitabu"),
    ("the book is in the house", "kitabu kimo katika nyumba"),
    ("House , water , book .", "Nyumba , maji , kitabu ."),
    ("the children drink water", "watoto wanakunywa maji"),
    ("15 books", "vitabu 15"),
] * 6
AMHARIC = [("the house", "ቤት ነው"), ("the water", "ውሃ ነው"), ("a house", "ቤት"), ("water", "ውሃ")] * 6
KINDS = list(TokenizerKind)
SP = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def tables() -> dict[str, WordTable]:
    config = Ibm1Alignment(min_expected=0.0)
    return {"sw": config.align(PAIRS, "sw"), "am": config.align(AMHARIC, "sw")}


@pytest.fixture(scope="module", params=KINDS, ids=[kind.value for kind in KINDS])
def kind(request):
    return request.param


def source_of(kind, **options):
    english = [source for source, _ in [*PAIRS, *AMHARIC]]
    return source_table(kind, tokenizer=train_tokenizer(kind, english, 370), **options)


def target_of(kind):
    return train_tokenizer(kind, [target for _, target in [*PAIRS, *AMHARIC]], 400)


def fit(source, target, tables, **options):
    """By default without copies, so that evidence decides every row."""
    config = TransTokenizationInit(**{"copy_overlap": False, **options})
    return initialise(source, target, config, InitResources(alignments=tables), 0)


# --- golden numbers of the specification ----------------------------------------------------------

WORDS = [  # source pieces, target pieces, count
    ("fifteen", "vijftien", 520), ("15", "vijftien", 460), ("Fif teen", "vijftien", 20),
    ("Fif teen", "Vijf tien", 100), ("sea", "zee", 90), ("lake", "zee", 9.9),
    ("sea side", "kust pl aats", 30), ("Dutch", "Ne der lands", 61), ("p q r", "x y", 30),
]  # fmt: skip
EXACT = {
    "vijftien": {"fifteen": 520, "15": 460, "Fif": 10, "teen": 10},
    "Vijf": {"Fif": 75, "teen": 25}, "tien": {"Fif": 25, "teen": 75}, "zee": {"sea": 90},
    "kust": {"sea": 22.5, "side": 7.5}, "pl": {"sea": 15, "side": 15},
    "aats": {"sea": 7.5, "side": 22.5}, "Ne": {"Dutch": 61}, "der": {"Dutch": 61},
    "lands": {"Dutch": 61}, "x": {"p": 15, "q": 10, "r": 5}, "y": {"p": 5, "q": 10, "r": 15},
}  # fmt: skip
FLOORED = EXACT | {
    "kust": {"sea": 21, "side": 7}, "pl": {"sea": 14, "side": 14}, "aats": {"sea": 7, "side": 21},
    "Ne": {"Dutch": 60}, "der": {"Dutch": 60}, "lands": {"Dutch": 60},
}  # fmt: skip


def toy_table(words=WORDS) -> WordTable:
    """Words are their pieces written together; the toy encoders know where to cut."""
    sources, targets = (sorted({row[side] for row in words}) for side in (0, 1))
    pairs = np.array([(sources.index(s), targets.index(t)) for s, t, _ in words])
    return WordTable.of(sources, targets, pairs, np.array([float(count) for *_, count in words]))


def toy_encoder(names: list[str]):
    return lambda texts: [[names.index(p) for p in text.decode().split()] for text in texts]


def toy_counts(table, config) -> dict[str, dict[str, float]]:
    sources = sorted({piece for word in table.source for piece in word.split()})
    targets = sorted({piece for word in table.target for piece in word.split()})
    counts, _ = spread_table(table, config, toy_encoder(sources), toy_encoder(targets))
    found: dict[str, dict[str, float]] = defaultdict(dict)
    for row, column, value in zip(*counts.joined(), strict=True):
        found[targets[row]][sources[column]] = float(value)
    return dict(found)


@pytest.mark.parametrize(("integer", "golden"), [(False, EXACT), (True, FLOORED)])
def test_golden_spread(integer, golden):
    config = TransTokenizationInit(min_count=10, spread=SpreadConfig(integer=integer))
    found = toy_counts(toy_table(), config)
    assert set(found) == set(golden)
    for piece, counts in golden.items():
        assert found[piece] == pytest.approx(counts), piece


def test_golden_rows():
    counts = {"fifteen": (1, 0), "15": (0, 1), "Fif": (2, 2), "teen": (-2, 0)}
    found = toy_counts(toy_table(), TransTokenizationInit(min_count=10))
    golden = {"vijftien": (0.52, 0.48), "Vijf": (1.0, 1.5), "tien": (-1.0, 0.5)}
    for piece, row in golden.items():
        total = sum(found[piece].values())
        made = [sum(v * counts[s][d] for s, v in found[piece].items()) / total for d in (0, 1)]
        assert made == pytest.approx(row), piece


@pytest.mark.parametrize("integer", [False, True])
def test_golden_borrowing(integer):
    names = ["▁vijftiende", "▁vijftien", "q"]
    sources = ["▁15", "▁Fif", "▁fifteen", "teen"]
    rows = TokenCounts(np.ones(4, np.int64), np.arange(4), np.array([0.46, 0.01, 0.52, 0.01]))
    found = borrow(
        [0, 2], [name.replace("▁", " ").encode() for name in names], [1], rows,
        np.array([name.startswith("▁") for name in sources]),
        boost=2.0, integer=integer, ignore_word_start=False,
    )  # fmt: skip
    assert found.rows.tolist() == [0] * 4
    assert found.shares() == pytest.approx([0.462312, 0.010050, 0.522613, 0.005025], abs=5e-7)
    if integer:
        assert found.values.tolist() == [920, 20, 1040, 10]
    vectors = np.array([(0, 1), (2, 2), (1, 0), (-2, 0)])
    assert found.shares() @ vectors == pytest.approx((0.532663, 0.482412), abs=5e-7)


# --- spreading ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 7))
@pytest.mark.parametrize("m", range(1, 7))
def test_each_target_piece_gets_the_whole_count(n, m):
    source, target = (" ".join(f"{c}{i}" for i in range(k)) for c, k in (("s", n), ("t", m)))
    table = toy_table([(source, target, 7.0)])
    for shares in ((0.5, 0.5), (1.0, 0.0), (0.0, 1.0), (3.0, 1.0)):
        config = TransTokenizationInit(spread=SpreadConfig(*shares))
        found = toy_counts(table, config)
        assert [sum(row.values()) for row in found.values()] == pytest.approx([7.0] * m)
    in_order = TransTokenizationInit(spread=SpreadConfig(0.0, 1.0))
    if n == m:
        assert toy_counts(table, in_order) == {f"t{i}": {f"s{i}": 7.0} for i in range(n)}


def slow_spread(words, config) -> dict[str, dict[str, float]]:
    """Section 1.5 of the specification, slot by slot."""
    found: dict = defaultdict(lambda: defaultdict(float))
    for source, target, count in words:
        s, t = source.split(), target.split()
        n, m, g = len(s), len(t), math.gcd(len(s), len(t))
        length = n * m // g
        if config.spread.integer:
            count = int(count)
        if count < config.min_count:
            continue
        if n == m == 1:
            found[t[0]][s[0]] += count
            continue
        half = max(1, count // 2) if config.spread.integer else count / 2
        for piece in t:
            for other in s:
                found[piece][other] += max(1, half // n) if config.spread.integer else half / n
        for k in range(length):
            part = max(1, half // (n // g)) if config.spread.integer else half / (n / g)
            found[t[k * m // length]][s[k * n // length]] += part
    return {piece: dict(row) for piece, row in found.items()}


@pytest.mark.parametrize("integer", [False, True])
def test_equal_to_loops_on_random_words(integer):
    rng = np.random.default_rng(1)
    words = {}
    for _ in range(300):
        pieces = [
            " ".join(f"{c}{rng.integers(30)}" for _ in range(rng.integers(1, 6))) for c in "st"
        ]
        words[tuple(pieces)] = float(rng.integers(1, 60)) + (0 if integer else rng.random())
    words = [(s, t, count) for (s, t), count in words.items()]
    config = TransTokenizationInit(min_count=3, spread=SpreadConfig(integer=integer))
    found, expected = toy_counts(toy_table(words), config), slow_spread(words, config)
    assert set(found) == set(expected)
    for piece, row in expected.items():
        assert found[piece] == pytest.approx(row, rel=1e-12), piece


def test_a_word_counts_in_the_contexts_it_occurs_in():
    table = WordTable.of(
        ["sea", "side"], ["zee"], np.array([[0, 0], [1, 0]]), np.array([8.0, 4.0]),
        source_spaced=np.array([0.5, 1.0]), target_spaced=np.array([0.75]),
    )  # fmt: skip
    texts = [b" zee", b"zee", b" sea", b"sea", b" side"]

    def encode(batch):
        return [[texts.index(text)] for text in batch]

    counts, _ = spread_table(table, TransTokenizationInit(), encode, encode)
    assert dict(zip(zip(counts.rows.tolist(), counts.columns.tolist(), strict=True),
                    counts.values.tolist(), strict=True)) == {
        (0, 2): 6.0, (0, 4): 3.0, (1, 3): 2.0, (1, 4): 1.0
    }  # fmt: skip
    whole = TransTokenizationInit(spread=SpreadConfig(integer=True))
    assert spread_table(table, whole, encode, encode)[0].rows.tolist() == [0, 0]


# --- filters --------------------------------------------------------------------------------------


def kept(table, **options) -> set[tuple[int, int]]:
    return set(map(tuple, filtered_pairs(table, TransTokenizationInit(**options))[0].tolist()))


def test_the_beam_is_that_of_the_golden_table():
    from tests.alignment.toys import BOOK

    table = Ibm1Alignment(min_expected=0.0).align(BOOK, "sw")
    options = {"counts": PairCounts.expected, "min_count": 0.0}
    names = {(table.source[i], table.target[j]) for i, j in kept(table, **options, beam_exponent=4)}
    assert names == {("das", "the"), ("haus", "house"), ("buch", "book"), ("ein", "a")}
    assert len(kept(table, **options)) == 10


def test_filters_are_monotone(tables):
    for counts in PairCounts:
        before = None
        for low in (0, 1, 2, 5, 10, 50):
            found = kept(tables["sw"], counts=counts, min_count=low)
            assert before is None or found <= before
            assert kept(tables["sw"], counts=counts, min_count=low, beam_exponent=4) <= found
            before = found
        assert len(before) < len(kept(tables["sw"], counts=counts, min_count=0))


# --- borrowing ------------------------------------------------------------------------------------


def slow_borrow(wanting, names, rows, initial, boost, integer):
    """Section 1.7 of the specification, frozen, string by string."""
    result = {}
    for token in wanting:
        text = names[token]
        begun = [u for u in rows if names[u].startswith(text)]
        inside = sorted((u for u in rows if names[u] in text and names[u] != text),
                        key=lambda u: -len(names[u]))  # fmt: skip
        kept = [u for place, u in enumerate(inside)
                if not any(names[u] in names[v] for v in inside[:place])]  # fmt: skip
        sums: dict = defaultdict(float)
        for u in begun + kept:
            for column, share in rows[u].items():
                weight = boost if initial[column] else 1.0
                sums[column] += max(1, int(1000 * weight * share)) if integer else weight * share
        if sums:
            result[token] = dict(sums)
    return result


@pytest.mark.parametrize("integer", [False, True])
def test_borrowing_is_equal_to_loops_over_strings(integer, monkeypatch):
    monkeypatch.setattr("franken.token_map.spelling_weights._CHUNK_ENTRIES", 40)
    rng = np.random.default_rng(4)
    letters = list("abc ")
    names = sorted({"".join(rng.choice(letters, rng.integers(1, 6))) for _ in range(300)})
    initial = rng.random(9) < 0.5
    rows = {u: {int(c): 0.0 for c in rng.choice(9, 3, replace=False)}
            for u in range(len(names)) if rng.random() < 0.5}  # fmt: skip
    for row in rows.values():
        shares = rng.random(len(row))
        row.update(zip(row, (shares / shares.sum()).tolist(), strict=True))
    wanting = [u for u in range(len(names)) if u not in rows]
    flat = [(u, c, row[c]) for u, row in rows.items() for c in sorted(row)]
    given = TokenCounts(*(np.array(column) for column in zip(*flat, strict=True)))
    found = borrow(
        wanting, [name.encode() for name in names], list(rows), given, initial,
        boost=2.0, integer=integer, ignore_word_start=False,
    )  # fmt: skip
    expected = slow_borrow(wanting, names, rows, initial, 2.0, integer)
    made: dict = defaultdict(dict)
    for row, column, value in zip(*found.joined(), strict=True):
        made[int(row)][int(column)] = value
    assert set(made) == set(expected)
    for token, row in expected.items():
        assert made[token] == pytest.approx(row), names[token]


def test_a_piece_without_its_space_borrows_from_the_word_unless_told_not_to():
    rows = TokenCounts(np.array([1]), np.array([0]), np.array([1.0]))
    options = {"boost": 1.0, "integer": False}
    for ignore, rows_found in ((True, [0]), (False, [])):
        found = borrow([0], [b"house", b" houses"], [1], rows, np.array([True]),
                       ignore_word_start=ignore, **options)  # fmt: skip
        assert found.rows.tolist() == rows_found


# --- weights --------------------------------------------------------------------------------------


def test_weights_can_be_cut_and_sharpened():
    counts = TokenCounts.of(
        (np.array([3, 3, 3, 5]), np.array([1, 2, 4, 0]), np.array([6.0, 3, 1, 9]))
    )
    assert counts.sharpened(None, 1.0).values == pytest.approx([0.6, 0.3, 0.1, 1])
    top = counts.sharpened(2, 1.0)
    assert (top.columns.tolist(), top.values.tolist()) == (
        [1, 2, 0],
        pytest.approx([2 / 3, 1 / 3, 1]),
    )
    squared = counts.sharpened(None, 0.5).values
    assert squared == pytest.approx([36 / 46, 9 / 46, 1 / 46, 1])
    assert counts.sharpened(None, 1e-3).values == pytest.approx([1, 0, 1])
    ties = TokenCounts.of((np.array([0, 0]), np.array([7, 2]), np.array([1.0, 1.0])))
    assert ties.sharpened(1, 1.0).columns.tolist() == [2]


# --- the whole fit --------------------------------------------------------------------------------


def test_a_translated_word_takes_the_rows_of_its_translations(kind, tables):
    source, target = source_of(kind), target_of(kind)
    table, token_map = fit(source, target, tables)
    for word, english in ((" maji", b" water"), (" ውሃ", b" water"), (" kitabu", b" book")):
        pieces = encode_piece(target, word.encode())
        wanted = set(encode_piece(source.tokenizer, english))
        for piece in pieces:
            heaviest = {index for index, _ in token_map.row(piece)[: len(wanted)]}
            if token_map.provenance[piece] == Provenance.computed:
                assert heaviest & wanted or len(pieces) > 1, word
        whole = table.input[pieces].mean(0)
        meant = source.input[list(wanted)].mean(0)
        others = source.input[encode_piece(source.tokenizer, b" children")].mean(0)
        assert (whole - meant).norm() < (whole - others).norm(), word


def test_every_row_is_accounted_for(kind, tables):
    _, token_map = fit(source_of(kind), target_of(kind), tables)
    notes = token_map.notes["trans_tokenization"]
    rows = notes["rows_by_origin"]
    counts = token_map.counts()
    assert sum(rows.values()) == token_map.rows - counts["special"] - counts["padding"]
    assert rows["aligned"] > 20
    assert notes["alignments"]["am"]["kept"] > 0
    text = np.array([data is not None for data in canonical_bytes(source_of(kind).tokenizer)])
    used = np.unique(token_map.indices[token_map.weights > 0].numpy())
    assert used.max() < len(text)


def test_the_same_vocabulary_and_no_text_give_the_identity(kind):
    source = source_of(kind, tied=False)
    empty = {"sw": WordTable.of([], [], np.empty((0, 2), np.int64), np.empty(0))}
    table, token_map = fit(source, source.tokenizer, empty)
    count = len(source.tokenizer)
    assert token_map.indices.tolist() == list(range(count))
    assert torch.equal(table.input, source.input[:count])
    assert torch.equal(table.output, source.output[:count])


def test_rows_are_convex_and_no_longer_than_the_longest_source_row(kind, tables):
    source = source_of(kind, tied=False)
    for config in (
        TransTokenizationInit(), TransTokenizationInit(copy_overlap=False),
        TransTokenizationParityInit(min_count=2),
    ):  # fmt: skip
        table, token_map = initialise(
            source, target_of(kind), config, InitResources(alignments=tables), 0
        )
        sums = torch.zeros(table.rows).index_add_(
            0, torch.arange(table.rows).repeat_interleave(token_map.sizes()), token_map.weights
        )
        worst = float((sums[token_map.sizes() > 0] - 1).abs().max())
        assert worst <= one_error(int(token_map.sizes().max()))
        assert bool((token_map.weights > 0).all())
        known = len(source.tokenizer)
        for new, old in ((table.input, source.input), (table.output, source.output)):
            assert new.norm(dim=1).max() <= old[:known].norm(dim=1).max() * (1 + 1e-6)


@pytest.mark.parametrize("kind", [SP, TokenizerKind.byte_level_bpe], indirect=True)
def test_permuting_ids_permutes_rows(kind, tables):
    source, target = source_of(kind), target_of(kind)
    fixed = set(target.added_tokens_decoder)
    free = [index for index in sorted(target.get_vocab().values()) if index not in fixed]
    moved = dict(zip(free, free[7:] + free[:7], strict=True))
    one, _ = fit(source, target, tables)
    two, _ = fit(source, edited(target, moved), tables)
    old = list(range(len(target)))
    assert torch.equal(two.input[[moved.get(index, index) for index in old]], one.input)


def test_an_unused_token_changes_no_other_row(kind, tables):
    source, target = source_of(kind), target_of(kind)
    one, _ = fit(source, target, tables)
    grown = train_tokenizer(kind, [target for _, target in [*PAIRS, *AMHARIC]], 400)
    grown.add_tokens(["zzyzx"])
    two, _ = fit(source, grown, tables)
    assert torch.equal(two.input[: len(one.input)], one.input)


def test_one_more_word_pair_changes_only_rows_of_its_pieces(kind, tables):
    source, target = source_of(kind), target_of(kind)
    options = {"fallback": BorrowingConfig(Borrowing.none)}
    before, _ = fit(source, target, tables, **options)
    more = {**tables, "xx": WordTable.of(["cold"], ["vitabu"], np.array([[0, 0]]), np.array([5.0]))}
    after, _ = fit(source, target, more, **options)
    changed = (before.input != after.input).any(dim=1).nonzero().flatten().tolist()
    assert changed
    assert set(changed) <= set(encode_piece(target, b" vitabu"))
    rare = {**more, "xx": WordTable.of(["cold"], ["vitabu"], np.array([[0, 0]]), np.array([1.0]))}
    assert torch.equal(fit(source, target, rare, **options)[0].input, before.input)


def test_tables_of_several_languages_are_pooled():
    source, target = source_of(SP), target_of(SP)
    row = row_of(target, " maji")

    def table(word, count):
        return WordTable.of([word], ["maji"], np.array([[0, 0]]), np.array([count]))

    _, token_map = fit(source, target, {"a": table("water", 30.0), "b": table("house", 10.0)})
    expected = {row_of(source.tokenizer, " water"): 0.75, row_of(source.tokenizer, " house"): 0.25}
    assert dict(token_map.row(row)) == pytest.approx(expected)


def test_shared_words_of_another_meaning_are_outweighed_by_the_alignment():
    source = source_of(SP)
    false_friend = WordTable.of(["house"], ["water"], np.array([[0, 0]]), np.array([9.0]))
    row = row_of(source.tokenizer, " water")
    for options, weight in (
        ({}, 0.1), ({"evidence": EvidenceConfig(identity=0.0)}, None), ({"copy_overlap": True}, 1.0)
    ):  # fmt: skip
        _, token_map = fit(source, source.tokenizer, {"xx": false_friend}, **options)
        assert dict(token_map.row(row)).get(row) == (weight and pytest.approx(weight))


# --- numbers and control tokens -------------------------------------------------------------------


def numbers_target(kind):
    tokenizer = train_tokenizer(kind, [target for _, target in PAIRS], 400)
    tokenizer.add_tokens([piece for piece in ("2024", "१५") if piece not in tokenizer.get_vocab()])
    return tokenizer


def test_numbers_are_read_digit_by_digit(kind):
    source, target = source_of(kind), numbers_target(kind)
    empty = {"sw": WordTable.of([], [], np.empty((0, 2), np.int64), np.empty(0))}
    _, token_map = fit(source, target, empty)
    for piece, digits in (("2024", b"2024"), ("१५", b"15")):
        ids = encode_piece(source.tokenizer, digits)
        assert dict(token_map.row(target.convert_tokens_to_ids(piece))) == pytest.approx(
            {index: ids.count(index) / len(ids) for index in ids}
        )


def test_the_reference_rule_knows_the_first_piece_only():
    source, target = source_of(SP), numbers_target(SP)
    empty = {"sw": WordTable.of([], [], np.empty((0, 2), np.int64), np.empty(0))}
    row = target.convert_tokens_to_ids("2024")
    first = source.tokenizer("2024", add_special_tokens=False)["input_ids"][0]
    for rule, expected in ((NumberRule.first_piece, {first: 1.0}), (NumberRule.none, {})):
        config = TransTokenizationInit(
            evidence=EvidenceConfig(numbers=rule), fallback=BorrowingConfig(Borrowing.none),
            unmapped=Unmapped.mean,
        )  # fmt: skip
        token_map = fit_map(source, target, config, InitResources(alignments=empty), 0)
        assert dict(token_map.row(row)) == expected


def one_token_for_all(tokenizer) -> PreTrainedTokenizerFast:
    """GPT-2 style: one token is bos, eos and unk."""
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer.backend_tokenizer, bos_token="<eos>", eos_token="<eos>",
        unk_token="<eos>", sep_token="<mask>", pad_token="<pad>",
    )  # fmt: skip


def test_control_tokens_take_the_rows_of_their_roles(tables):
    source = source_of(SP)
    roles = special_roles(source.tokenizer)
    target = one_token_for_all(target_of(SP))
    row = target.eos_token_id
    expected = {
        SpecialRule.roles: {roles["eos"]: 1.0},
        SpecialRule.shared: {roles["bos"]: 1.0},
        SpecialRule.summed: dict.fromkeys((roles["bos"], roles["eos"], roles["unk"]), 1 / 3),
    }
    for rule, weights in expected.items():
        table, token_map = fit(source, target, tables, special=rule)
        assert dict(token_map.row(row)) == pytest.approx(weights), rule
        assert dict(token_map.row(target.pad_token_id)) == {roles["pad"]: 1.0}
        if rule is not SpecialRule.shared:  # a source without sep: eos
            assert dict(token_map.row(target.sep_token_id)) == {roles["eos"]: 1.0}
        if rule is SpecialRule.roles:
            assert torch.equal(table.input[row], source.input[roles["eos"]])


# --- what is left ---------------------------------------------------------------------------------


@pytest.mark.parametrize("rule", list(Unmapped))
def test_tokens_without_any_evidence_follow_the_stated_rule(rule):
    source, target = source_of(SP), target_of(SP)
    empty = {"sw": WordTable.of([], [], np.empty((0, 2), np.int64), np.empty(0))}
    options = {"fallback": BorrowingConfig(Borrowing.none)}
    table, token_map = fit(source, target, empty, unmapped=rule, **options)
    row = row_of(target, " kitabu")
    assert token_map.provenance[row] == Provenance.fallback
    unk = special_roles(source.tokenizer)["unk"]
    if rule is Unmapped.unk:
        assert token_map.row(row) == [(unk, 1.0)]
        assert torch.equal(table.input[row], source.input[unk])
        assert token_map.notes["trans_tokenization"]["rows_by_origin"]["unk"] > 0
        assert explain_row(token_map, row)["how"].endswith("weighted sum of the source's unk")
    else:
        assert token_map.fallback.kind.value == rule.value
        assert bool(token_map.row(row)) is (rule is Unmapped.subtoken_mean)


def test_the_mean_of_its_own_pieces_is_a_choice(tables):
    source, target = source_of(SP), target_of(SP)
    empty = {"sw": WordTable.of([], [], np.empty((0, 2), np.int64), np.empty(0))}
    _, token_map = fit(source, target, empty, fallback=BorrowingConfig(Borrowing.mean_of_pieces))
    row = row_of(target, " kitabu")
    pieces = encode_piece(source.tokenizer, b" kitabu")
    assert dict(token_map.row(row)) == pytest.approx(
        {index: pieces.count(index) / len(pieces) for index in set(pieces)}
    )


def test_no_alignment_at_all_is_an_error():
    with raises(DataError, "init_method=trans_tokenization", "alignments"):
        fit(source_of(SP), target_of(SP), {})


def test_a_minimum_that_nothing_reaches_is_said(tables, caplog):
    _, token_map = fit(source_of(SP), target_of(SP), tables, min_count=1e6)
    assert "min_count=1e+06" in caplog.text
    assert token_map.notes["trans_tokenization"]["rows_by_origin"]["aligned"] == 0


def test_the_map_has_the_same_bytes_in_every_process(tmp_path):
    code = (
        "import sys, pathlib\n"
        "from tests.init_method.test_trans_tokenization import *\n"
        "tables = {'sw': Ibm1Alignment().align(PAIRS, 'sw')}\n"
        "from franken.token_map.storage import save_map\n"
        "made = fit(source_of(SP), target_of(SP), tables)[1]\n"
        "save_map(made, pathlib.Path(sys.argv[1]))\n"
    )
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, str(tmp_path / "there")], check=True,
        env={"PYTHONHASHSEED": "77", "PYTHONPATH": ".", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    tables = {"sw": Ibm1Alignment().align(PAIRS, "sw")}
    save_map(fit(source_of(SP), target_of(SP), tables)[1], tmp_path / "here")
    here, there = (
        (tmp_path / name / "token_map.safetensors").read_bytes() for name in ("here", "there")
    )
    assert here == there


def test_senseless_options_are_faults():
    wrong = faults_of(
        TransTokenizationInit, beam_exponent=0.5, min_count=-1, top=0, temperature=0,
        spread=SpreadConfig(0.0, 0.0),
        evidence=EvidenceConfig(identity=-1), fallback=BorrowingConfig(word_initial_boost=-1),
    )  # fmt: skip
    assert set(wrong) == {
        "beam_exponent", "min_count", "top", "temperature", "spread.all_to_all",
        "evidence.identity", "fallback.word_initial_boost",
    }  # fmt: skip
    assert collect_faults(TransTokenizationParityInit()) == []
