"""fastText files, whole and broken."""

import gzip

import pytest
import torch
from gensim.models.fasttext import FastText, save_facebook_model

from franken.errors import DataError
from franken.word_vectors.common.read import read_vectors
from tests.faults import raises

TEXT = "3 4\nnyumba 1 2 3 4\nmaji 0.5 -1 2e-1 0 \nቤት 1 1 1 1\n"


def written(tmp_path, content, name="cc.sw.vec"):
    file = tmp_path / name
    data = content.encode() if isinstance(content, str) else content
    file.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return file


@pytest.mark.parametrize("name", ["cc.sw.vec", "cc.sw.vec.gz"])
def test_text_is_read_whole_or_in_part(tmp_path, name):
    file = written(tmp_path, TEXT, name)
    space = read_vectors(file)
    assert space.words == ["nyumba", "maji", "ቤት"]
    assert torch.equal(space.vectors[1], torch.tensor([0.5, -1, 0.2, 0]))
    assert space.counts is None
    assert space.ngrams is None
    assert read_vectors(file, max_words=2).words == ["nyumba", "maji"]
    assert read_vectors(file, max_words=9).words == space.words


def test_a_word_listed_twice_keeps_its_first_vector_and_the_end_mark_is_none(tmp_path):
    space = read_vectors(written(tmp_path, "4 1\n</s> 9\na 1\na 2\nb 3\n"))
    assert space.words == ["a", "b"]
    assert space.vectors.flatten().tolist() == [1, 3]


def test_a_trained_model_is_read_with_counts_and_ngrams(tmp_path):
    sentences = [["nyumba", "kubwa"], ["nyumba", "ndogo"], ["maji"]] * 5
    model = FastText(
        sentences, vector_size=5, min_count=1, bucket=40, min_n=3, max_n=4, workers=1, seed=1
    )
    file = tmp_path / "cc.sw.bin"
    save_facebook_model(model, str(file))
    space = read_vectors(file)
    assert set(space.words) == {"nyumba", "kubwa", "ndogo", "maji"}
    assert int(space.counts[space.index["nyumba"]]) == 10
    words = ["nyumba", "nyumbani"]
    expected = torch.stack([torch.from_numpy(model.wv[word].copy()) for word in words])
    assert torch.allclose(space.lookup(words)[0], expected, atol=1e-6)
    small = read_vectors(file, max_words=1, ngrams=False)
    assert small.words == ["nyumba"]
    assert small.ngrams is None


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("", [".vec.gz"]),
        ("nyumba 1 2 3\n", ["line 1", "'nyumba 1 2 3'"]),
        ("2 0\na\n", ["line 1", "'2 0'"]),
        ("2 3\na 1 2 3\nb 1 2\n", ["line 3", "'b'", 2, 3]),
        ("2 2\na 1 2\nb 1 x\n", ["line 3", "'b'"]),
        ("2 2\na 1 2\nb\n", ["line 3", "'b'"]),
        ("3 2\na 1 2\nb 3 4\n", ["line 4", 3]),
        ("2 2\na 1 2\nb nan 1\n", ["'b'", "NaN"]),
    ],
)
def test_a_broken_text_names_file_and_line(tmp_path, content, names):
    file = written(tmp_path, content)
    with raises(DataError, file, *names):
        read_vectors(file)


def test_other_broken_files_are_data_errors_too(tmp_path):
    with raises(DataError, tmp_path / "cc.xx.vec", "word_vectors.path"):
        read_vectors(tmp_path / "cc.xx.vec")
    with raises(DataError, tmp_path / "cc.sw.bin"):
        read_vectors(written(tmp_path, "3 4\nnyumba", "cc.sw.bin"))
    cut = written(tmp_path, TEXT * 50, "cc.sw.vec.gz")
    cut.write_bytes(cut.read_bytes()[:30])
    with raises(DataError, cut):
        read_vectors(cut)
    plain = tmp_path / "plain.vec.gz"
    plain.write_text(TEXT)
    with raises(DataError, plain):
        read_vectors(plain)
