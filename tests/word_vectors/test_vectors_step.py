"""The step ``vectors``: what it makes, what it refuses, and what its key depends on."""

from types import SimpleNamespace

import pytest
import torch

import franken.steps.vectors as module
from franken.config.base_model import TokenizerKind
from franken.config.data import FileData, MicroworldData
from franken.config.sources import Source
from franken.errors import CompatibilityError, DataError
from franken.files import read_json
from franken.parts.tokenizer_files import save_tokenizer
from franken.steps.common.keys import step_key
from franken.steps.vectors import VectorsStep
from franken.word_vectors import load_spaces
from franken.word_vectors.base import PieceSide, VectorUnit
from franken.word_vectors.common.pieces import piece_labels
from franken.word_vectors.files import VectorFiles
from franken.word_vectors.trained import TrainedVectors
from tests.faults import faults_of, raises
from tests.init_method.tiny import ENGLISH, SWAHILI, source_tokenizer, target_tokenizer
from tests.recipes.conftest import compose_config

TRAINED = TrainedVectors(dim=8, epochs=2, buckets=200, subsample=0.0)
KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture
def data(tmp_path):
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "en.txt").write_text("\n".join(ENGLISH))
    (tmp_path / "text" / "sw.txt").write_text("\n".join(SWAHILI))
    return FileData(
        languages=["sw"],
        monolingual={"train": Source(path=str(tmp_path / "text" / "{lang}.txt"))},
    )


@pytest.fixture
def context(tmp_path):
    return SimpleNamespace(directory=tmp_path / "made", seed=0, inputs={}, store=None)


def test_words_get_one_space_per_language(data, context):
    context.directory.mkdir()
    summary = VectorsStep(vectors=TRAINED, data=data).run(context)
    spaces = load_spaces(context.directory)
    assert sorted(spaces) == ["en", "sw"]
    assert "nyumba" in spaces["sw"].words
    assert "nyumba" not in spaces["en"].words
    assert spaces["en"].lookup(["housing"])[1].item()
    assert summary["words"]["en"] == len(spaces["en"].words)
    report = read_json(context.directory / "report.json")
    assert report["sw"]["occurrences"] == int(spaces["sw"].counts.sum())


def test_a_line_of_both_roles_counts_once(data, context):
    context.directory.mkdir()
    VectorsStep(vectors=TRAINED, data=data).run(context)
    once = load_spaces(context.directory)["sw"]
    data.documents = dict(data.monolingual)
    VectorsStep(vectors=TRAINED, data=data).run(context)
    assert torch.equal(load_spaces(context.directory)["sw"].counts, once.counts)


def test_pieces_get_a_space_for_each_tokenizer(data, context, tmp_path, monkeypatch):
    context.directory.mkdir()
    save_tokenizer(target_tokenizer(KIND), tmp_path / "vocab" / "tokenizer")
    save_tokenizer(source_tokenizer(KIND), tmp_path / "table")
    context.inputs = {"tokenizer": SimpleNamespace(path=tmp_path / "vocab"), "base": None}
    monkeypatch.setattr(
        module, "open_model", lambda artifact, store: SimpleNamespace(table=tmp_path / "table")
    )
    step = VectorsStep(unit=VectorUnit.pieces, base="b", tokenizer="t", vectors=TRAINED, data=data)
    step.run(context)
    spaces = load_spaces(context.directory)
    assert sorted(spaces) == ["source", "target"]
    assert set(spaces["target"].words) <= set(piece_labels(target_tokenizer(KIND)))
    assert set(spaces["source"].words) <= set(piece_labels(source_tokenizer(KIND)))
    step.side, context.directory = PieceSide.target, tmp_path / "target"
    context.directory.mkdir()
    step.run(context)
    alone = load_spaces(context.directory)
    assert sorted(alone) == ["target"]
    assert torch.equal(alone["target"].vectors, spaces["target"].vectors)
    assert step.references() == {"tokenizer": "t"}
    assert "▁nyumba" in spaces["target"].words
    assert "▁nyumba" not in spaces["source"].words


def test_a_language_without_text_is_named(data, context):
    data.monolingual["train"].languages = ["en"]
    with raises(DataError, "'sw'", "'files'", "data.monolingual", "word_vectors=files"):
        VectorsStep(vectors=TRAINED, data=data).run(context)


def test_files_are_read_by_language_and_must_agree_in_width(data, context, tmp_path):
    for language, width in (("en", 2), ("sw", 2), ("bad", 3)):
        row = " ".join(["1"] * width)
        (tmp_path / f"{language}.vec").write_text(f"1 {width}\n{language} {row}\n")
    context.directory.mkdir()
    files = VectorFiles(path=str(tmp_path / "{lang}.vec"))
    VectorsStep(vectors=files, data=data).run(context)
    assert torch.equal(load_spaces(context.directory)["sw"].vectors, torch.ones(1, 2))
    files.paths = {"sw": str(tmp_path / "bad.vec")}
    with raises(CompatibilityError, {"en": 2, "sw": 3}):
        VectorsStep(vectors=files, data=data).run(context)
    with raises(DataError, "'en'", "+word_vectors.paths.en=FILE"):
        VectorsStep(vectors=VectorFiles(paths={"sw": "x"}), data=data).run(context)
    step = VectorsStep(unit=VectorUnit.pieces, base="b", tokenizer="t", vectors=files, data=data)
    with raises(
        DataError, "word_vectors=files", "+word_vectors.paths.target=FILE", "init_method.unit=words"
    ):
        step.run(context)


def test_the_key_follows_the_content_of_files_not_their_place(tmp_path):
    data = MicroworldData(languages=["id"])
    config = SimpleNamespace(seed=0, trainer=SimpleNamespace(precision="32"))

    def key(folder, **options):
        files = VectorFiles(path=f"{tmp_path / folder}/{{lang}}.vec", **options)
        return step_key(VectorsStep(vectors=files, data=data), {}, config).key

    for folder, value in (("one", 1), ("copy", 1), ("other", 2)):
        (tmp_path / folder).mkdir()
        for language in ("en", "id"):
            (tmp_path / folder / f"{language}.vec").write_text(f"1 1\na {value}\n")
    assert key("one") == key("copy")
    assert key("one") != key("other")
    assert key("one") != key("absent")
    assert key("one") != key("one", max_words=1)


def test_the_key_of_trained_vectors_follows_options_unit_and_text():
    config = SimpleNamespace(seed=0, trainer=SimpleNamespace(precision="32"))

    def key(dim=8, languages=("id",), seed=0):
        config.seed = seed
        data = MicroworldData(languages=list(languages), sentences=5, documents=2)
        return step_key(VectorsStep(vectors=TrainedVectors(dim=dim), data=data), {}, config).key

    assert key() == key()
    assert len({key(), key(dim=9), key(languages=("id", "tr")), key(seed=1)}) == 4


def test_faulty_options_are_found_before_any_work():
    assert dict(VectorFiles().faults()).keys() == {"path"}
    assert "lacks {lang}" in faults_of(VectorFiles, path="cc.sw.vec")["path"]
    assert not list(VectorFiles(paths={"sw": "cc.sw.vec"}).faults())


@pytest.mark.parametrize(
    ("override", "files"),
    [
        ('word_vectors.path="cc.{lang}.vec"', {"en": "cc.en.vec", "sw": "cc.sw.vec"}),
        ("+word_vectors.paths.sw=cc.vec", {"en": "", "sw": "cc.vec"}),
    ],
)
def test_files_are_named_on_the_command_line_as_the_messages_say(override, files):
    config = compose_config("word_vectors=files", override, pretrained=False)
    assert config.word_vectors.files(VectorUnit.words, ["en", "sw"]) == files
