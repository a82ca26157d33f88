"""Word tables on disk; links from files, from gold, and from a program."""

import random
import stat

import numpy as np
import pytest

from franken.alignment import WordTable, load_tables, save_tables
from franken.alignment.base import Symmetry
from franken.alignment.common.links import from_sentences
from franken.alignment.common.symmetrise import symmetrise
from franken.alignment.eflomal import EflomalAlignment
from franken.alignment.files import FilesAlignment
from franken.alignment.gold import GoldAlignment
from franken.alignment.ibm1 import Ibm1Alignment
from franken.config.data import MicroworldData
from franken.data import Pair, open_data
from franken.errors import ArtifactError, DataError
from tests.faults import faults_of, raises

from .toys import as_dict, bitext, random_pairs, slow_grow_diag_final_and


def test_tables_come_back_as_they_were(tmp_path):
    table = Ibm1Alignment().align(random_pairs(30), "sw")
    other = Ibm1Alignment().align([("一 二", "uno due")], "sw")
    save_tables({"sw": table, "zh-Hant": other}, tmp_path)
    loaded = load_tables(tmp_path)
    assert list(loaded) == ["sw", "zh-Hant"]
    for before, after in ((table, loaded["sw"]), (other, loaded["zh-Hant"])):
        assert (before.source, before.target) == (after.source, after.target)
        for name in ("pairs", "expected", "probability", "links", "source_spaced"):
            assert np.array_equal(getattr(before, name), getattr(after, name))
            assert getattr(before, name).dtype == getattr(after, name).dtype
        assert before.notes == after.notes


def test_a_damaged_or_missing_table_is_refused(tmp_path):
    with raises(ArtifactError, tmp_path):
        WordTable.load(tmp_path)
    Ibm1Alignment().align([("a b", "x y")], "sw").save(tmp_path)
    path = tmp_path / "word_table.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    with raises(ArtifactError, path):
        WordTable.load(tmp_path)


def test_a_table_is_sorted_and_has_no_word_without_a_pair():
    table = WordTable.of(
        ["z", "a", "unused"], ["y", "x"], np.array([[0, 0], [1, 0], [0, 1]]),
        np.array([1.0, 2.0, 3.0]), source_spaced=np.array([0.25, 0.5, 1.0]),
    )  # fmt: skip
    assert table.source == ["a", "z"]
    assert table.pairs.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert table.expected.tolist() == [2, 3, 1]
    assert table.probability.tolist() == [1, 0.75, 0.25]
    assert table.source_spaced.tolist() == [0.5, 0.25]


def files(
    tmp_path, source="the house\nthe book", target="nyumba\nkitabu kile", links="1-0\n1-0 0-1"
):
    paths = {}
    for role, text in (("source", source), ("target", target), ("links", links)):
        (tmp_path / f"sw.{role}").write_text(text + "\n", encoding="utf-8")
        paths[role] = str(tmp_path / f"{{lang}}.{role}")
    return FilesAlignment(**paths)


def test_pharaoh_links_with_their_text(tmp_path):
    table = files(tmp_path).align([], "sw")
    assert as_dict(table, "links") == {
        ("house", "nyumba"): 1, ("book", "kitabu"): 1, ("the", "kile"): 1
    }  # fmt: skip
    assert np.array_equal(table.links, table.expected)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"target": "nyumba"}, ["sw.target", 1, "sw.source"]),
        ({"links": "1-0"}, ["sw.links", 1, "sw.source"]),
        ({"links": "1-0\n9-0"}, ["sw.links:2", "9-0", 2]),
        ({"links": "1-0\n1:0"}, ["sw.links:2", "'1:0'", "i-j"]),
        ({"source": "", "target": "", "links": ""}, ["sw.source", "sw.target"]),
    ],
)
def test_files_that_do_not_fit_together_are_named_with_their_line(tmp_path, given, names):
    with raises(DataError, *names):
        files(tmp_path, **given).align([], "sw")


def test_a_missing_file_is_named(tmp_path):
    with raises(DataError, tmp_path / "ka.source"):
        files(tmp_path).align([], "ka")


def test_a_word_table_of_the_reference_is_read(tmp_path):
    path = tmp_path / "sw.tsv"
    path.write_text(
        "house\tnyumba\t-0.105360516\t90.5\n<eps>\tnyumba\t-1\t500\nhome\tnyumba\t-0.7\t9.9\n"
    )
    config = FilesAlignment(
        table=str(tmp_path / "{lang}.tsv"), columns=["source", "target", "log_probability", "count"]
    )
    table = config.align([], "sw")
    assert as_dict(table, "expected") == {("house", "nyumba"): 90.5, ("home", "nyumba"): 9.9}
    assert as_dict(table, "probability")["house", "nyumba"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("house\tnyumba\n", ["sw.tsv:1", 2, 3]),
        ("house\tnyumba\tmany\n", ["sw.tsv:1", "'many'"]),
        ("house\tnyumba\t-1\n", ["sw.tsv:1", "'-1'"]),
        ("\n", ["sw.tsv"]),
    ],
)
def test_a_bad_word_table_is_named_with_its_line(tmp_path, text, names):
    (tmp_path / "sw.tsv").write_text(text)
    with raises(DataError, *names):
        FilesAlignment(table=str(tmp_path / "sw.tsv")).align([], "sw")


def test_files_need_links_with_text_or_a_table():
    def keys(**options):
        return list(faults_of(FilesAlignment, **options))

    assert keys() == keys(links="a", source="b") == ["links"]
    assert keys(table="a", source="b") == ["table"]
    assert keys(table="a", columns=["source", "count"]) == ["columns"]
    assert keys(table="a") == keys(links="a", source="b", target="c") == []


def test_gold_links_are_counted():
    world = open_data(MicroworldData(parallel=200, documents=10, sentences=10, evaluation=2))
    table = GoldAlignment(max_pairs=100).align(world.pairs("ka"), "ka")
    counts = as_dict(table, "links")
    assert max(counts, key=counts.get) == (".", ".")
    assert counts[".", "."] == 100
    best = as_dict(table, "probability")
    lexicon = {(english, word) for english, word in world.lexicon("ka")}
    hits = [pair in lexicon for pair in counts if pair[0] != "."]
    assert sum(hits) > 0.8 * len(hits)
    assert best[".", "."] == 1


def test_text_without_gold_links_is_refused():
    with raises(DataError, "alignment=gold", "'sw'", "data=microworld", "alignment=ibm1"):
        GoldAlignment().align([Pair("a", "b")], "sw")


def program(tmp_path, body):
    """A stand-in that is called like eflomal-align."""
    path = tmp_path / "eflomal-align"
    path.write_text(
        "#!/bin/sh\n"
        'while [ $# -gt 1 ]; do case "$1" in -s) S=$2;; -t) T=$2;; -f) F=$2;; -r) R=$2;; esac;'
        " shift; done\n" + body
    )
    path.chmod(path.stat().st_mode | stat.S_IEXEC)
    return str(path)


def test_the_program_gets_the_words_and_its_links_are_counted(tmp_path):
    body = f'cp "$S" {tmp_path}/seen\nprintf "0-0 1-1\\n" > "$F"\nprintf "0-0\\n" > "$R"\n'
    pairs = [("The house.", "Nyumba, hii")]
    config = EflomalAlignment(program=program(tmp_path, body))
    assert as_dict(config.align(pairs, "sw"), "links") == {("The", "Nyumba"): 1, ("house", ","): 1}
    assert (tmp_path / "seen").read_text() == "The house .\n"
    config.symmetrise = Symmetry.intersect
    assert as_dict(config.align(pairs, "sw"), "links") == {("The", "Nyumba"): 1}


def test_a_program_that_is_absent_or_fails_says_so(tmp_path):
    with raises(DataError, "alignment=eflomal", "'no-such-aligner'", "alignment.program"):
        EflomalAlignment(program="no-such-aligner").align([("a", "b")], "sw")
    failing = EflomalAlignment(program=program(tmp_path, "echo out of memory >&2; exit 3\n"))
    with raises(DataError, tmp_path / "eflomal-align", 3, "out of memory"):
        failing.align([("a", "b")], "sw")
    short = EflomalAlignment(program=program(tmp_path, 'touch "$F" "$R"\n'))
    with raises(DataError, "forward", 0, 1):
        short.align([("a", "b")], "sw")


@pytest.mark.parametrize(
    ("forward", "backward", "expected"),
    [
        # a neighbour on the diagonal with a free word joins
        ([(0, 0), (1, 1)], [(0, 0)], {(0, 0), (1, 1)}),
        # one whose words are both linked does not
        ([(0, 0), (1, 1), (0, 1)], [(0, 0), (1, 1)], {(0, 0), (1, 1)}),
        # far links join at the end only if both words are free
        ([(0, 0), (3, 3)], [(0, 0), (3, 5)], {(0, 0), (3, 3)}),
        # nothing in common: final-and alone
        ([(0, 1)], [(4, 4)], {(0, 1), (4, 4)}),
        # growth goes on from what was added
        ([(0, 0), (1, 1), (2, 2)], [(0, 0)], {(0, 0), (1, 1), (2, 2)}),
    ],
)
def test_grow_diag_final_and(forward, backward, expected):
    text = bitext([("a b c d e f", "u v w x y z")])
    sides = [from_sentences(text, [links]) for links in (forward, backward)]
    found = symmetrise(text, *sides, Symmetry.grow_diag_final_and)
    assert (
        set(map(tuple, found.tolist())) == expected == slow_grow_diag_final_and(forward, backward)
    )


@pytest.mark.parametrize(("seed", "cells"), [(0, 1), (1, 50), (2, 10**6), (3, 10**6)])
def test_growing_many_sentences_at_once_is_growing_each_alone(seed, cells):
    """Sentences of one word too: the last word of one is no neighbour of the next one's first."""
    rng = random.Random(seed)
    sizes = [(rng.randint(1, 6), rng.randint(1, 6)) for _ in range(150)]
    text = bitext([(" ".join("abcdef"[:n]), " ".join("uvwxyz"[:m])) for n, m in sizes])
    forward, backward = (
        [[(i, j) for i in range(n) for j in range(m) if rng.random() < share] for n, m in sizes]
        for share in (0.25, 0.3)
    )
    sides = [from_sentences(text, links) for links in (forward, backward)]
    found = symmetrise(text, *sides, Symmetry.grow_diag_final_and, cells=cells)
    alone = [
        sorted(slow_grow_diag_final_and(*links)) for links in zip(forward, backward, strict=True)
    ]
    assert found.tolist() == from_sentences(text, alone).tolist()
    assert len(found) > len(symmetrise(text, *sides, Symmetry.intersect)) + 50
