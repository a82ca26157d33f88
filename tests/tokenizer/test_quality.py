"""Tokenizer quality against slow counts and figures worked by hand."""

import json
import math
from collections import Counter

import pytest
from tokenizers import Tokenizer

from franken.tokenizer.quality import (
    average_rank,
    compare,
    divergence,
    measure,
    pieces_of_words,
    renyi_efficiency,
)
from franken.vocab.__main__ import main
from franken.vocab.commands.compare import page, tables
from tests.parts.tiny import LINES, tiny_tokenizer


@pytest.mark.parametrize("kind", ["byte_level", "sentencepiece"])
def test_figures_are_those_of_counting_line_by_line(kind):
    wrapped = tiny_tokenizer(kind, size=300)
    tokenizer = Tokenizer.from_str(wrapped.backend_tokenizer.to_str())
    found = measure(tokenizer, LINES, wrapped.unk_token_id)
    ids = [wrapped.encode(line, add_special_tokens=False) for line in LINES]
    flat = [token for line in ids for token in line]
    words = [word for line in LINES for word in line.split()]
    assert found.tokens_per_word == pytest.approx(len(flat) / len(words))
    assert found.tokens_per_byte == pytest.approx(len(flat) / sum(len(x.encode()) for x in LINES))
    assert found.characters_per_token == pytest.approx(sum(map(len, LINES)) / len(flat))
    assert found.used == pytest.approx(len(set(flat)) / len(wrapped))
    restored = sum(wrapped.decode(row) == line for row, line in zip(ids, LINES, strict=True))
    assert found.lost == pytest.approx(1 - restored / len(LINES))
    upper = sum(len(wrapped.encode(line.upper(), add_special_tokens=False)) for line in LINES)
    assert found.distorted["upper"] == pytest.approx(upper / len(flat))
    order = Counter(flat).most_common()
    ranks = {token: rank for rank, (token, _) in enumerate(order, 1)}
    assert found.average_rank == pytest.approx(sum(ranks[t] for t in flat) / len(flat))


def test_words_in_one_piece_are_counted_by_their_offsets():
    tokenizer = tiny_tokenizer("byte_level", size=300)
    whole = words = 0
    for line in LINES:
        for position, word in enumerate(line.split(" ")):
            words += 1
            text = word if position == 0 else f" {word}"
            ids = tokenizer.encode(text, add_special_tokens=False)
            whole += sum(bool(tokenizer.decode([token]).strip()) for token in ids) == 1
    found = measure(Tokenizer.from_str(tokenizer.backend_tokenizer.to_str()), LINES, None)
    assert 0 < found.whole_words < 1
    assert found.whole_words == pytest.approx(whole / words)


def test_pieces_that_reach_over_white_space_count_for_both_words():
    assert pieces_of_words("ab cd e", [(0, 2), (2, 4), (4, 7)]) == [1, 2, 1]
    assert pieces_of_words("  ", [(0, 2)]) == []


def test_renyi_efficiency_by_hand():
    assert renyi_efficiency({0: 5, 1: 5, 2: 5, 3: 5}, 4) == pytest.approx(1.0)
    assert renyi_efficiency({0: 9}, 4) == 0.0
    shares = (0.75, 0.25)
    entropy = math.log(sum(p**2.5 for p in shares)) / (1 - 2.5)
    assert renyi_efficiency({4: 3, 5: 1}, 8) == pytest.approx(entropy / math.log(8))


def test_divergence_and_rank_by_hand():
    assert divergence({1: 2, 2: 2}, {1: 5, 2: 5}) == 0.0
    assert divergence({1: 2}, {2: 7}) == pytest.approx(1.0)
    half = divergence({1: 1, 2: 1}, {2: 1})
    expected = 0.5 * (0.5 * math.log2(0.5 / 0.25) + 0.5 * math.log2(0.5 / 0.75)) + 0.5 * math.log2(
        1 / 0.75
    )
    assert half == pytest.approx(expected)
    assert average_rank({7: 6, 3: 3, 1: 1}) == pytest.approx((6 + 2 * 3 + 3) / 10)


def test_comparison_and_its_page_hold_every_tokenizer_and_language():
    tokenizers = {"small": tiny_tokenizer("byte_level", size=280), "more": tiny_tokenizer(size=200)}
    found = compare(tokenizers, {"en": LINES, "xx": [line[::-1] for line in LINES]})
    assert json.loads(json.dumps(found)) == found
    assert set(found["small"]["divergence"]) == {"en-xx"}
    assert 0 < found["small"]["divergence"]["en-xx"] < 1
    shown = tables(found)
    assert [len(rows) for _, _, rows in shown] == [4, 4, 2]
    assert all(len(row) == len(heading) for _, heading, rows in shown for row in rows)
    assert page(found).count("<tr") == 3 + 4 + 4 + 2


def test_the_command_reads_directories_and_text(tmp_path, capsys):
    for name, size in (("one", 280), ("two", 300)):
        tiny_tokenizer("byte_level", size=size).save_pretrained(tmp_path / name)
    (tmp_path / "en.txt").write_text("\n".join(LINES))
    (tmp_path / "sw.jsonl").write_text(json.dumps({"text": "moja mbili\ntatu"}) + "\n")
    text = [f"--text={lang}={tmp_path / file}" for lang, file in
            (("en", "en.txt"), ("sw", "sw.jsonl"))]  # fmt: skip
    places = [str(tmp_path / "one"), f"b={tmp_path / 'two'}"]
    assert main(["compare", *places, *text, "--json", f"--html={tmp_path / 'page.html'}"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["one", "b"]
    assert found["b"]["languages"]["sw"]["lines"] == 2
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert main(["compare", str(tmp_path / "none"), *text]) == 2
    assert main(["compare", places[0], places[0], *text]) == 2
