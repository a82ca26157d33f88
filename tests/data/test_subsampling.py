from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from transformers import PreTrainedTokenizerFast

from franken.config.data import Mixture
from franken.data import subsampling as subsample
from franken.data.encoding import RecordEncoder
from franken.data.mixing import StreamKey
from franken.data.source import Pair
from franken.data.streams import StreamBuilder
from franken.data.subsampling import Subsample, measure, thin
from tests.data.conftest import ListSource


def test_small_streams_are_taken_whole() -> None:
    found = measure(["ab"] * 10, need=100, read_ahead=8)
    assert found == (Subsample(1.0, 10, 20), ["ab"] * 10)
    assert list(thin(["ab"] * 10, found[0])) == ["ab"] * 10


def test_large_streams_are_looked_at_for_a_stretch_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = 0

    def endless() -> Iterator[str]:
        nonlocal read
        while True:
            read += 1
            yield f"{read % 10}" * 10

    monkeypatch.setattr(subsample, "HELD_CHARACTERS", 3000)
    found, held = measure(endless(), need=1000, read_ahead=4)
    assert found == Subsample(0.25, 400, 4000)
    assert held is None
    assert read == 400
    read = 0
    kept = list(thin(endless(), found))
    assert len(kept) == 100
    assert read <= 401


def test_the_kept_records_are_evenly_spaced() -> None:
    kept = list(thin(map(str, range(1000)), Subsample(0.1, 1000, 0)))
    assert kept == [str(n) for n in range(9, 1000, 10)]
    uneven = list(thin(map(str, range(700)), Subsample(0.3, 700, 0)))
    gaps = {int(b) - int(a) for a, b in pairwise(uneven)}
    assert gaps == {3, 4}
    assert len(uneven) == 210


def test_pairs_count_both_sides() -> None:
    assert measure([Pair("abc", "de")] * 3, 100, 2)[0].characters == 15


@pytest.mark.parametrize("read_ahead", [1.0, 8.0])
def test_a_corpus_sorted_by_origin_is_sampled_fairly(
    read_ahead: float, source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    source.content["monolingual", "sw", "train"] = ["news " * 5] * 500 + ["tale " * 5] * 500
    mixture = Mixture({"monolingual": 1.0}, languages=["sw"], read_ahead=read_ahead)
    builder = StreamBuilder(
        source, mixture, RecordEncoder(tokenizer), tmp_path, "en", ("sw",), length=32
    )
    corpus = builder.corpus(StreamKey("monolingual", "sw"), "train", max_tokens=4000)
    text = "".join(tokenizer.convert_ids_to_tokens(corpus.tokens.tolist()))
    news, tales = text.count("news"), text.count("tale")
    assert corpus.size.tokens >= 4000
    if read_ahead == 1:
        assert tales == 0  # the head alone
        assert corpus.size.stream_characters < 10_000
    else:
        assert 0.6 < tales / news < 1.1
        assert corpus.size.stream_characters == 25_000


def test_thinned_pairs_keep_both_directions(
    source: ListSource, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    mixture = Mixture({"parallel": 1.0}, languages=["sw"])
    builder = StreamBuilder(
        source, mixture, RecordEncoder(tokenizer), tmp_path, "en", ("sw",), length=32
    )
    key = StreamKey("parallel", "sw")
    half = thin(source.pairs("sw"), Subsample(0.5, 50, 0))
    kept = list(builder.as_trained(key, half))
    assert len(kept) == 25
    forward = [str(text).startswith("English") for text in kept]
    assert forward == [n % 2 == 0 for n in range(25)]


@pytest.mark.parametrize("count", [1, 3, 49, 103])
def test_one_record_is_kept_where_all_are_longer_than_the_need(count: int) -> None:
    records = ["long " * 100] * count
    found, _ = measure(records, need=1.0, read_ahead=1e9)
    assert len(list(thin(records, found))) == 1
