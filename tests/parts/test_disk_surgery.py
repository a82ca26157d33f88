"""Surgery on checkpoints on disk: equal to surgery in memory, without touching the body."""

import json
from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, GenerationConfig

from franken.errors import ArtifactError, CompatibilityError
from franken.parts import disk_surgery, safetensors_file
from franken.parts.anatomy import anatomy_of
from franken.parts.body import save_body
from franken.parts.checkpoint import Checkpoint
from franken.parts.disk_surgery import replace_tables_on_disk
from franken.parts.fingerprint import body_fingerprint
from franken.parts.surgery import put_table
from franken.parts.table import save_table
from franken.parts.tokenizer_files import tokenizer_identity
from tests.faults import raises
from tests.parts.test_table import make_table
from tests.parts.tiny import (
    TEXT_FAMILIES,
    logits_of,
    save_checkpoint,
    some_ids,
    tiny_model,
    tiny_tokenizer,
)


def table_for(directory, *, tied, rows=120):
    config = AutoConfig.from_pretrained(directory)
    anatomy = anatomy_of(config)
    return replace(
        make_table(rows=rows, tied=tied, bias=anatomy.head_bias is not None),
        tokenizer=tiny_tokenizer(size=105),
        lineage=body_fingerprint(directory, anatomy),
    )


@pytest.mark.parametrize("to_tied", [True, False], ids=["to_tied", "to_untied"])
@pytest.mark.parametrize("from_tied", [True, False], ids=["from_tied", "from_untied"])
@pytest.mark.parametrize("family", TEXT_FAMILIES)
def test_surgery_on_disk_equals_surgery_in_memory(family, from_tied, to_tied, tmp_path):
    size = "8KB" if family in ("llama", "gemma2", "gpt_neox", "phi") else "5GB"
    source = save_checkpoint(
        tiny_model(family, tied=from_tied, rows=100),
        tiny_tokenizer(),
        tmp_path / "source",
        max_shard_size=size,
    )
    table = table_for(source, tied=to_tied)
    replace_tables_on_disk(source, table, tmp_path / "target")

    expected = AutoModelForCausalLM.from_pretrained(source)
    put_table(expected, table, previous=tiny_tokenizer())
    found, report = AutoModelForCausalLM.from_pretrained(
        tmp_path / "target", output_loading_info=True
    )
    assert not any(report.values())
    ids = some_ids(105)
    assert torch.equal(logits_of(found, ids), logits_of(expected, ids))
    for name, tensor in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name
    earlier = {"_name_or_path", "rope_theta", "partial_rotary_factor"}  # names of version 4, added
    both = (model.config.to_dict() for model in (found, expected))
    mine, theirs = ({k: v for k, v in config.items() if k not in earlier} for config in both)
    assert mine == theirs
    loaded = AutoTokenizer.from_pretrained(tmp_path / "target")
    assert tokenizer_identity(loaded) == tokenizer_identity(table.tokenizer)
    anatomy = anatomy_of(found.config)
    assert body_fingerprint(tmp_path / "target", anatomy) == table.lineage


@pytest.fixture
def sharded(tmp_path):
    model = tiny_model("llama", tied=False, rows=100, dtype=torch.bfloat16)
    model.generation_config.eos_token_id = [1, 5]
    return save_checkpoint(model, tiny_tokenizer(), tmp_path / "source", max_shard_size="4KB")


def test_body_shards_are_linked_or_copied_as_asked(sharded, tmp_path):
    table = table_for(sharded, tied=False)
    replace_tables_on_disk(sharded, table, tmp_path / "linked")
    replace_tables_on_disk(sharded, table, tmp_path / "copied", link=False)
    anatomy = Checkpoint(sharded).anatomy()
    shards = Checkpoint(sharded).shards()
    body_only = [p for p, names in shards.items() if not any(map(anatomy.is_table_tensor, names))]
    assert 0 < len(body_only) < len(shards)
    for path in body_only:
        assert (tmp_path / "linked" / path.name).samefile(path)
        assert not (tmp_path / "copied" / path.name).samefile(path)
        assert (tmp_path / "copied" / path.name).read_bytes() == path.read_bytes()


def test_only_shards_with_tables_are_read(sharded, tmp_path, monkeypatch):
    read = set()
    original = safetensors_file.copied_entry

    def spy(path, item, name=None):
        read.add(path)
        return original(path, item, name)

    monkeypatch.setattr(disk_surgery, "copied_entry", spy)
    replace_tables_on_disk(sharded, table_for(sharded, tied=True), tmp_path / "target")
    with_tables = {
        path
        for path, names in Checkpoint(sharded).shards().items()
        if "model.embed_tokens.weight" in names or "lm_head.weight" in names
    }
    assert read <= with_tables


def test_a_file_system_without_links_gets_copies(sharded, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr("os.link", refuse)
    replace_tables_on_disk(sharded, table_for(sharded, tied=True), tmp_path / "target")
    AutoModelForCausalLM.from_pretrained(tmp_path / "target")


def test_the_index_tells_the_true_size(sharded, tmp_path):
    replace_tables_on_disk(sharded, table_for(sharded, tied=True), tmp_path / "target")
    index = json.loads((tmp_path / "target" / "model.safetensors.index.json").read_text())
    checkpoint = Checkpoint(tmp_path / "target")
    sizes = [checkpoint.range(name).bytes_count for name in checkpoint.names()]
    assert index["metadata"]["total_size"] == sum(sizes)
    assert "lm_head.weight" not in index["weight_map"]
    on_disk = {path.name for path in (tmp_path / "target").glob("*.safetensors")}
    assert on_disk == set(index["weight_map"].values())


def test_rows_take_the_number_format_of_the_rows_they_replace(sharded, tmp_path):
    table = table_for(sharded, tied=False)
    replace_tables_on_disk(sharded, table, tmp_path / "target")
    found = Checkpoint(tmp_path / "target").tensor("lm_head.weight")
    assert torch.equal(found, table.output.bfloat16())


def test_end_tokens_old_files_and_licences(sharded, tmp_path):
    for name in ("tokenizer.model", "vocab.json", "LICENSE", "README.md", "pytorch_model.bin"):
        (sharded / name).write_text("{}")
    replace_tables_on_disk(sharded, table_for(sharded, tied=False), tmp_path / "target")
    names = {path.name for path in (tmp_path / "target").iterdir()}
    assert "LICENSE" in names
    assert not names & {"tokenizer.model", "vocab.json", "README.md", "pytorch_model.bin"}
    generation = GenerationConfig.from_pretrained(tmp_path / "target")
    assert generation.eos_token_id == [1, 5]


@pytest.mark.parametrize("link", [True, False])
def test_a_table_directory_is_streamed_onto_a_body_without_table(link, tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "CHUNK_BYTES", 64)
    model = tiny_model("phi", tied=False, rows=100)
    lineage = save_body(model, tmp_path / "body", tokenizer=tiny_tokenizer())
    table = replace(make_table(rows=120, bias=True), lineage=lineage)
    save_table(table, tmp_path / "table")
    replace_tables_on_disk(tmp_path / "body", tmp_path / "table", tmp_path / "target", link=link)
    put_table(model, table, previous=tiny_tokenizer())
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "target")
    assert torch.equal(logits_of(found, some_ids(96)), logits_of(model, some_ids(96)))
    single = (tmp_path / "target" / "model.safetensors").exists()
    assert single != link


def test_a_donor_of_the_lineage_is_accepted_when_it_is_named(sharded, tmp_path):
    table = replace(table_for(sharded, tied=True), lineage="a" * 64)
    with raises(CompatibilityError, "a" * 12, sharded, "lineage"):
        replace_tables_on_disk(sharded, table, tmp_path / "target")
    replace_tables_on_disk(sharded, table, tmp_path / "target", lineage="a" * 64)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"input": torch.zeros(120, 8)}, [8, 16]),
        ({"output_bias": torch.zeros(120)}, ["llama", "bias"]),
        ({"input": torch.full((120, 16), torch.nan)}, ["table.input", "row 0", "'<pad>'"]),
    ],
)
def test_a_table_that_does_not_fit_leaves_nothing_behind(sharded, change, names, tmp_path):
    table = replace(table_for(sharded, tied=True), **change)
    with raises(CompatibilityError, *names):
        replace_tables_on_disk(sharded, table, tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_failure_half_way_leaves_nothing_behind(sharded, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(disk_surgery, "write_file", full)
    with raises(OSError, "[Errno 28]"):
        replace_tables_on_disk(sharded, table_for(sharded, tied=True), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_an_existing_target_is_refused_and_kept(sharded, tmp_path):
    (tmp_path / "target").mkdir()
    (tmp_path / "target" / "precious").write_text("x")
    with raises(ArtifactError, tmp_path / "target"):
        replace_tables_on_disk(sharded, table_for(sharded, tied=True), tmp_path / "target")
    assert (tmp_path / "target" / "precious").read_text() == "x"


def test_rows_that_are_not_finite_are_noticed_while_streaming(sharded, tmp_path):
    table = table_for(sharded, tied=True)
    save_table(table, tmp_path / "table")
    _poison(tmp_path / "table")
    with raises(ArtifactError, "table.input", 0, 120):
        replace_tables_on_disk(sharded, tmp_path / "table", tmp_path / "target")


def _poison(directory):
    """A NaN under a correct checksum."""
    from franken.files import sha256_file

    path = directory / "table.safetensors"
    data = bytearray(path.read_bytes())
    data[-4:] = b"\xff\xff\xff\x7f"
    path.write_bytes(bytes(data))
    description = json.loads((directory / "table.json").read_text())
    description["weights_sha256"] = sha256_file(path)
    (directory / "table.json").write_text(json.dumps(description))
