import gzip
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from franken.config.checks import collect_faults
from franken.config.data import FileData
from franken.config.eval_set import EvaluationSource
from franken.config.sources import FileFormat, Source
from franken.data import open_data
from franken.data.files import FileSource
from franken.data.source import DataSource, Instruction, Pair
from franken.errors import DataError
from tests.faults import raises


def write_jsonl(path: Path, rows: list[Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))


@pytest.fixture
def config(tmp_path: Path) -> FileData:
    """All roles, two target languages."""
    for lang in ("en", "sw", "ta"):
        write_jsonl(
            tmp_path / "mono" / f"{lang}.jsonl", [{"text": f"{lang} {n}"} for n in range(10)]
        )
    write_jsonl(tmp_path / "mono" / "sw.valid.jsonl", [{"text": "held out"}])
    for lang, word in (("sw", "moja"), ("ta", "ஒன்று")):
        write_jsonl(
            tmp_path / f"en-{lang}.jsonl", [{"translation": {"en": "one", lang: word}}, {
                "translation": {"en": "", lang: "blank"}}],
        )  # fmt: skip
    (tmp_path / "swahili.txt").write_text("one\tmoja\none\tmosi\none\tmoja\nnull\ttupu\n")
    write_jsonl(
        tmp_path / "ask.jsonl",
        [
            {"instruction": "Add", "input": "1 1", "output": "2"},
            {"instruction": "Say hi", "input": "", "output": "hi"},
            {"instruction": "Nothing", "input": "", "output": ""},
        ],
    )
    pair_fields = {"source": "translation.{source}", "target": "translation.{lang}"}
    return FileData(
        languages=["sw", "ta"],
        root=str(tmp_path),
        holdout_every=5,
        monolingual={
            "train": Source("{root}/mono/{lang}.jsonl"),
            "valid": Source("{root}/mono/{lang}.valid.jsonl", languages=["sw"]),
        },
        parallel={"train": Source("{root}/{source}-{lang}.jsonl", fields=pair_fields)},
        lexicon=Source(
            "{root}/{lang}.txt", codes={"sw": "swahili"}, languages=["sw"],
            format=FileFormat.tsv, columns=["source", "target"],
        ),
        instructions={
            "train": Source("{root}/ask.jsonl", fields={"prompt": "instruction",
                                                       "response": "output"})
        },
    )  # fmt: skip


def test_roles(config: FileData) -> None:
    source = open_data(config)
    assert isinstance(source, DataSource)
    config.holdout_every = 0
    assert list(source.texts("monolingual", "sw"))[:2] == ["sw 0", "sw 1"]
    assert list(source.pairs("ta")) == [Pair("one", "ஒன்று")]
    assert source.lexicon("sw") == [("one", "moja"), ("one", "mosi"), ("null", "tupu")]
    assert list(source.instructions()) == [
        Instruction("Add\n1 1\n", "2"),
        Instruction("Say hi\n", "hi"),
    ]
    source.validate()


LEXICON_LAYOUTS = {
    "MUSE": (
        "the die\nthe das\nhouse\thaus\n",
        {"format": FileFormat.words, "columns": ["source", "target"]},
        [("the", "die"), ("the", "das"), ("house", "haus")],
    ),
    "WECHSEL": (
        'sea lion\tSeelöwe\n"quoted\tzitiert\n',
        {"format": FileFormat.tsv, "columns": ["source", "target"]},
        [("sea lion", "Seelöwe"), ('"quoted', "zitiert")],
    ),
    "PanLex": (
        "eng-000\tsea lion\tdeu-000\tSeelöwe\t7\neng-000\thouse\tdeu-000\tHaus\t9\n",
        {"format": FileFormat.tsv, "columns": ["from", "source", "to", "target", "quality"]},
        [("sea lion", "Seelöwe"), ("house", "Haus")],
    ),
    "PanLex with a header": (
        "expr1\texpr2\ttrans_quality\nhouse\tHaus\t9\n",
        {"format": FileFormat.tsv, "fields": {"source": "expr1", "target": "expr2"}},
        [("house", "Haus")],
    ),
}


@pytest.mark.parametrize("layout", LEXICON_LAYOUTS)
def test_lexicons_of_several_makers(layout: str, tmp_path: Path) -> None:
    text, options, expected = LEXICON_LAYOUTS[layout]
    (tmp_path / "de.txt").write_text(text)
    lexicon = Source(str(tmp_path / "{lang}.txt"), **options)
    source = open_data(FileData(languages=["de"], lexicon=lexicon))
    source.validate()
    assert source.lexicon("de") == expected


def test_words_need_columns_and_as_many_on_every_line(tmp_path: Path) -> None:
    (fault,) = collect_faults(Source("x", format=FileFormat.words))
    assert fault.key == "columns"
    (tmp_path / "de.txt").write_text("the die\nNew York Neuyork\n")
    lexicon = Source(
        str(tmp_path / "{lang}.txt"), format=FileFormat.words, columns=["source", "target"]
    )
    with raises(DataError, tmp_path / "de.txt:2", 3, 2, "source, target"):
        open_data(FileData(languages=["de"], lexicon=lexicon)).lexicon("de")


def test_has_goes_by_role_and_language(config: FileData) -> None:
    source = open_data(config)
    assert source.has("monolingual", "en")
    assert source.has("lexicon", "sw")
    assert not source.has("lexicon", "ta")
    assert not source.has("parallel", "en")
    assert source.has("instructions", "en")
    assert not source.has("documents")
    assert not source.has("nonsense", "sw")


def test_held_out_records_are_in_no_training_split(config: FileData) -> None:
    source = open_data(config)
    train, valid = (list(source.texts("monolingual", "en", split)) for split in ("train", "valid"))
    assert valid == ["en 4", "en 9"]
    assert sorted(train + valid) == [f"en {n}" for n in range(10)]
    # Swahili has a validation file of its own, so nothing is held out.
    assert len(list(source.texts("monolingual", "sw"))) == 10
    assert list(source.texts("monolingual", "sw", "valid")) == ["held out"]


def test_packed_files_are_found_by_their_plain_name(config: FileData) -> None:
    plain = Path(config.root) / "mono" / "ta.jsonl"
    plain.with_name("ta.jsonl.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    assert len(list(open_data(config).texts("monolingual", "ta", "valid"))) == 2


def test_shards_by_wildcard_limit_and_lines(config: FileData, tmp_path: Path) -> None:
    for shard in ("b", "a"):
        write_jsonl(tmp_path / "shards" / f"{shard}.jsonl", [{"text": f"{shard}1\n\n{shard}2"}] * 2)
    config.holdout_every = 0
    config.documents = {
        "train": Source("{root}/shards/*.jsonl", languages=["sw"], lines=True, limit=3)
    }
    texts = list(open_data(config).texts("documents", "sw"))
    assert texts == ["a1", "a2", "a1", "a2", "b1", "b2"]


def test_aligned_text_files(config: FileData, tmp_path: Path) -> None:
    (tmp_path / "x.en").write_text("one\ntwo\n")
    (tmp_path / "x.sw").write_text("moja\nmbili\n")
    config.parallel = {
        "train": Source(
            "{root}/x.{source}", target_path="{root}/x.{lang}", format=FileFormat.text,
            languages=["sw"],
        )
    }  # fmt: skip
    source = open_data(config)
    source.validate()
    assert list(source.pairs("sw")) == [Pair("one", "moja"), Pair("two", "mbili")]
    (tmp_path / "x.sw").write_text("moja\n")
    with raises(DataError, "data.parallel.train", tmp_path / "x.en", 2, tmp_path / "x.sw", 1):
        source.validate()
    with raises(DataError, "data.parallel.train", tmp_path / "x.en", tmp_path / "x.sw", 1):
        list(source.pairs("sw"))


def test_fingerprint_follows_the_content(config: FileData, tmp_path: Path) -> None:
    before = open_data(config).fingerprint()
    assert open_data(config).fingerprint() == before
    path = tmp_path / "mono" / "ta.jsonl"
    path.write_text(path.read_text().replace("ta 3", "ta 8"))
    assert open_data(config).fingerprint() != before


@pytest.mark.parametrize(
    "change",
    [
        lambda config: setattr(config, "holdout_every", 7),
        lambda config: setattr(config, "prompt_template", "Q: {prompt}\n"),
        lambda config: setattr(config, "parallel_template", "{from_text} = {to_text}"),
        lambda config: setattr(config, "language_names", {"en": "English", "sw": "Kiswahili"}),
        lambda config: setattr(config.monolingual["train"], "limit", 2),
        lambda config: setattr(config.monolingual["train"], "lines", True),
        lambda config: config.monolingual["train"].fields.update(text="title"),
    ],
    ids=["holdout", "prompt", "template", "names", "limit", "lines", "fields"],
)
def test_fingerprint_follows_how_files_are_read(
    config: FileData, change: Callable[[FileData], None]
) -> None:
    before = open_data(config).fingerprint()
    change(config)
    assert open_data(config).fingerprint() != before


def test_text_of_one_language_does_not_depend_on_the_others(
    config: FileData, tmp_path: Path
) -> None:
    def of_english() -> str:
        return open_data(config).fingerprint(["monolingual"], ["en"])

    before, swahili = of_english(), open_data(config).fingerprint(["monolingual"], ["sw"])
    config.languages.remove("ta")
    assert of_english() == before
    path = tmp_path / "mono" / "sw.jsonl"
    path.write_text(path.read_text().replace("sw 3", "sw 8"))
    assert of_english() == before
    assert open_data(config).fingerprint(["monolingual"], ["sw"]) != swahili


def test_unpinned_hub_data_are_warned_about(
    config: FileData, caplog: pytest.LogCaptureFixture
) -> None:
    config.documents = {"train": Source("owner/set", format=FileFormat.hub, config="{lang}")}
    with caplog.at_level(logging.WARNING):
        unpinned = open_data(config).fingerprint()
    assert "no `revision`" in caplog.text
    config.documents["train"].revision = "abc"
    assert open_data(config).fingerprint() != unpinned


def refused(config: FileData, *names: object) -> None:
    with raises(DataError, *names):
        FileSource(config).validate()


def test_validate_reports_all_faults_at_once(config: FileData, tmp_path: Path) -> None:
    (tmp_path / "mono" / "en.jsonl").write_bytes(b'{"text": "caf\xe9"}\n')
    (tmp_path / "mono" / "ta.jsonl").write_bytes(b"")
    (tmp_path / "en-sw.jsonl").unlink()
    (tmp_path / "swahili.txt").write_text("one\tmoja\nbroken line\n")
    write_jsonl(tmp_path / "ask.jsonl", [{"question": "?", "meta": {"a": 1}}])
    for names in (
        ["en.jsonl:1", 14, "0xe9"],
        ["data.monolingual.train", "'ta'", "ta.jsonl"],
        ["data.parallel.train", "en-sw.jsonl"],
        ["swahili.txt:2", 1, 2, "source, target"],
        ["ask.jsonl:1", "'instruction'", "question, meta.a"],
    ):
        refused(config, *names)


def test_records_of_another_type_are_named(config: FileData, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "mono" / "en.jsonl", [{"text": "a"}] * 5 + [{"text": 5}])
    refused(config, "en.jsonl:6", "'text'", "int 5")


def test_half_characters_are_named(config: FileData, tmp_path: Path) -> None:
    (tmp_path / "mono" / "en.jsonl").write_text('{"text": "a \\ud83d b"}\n')
    refused(config, "en.jsonl:1", 3, "'text'")


def test_blank_files_are_named(config: FileData, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "mono" / "ta.jsonl", [{"text": " "}])
    refused(config, "data.monolingual.train", "'ta'", tmp_path / "mono/ta.jsonl")


def test_one_file_for_two_languages_is_refused(config: FileData, tmp_path: Path) -> None:
    config.documents = {"train": Source("{root}/mono/en.jsonl")}
    refused(config, "data.documents.train", "'en'", "'sw'", tmp_path / "mono/en.jsonl")


def test_late_faults_are_raised_while_reading(config: FileData, tmp_path: Path) -> None:
    rows = ['{"text": "a"}\n'] * 1500 + ['{"txt": "b"}\n']
    (tmp_path / "mono" / "sw.jsonl").write_text("".join(rows))
    source = open_data(config)
    source.validate()
    with raises(DataError, "sw.jsonl:1501", "'text'", "txt"):
        list(source.texts("monolingual", "sw"))


def topics(config: FileData, **options: Any) -> None:
    source = EvaluationSource("{root}/eval/{lang}/{split}.jsonl", schema="sib200", **options)
    config.evaluation = {"topics": source}
    for lang in ("en", "sw", "ta"):
        for split in ("test", "dev"):
            row = {"index_id": 1, "category": "travel", "text": f"{lang} {split}"}
            write_jsonl(Path(config.root) / "eval" / lang / f"{split}.jsonl", [row])


def test_evaluation_sets_by_part(config: FileData) -> None:
    topics(config, splits={"valid": "dev"})
    source = open_data(config)
    source.validate()
    assert source.tasks() == ["topics"]
    assert source.task_languages("topics") == ["en", "sw", "ta"]
    assert source.task_rows("topics", "sw")[0]["text"] == "sw test"
    assert source.task_rows("topics", "sw", "valid")[0]["text"] == "sw dev"
    with raises(DataError, "data.evaluation.topics", "'train'"):
        source.task_rows("topics", "sw", "train")
    with raises(DataError, "data.evaluation.topics", "'xx'", "en, sw, ta"):
        source.task_rows("topics", "xx")
    with raises(DataError, "data.evaluation", "'topcis'", "topics"):
        source.task_rows("topcis", "sw")


def test_evaluation_faults(config: FileData, tmp_path: Path) -> None:
    topics(config)
    write_jsonl(
        tmp_path / "eval" / "sw" / "test.jsonl",
        [{"category": label, "text": "a"} for label in ("travel", "sprots")],
    )
    refused(config, 2, "'sw'", "sib200", "category", "'sprots'")
    config.evaluation["topics"].schema = "sib2000"
    refused(config, "data.evaluation.topics.schema", "'sib2000'", "belebele")


def flores(config: FileData, tmp_path: Path) -> FileSource:
    config.languages = ["sw"]
    config.evaluation = {
        "translation": EvaluationSource(
            "{root}/flores/{lang}.devtest", schema="flores", format=FileFormat.text,
            codes={"en": "eng_Latn", "sw": "swh_Latn"},
        )
    }  # fmt: skip
    (tmp_path / "flores").mkdir()
    (tmp_path / "flores" / "eng_Latn.devtest").write_text("one\ntwo\n")
    (tmp_path / "flores" / "swh_Latn.devtest").write_text("moja\nmbili\n")
    return FileSource(config)


def test_flores_lines_are_joined_by_position(config: FileData, tmp_path: Path) -> None:
    source = flores(config, tmp_path)
    assert source.task_languages("translation") == ["sw"]
    assert source.task_rows("translation", "sw") == [
        {"id": "0", "sentence_en": "one", "sentence_sw": "moja"},
        {"id": "1", "sentence_en": "two", "sentence_sw": "mbili"},
    ]
    (tmp_path / "flores" / "swh_Latn.devtest").write_text("moja\n")
    with raises(
        DataError, "data.evaluation.translation", "eng_Latn.devtest", 2, "swh_Latn.devtest", 1
    ):
        source.task_rows("translation", "sw")


def test_flores_rows_are_joined_by_id(config: FileData, tmp_path: Path) -> None:
    source = flores(config, tmp_path)
    config.evaluation["translation"].format = FileFormat.jsonl
    english = [{"id": 7, "text": "seven"}, {"id": 8, "text": "eight"}]
    swahili = [{"id": 8, "text": "nane"}, {"id": 7, "text": "saba"}]
    write_jsonl(tmp_path / "flores" / "eng_Latn.devtest", english)
    write_jsonl(tmp_path / "flores" / "swh_Latn.devtest", swahili)
    rows = source.task_rows("translation", "sw")
    assert [(row["sentence_en"], row["sentence_sw"]) for row in rows] == [
        ("seven", "saba"),
        ("eight", "nane"),
    ]


def test_flores_pair_rows_are_renamed(config: FileData, tmp_path: Path) -> None:
    source = flores(config, tmp_path)
    config.evaluation["translation"].format = FileFormat.jsonl
    pair = {"id": 3, "sentence_eng_Latn": "one", "sentence_swh_Latn": "moja"}
    write_jsonl(tmp_path / "flores" / "swh_Latn.devtest", [pair])
    assert source.task_rows("translation", "sw") == [
        {"id": "3", "sentence_en": "one", "sentence_sw": "moja"}
    ]
