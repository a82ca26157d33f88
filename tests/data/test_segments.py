"""Which way pairs go, which are copied, and what language needs which table."""

from collections.abc import Iterator
from pathlib import Path

from franken.config.data import DataConfig, Mixture
from franken.data.encoding import split_pair
from franken.data.generated_pairs import WithPairs, write_pairs
from franken.data.mismatched_pairs import Mismatched
from franken.data.mixing import StreamKey
from franken.data.segments import Flow, SegmentStreams, Turn
from franken.data.source import Pair
from franken.errors import DataError
from tests.faults import raises

PAIRS = [Pair(f"en{i}", f"sw{i}") for i in range(8)]
TABLES = {"en": "source", "sw": "target"}
KEY = StreamKey("parallel", "sw")


class Source:
    config = DataConfig(languages=["sw"], language_names={"en": "English"})

    def has(self, role: str, lang: str | None = None) -> bool:
        return role == "monolingual"

    def fingerprint(self, roles: object = None, languages: object = None) -> str:
        return "f"


def turns(**flow: object) -> list[Turn]:
    made = Flow(TABLES, prompt="{from_name} : {from_text}\n{to_name} : {to_text} .", **flow)  # type: ignore[arg-type]
    streams = SegmentStreams(
        Source(), Mixture({"parallel": 1.0}), None, Path(), "en", ("sw",), 64, made  # type: ignore[arg-type]
    )  # fmt: skip
    return list(streams.as_trained(KEY, PAIRS))


def test_pairs_are_read_in_one_table_and_written_in_the_other() -> None:
    found = turns()
    assert found[0] == Turn("English : en0\nsw :", "sw0 .", "source", "target")
    assert {(t.read, t.write) for t in found} == {("source", "target")}
    both = turns(directions=("to_target", "to_source"))
    assert both[1] == Turn("sw : sw1\nEnglish :", "en1 .", "target", "source")
    assert [t.read for t in both] == ["source", "target"] * 4


def test_copies_fall_on_every_direction_alike() -> None:
    found = turns(directions=("to_target", "to_source"), copies=0.5)
    kinds = [(t.read, t.write) for t in found]
    for kind in (("source", "target"), ("target", "source"), ("source", "source"),
                 ("target", "target")):  # fmt: skip
        assert kinds.count(kind) == 2
    copied = next(t for t in found if t.read == t.write == "source")
    assert copied.prompt.endswith(f"{copied.response.removesuffix(' .')}\nEnglish :")
    assert all(t.read == t.write == "source" for t in turns(copies=1.0))


def test_a_language_without_a_table_is_named() -> None:
    with raises(DataError, "'ta'", "en, sw"):
        Flow(TABLES).of("ta")


def test_braces_inside_a_sentence_stay() -> None:
    prompt, answer = split_pair("{from_text} = {to_text}", ("a {to_text}", "{from_text} b"), "xy")
    assert (prompt, answer) == ("a {to_text} =", "{from_text} b")
    with raises(DataError, "'{to_text} <- {from_text}'", "{from_text}"):
        split_pair("{to_text} <- {from_text}", ("a", "b"), "xy")


def test_generated_pairs_stand_for_the_role_parallel(tmp_path: Path) -> None:
    write_pairs(PAIRS[:2], tmp_path, "sw")
    source = WithPairs(Source(), tmp_path)  # type: ignore[arg-type]
    assert source.has("parallel", "sw")
    assert not source.has("parallel", "ta")
    assert source.has("monolingual", "ta")
    assert list(source.pairs("sw")) == PAIRS[:2]
    before = source.fingerprint()
    write_pairs(PAIRS[:3], tmp_path, "sw")
    assert source.fingerprint() != before
    with raises(DataError, "'ta'"):
        list(source.pairs("ta"))


def test_generated_pairs_hold_any_character(tmp_path: Path) -> None:
    pairs = [Pair("one\u2028line", "a\u0085b\r"), Pair("x", "y")]
    write_pairs(pairs, tmp_path, "sw")
    assert list(WithPairs(Source(), tmp_path).pairs("sw")) == pairs  # type: ignore[arg-type]


def test_mismatched_pairs_keep_their_sources_and_lose_their_translations() -> None:
    class Numbered:
        config = DataConfig()

        def pairs(self, lang: str, split: str = "train") -> Iterator[Pair]:
            yield from (Pair(f"{split}{n}", f"{lang}{n}", ((0, 0),)) for n in range(10))

        def fingerprint(self, roles: object = None, languages: object = None) -> str:
            return "f"

    source = Numbered()
    half = Mismatched(source, 0.5)  # type: ignore[arg-type]
    found = [(pair.source, pair.target) for pair in half.pairs("sw")]
    right = [(f"train{n}", f"sw{n}") for n in range(0, 10, 2)]
    wrong = [(f"train{n}", f"sw{n - 2}") for n in range(3, 10, 2)]
    assert sorted(found) == sorted([*right, *wrong])
    assert all(p.alignment is None for p in half.pairs("sw") if p.target[2:] != p.source[5:])
    assert list(half.pairs("sw", "valid")) == list(source.pairs("sw", "valid"))
    assert list(Mismatched(source, 0.0).pairs("sw")) == list(source.pairs("sw"))  # type: ignore[arg-type]
    prints = {Mismatched(source, share).fingerprint() for share in (0.25, 0.5)}  # type: ignore[arg-type]
    assert len(prints | {source.fingerprint()}) == 3
