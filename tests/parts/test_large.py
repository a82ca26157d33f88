"""Tables and checkpoints that are not held: the bytes of those in memory, and what is read."""

import os

import pytest
import torch

from franken.declare import find
from franken.files import copy_file
from franken.init_method import InitResources, initialise
from franken.parts import safetensors_file
from franken.parts.body_files import copy_body
from franken.parts.checkpoint import Checkpoint
from franken.parts.disk_surgery import replace_tables_on_disk
from franken.parts.export import export_model
from franken.parts.model import ref_of
from franken.parts.safetensors_file import computed_entry, read_header, write_file
from franken.parts.table import load_table, save_table, table_of_checkpoint
from franken.parts.table_rows import open_rows, rows_of_checkpoint, save_rows
from franken.steps.common.initialise_large import initialise_large
from tests.faults import raises
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer

HOLE = 1 << 20


@pytest.fixture
def source(tmp_path):
    """Sharded, untied, in bfloat16, as large checkpoints come."""
    model = tiny_model("llama", tied=False, rows=100, dtype=torch.bfloat16)
    return save_checkpoint(model, tiny_tokenizer(), tmp_path / "source", max_shard_size="4KB")


def same_files(one, other):
    names = sorted(path.name for path in one.iterdir())
    assert names == sorted(path.name for path in other.iterdir())
    for name in names:
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


def test_a_table_streamed_from_a_checkpoint_is_the_one_that_is_read_whole(source, tmp_path):
    held = table_of_checkpoint(source)
    save_table(held, tmp_path / "held")
    save_rows(rows_of_checkpoint(source), tmp_path / "streamed", held.provenance)
    same_files(tmp_path / "held", tmp_path / "streamed")
    mapped = load_table(tmp_path / "streamed", mapped=True)
    assert torch.equal(mapped.input, held.input)
    assert torch.equal(mapped.output, held.output)


@pytest.mark.parametrize("name", ["multivariate"])
def test_initialising_from_disk_to_disk_gives_the_same_bytes(name, source, tmp_path):
    old = table_of_checkpoint(source)
    save_table(old, tmp_path / "old")
    method, target = find("init_method", name)(), tiny_tokenizer(size=105)
    resources = InitResources("en", ["sw"], texts=lambda _: iter(["mto unapita"]))
    table, token_map = initialise(old, target, method, resources, 3)
    save_table(table, tmp_path / "held")
    mapped = load_table(tmp_path / "old", mapped=True)
    found, found_map = initialise_large(
        tmp_path / "old", mapped, target, method, resources, 3, tmp_path / "streamed"
    )
    same_files(tmp_path / "held", tmp_path / "streamed")
    assert torch.equal(found.input, table.input)
    assert torch.equal(found_map.indices, token_map.indices)


def test_a_head_of_its_own_is_made_from_disk_to_disk_too(tmp_path):
    model = tiny_model("llama", tied=True, rows=100)
    old = table_of_checkpoint(save_checkpoint(model, tiny_tokenizer(), tmp_path / "tied"))
    save_table(old, tmp_path / "old")
    method, target = find("init_method", "weighted_pooling")(untie=True), tiny_tokenizer(size=105)
    table, _ = initialise(old, target, method, InitResources(), 3)
    save_table(table, tmp_path / "held")
    mapped = load_table(tmp_path / "old", mapped=True)
    found, _ = initialise_large(
        tmp_path / "old", mapped, target, method, InitResources(), 3, tmp_path / "streamed"
    )
    same_files(tmp_path / "held", tmp_path / "streamed")
    assert found.output is not None


def test_rows_that_are_not_finite_are_refused_while_they_are_written(source, tmp_path):
    from franken.errors import ArtifactError

    rows = rows_of_checkpoint(source)
    rows.readers["output"] = lambda start, stop: torch.full((stop - start, 16), torch.nan)
    with raises(ArtifactError, "table.output", 0, 100):
        save_rows(rows, tmp_path / "bad", {})
    assert not (tmp_path / "bad" / "table.json").exists()


def test_surgery_reads_of_the_body_only_what_its_fingerprint_samples(source, tmp_path, monkeypatch):
    save_rows(rows_of_checkpoint(source), tmp_path / "table", {})
    read = []
    plain = safetensors_file._read

    def spy(path, item, offset, shape):
        read.append((item.name, shape))
        return plain(path, item, offset, shape)

    monkeypatch.setattr(safetensors_file, "_read", spy)
    replace_tables_on_disk(source, tmp_path / "table", tmp_path / "target")
    assert {name for name, _ in read} <= {"input", "output"}
    body_only = [
        path for path, names in Checkpoint(source).shards().items()
        if not any("embed_tokens" in name or "lm_head" in name for name in names)
    ]  # fmt: skip
    assert body_only
    assert all((tmp_path / "target" / path.name).samefile(path) for path in body_only)


def test_a_large_row_block_is_all_that_is_asked_for_at_once(source, tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "CHUNK_BYTES", 16 * 2 * 10)  # ten rows
    asked = []
    rows = rows_of_checkpoint(source)
    for part, reader in list(rows.readers.items()):
        rows.readers[part] = lambda a, b, reader=reader: asked.append(b - a) or reader(a, b)
    save_rows(rows, tmp_path / "table", {})
    assert set(asked) == {10}
    same = open_rows(tmp_path / "table").reader("output")(0, 100)
    assert torch.equal(same, table_of_checkpoint(source).output)


def written(path):
    return 512 * os.stat(path).st_blocks


@pytest.fixture
def sparse(tmp_path):
    """A file of three megabytes, of which the middle one is written."""
    path = tmp_path / "sparse"
    with open(path, "wb") as handle:
        handle.truncate(3 * HOLE)
        handle.seek(HOLE)
        handle.write(b"x" * HOLE)
    if written(path) > 2 * HOLE:
        pytest.skip("this file system keeps no holes")
    return path


@pytest.mark.parametrize("system", [True, False], ids=["by_the_system", "by_hand"])
def test_holes_are_kept_in_copies(system, sparse, tmp_path, monkeypatch):
    if not system:
        monkeypatch.delattr(os, "copy_file_range", raising=False)
    copy_file(sparse, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == sparse.read_bytes()
    assert written(tmp_path / "copy") <= 2 * HOLE


def test_zeros_become_holes_and_read_as_zeros(sparse, tmp_path):
    values = torch.zeros(768, 1024)
    values[256:512] = 1
    entry = computed_entry("w", (768, 1024), torch.float32, lambda a, b: values[a:b])
    write_file(tmp_path / "file", [entry], {})
    item = read_header(tmp_path / "file")[0]["w"]
    assert torch.equal(safetensors_file.read_tensor(tmp_path / "file", item), values)


def test_an_export_of_streamed_parts_is_the_checkpoint_again(source, tmp_path):
    rows = rows_of_checkpoint(source)
    copy_body(Checkpoint(source), tmp_path / "body", tokenizer=rows.tokenizer)
    save_rows(rows, tmp_path / "table", {})
    export_model(ref_of(tmp_path / "body", tmp_path / "table"), tmp_path / "out", card="card")
    old, new = Checkpoint(source), Checkpoint(tmp_path / "out")
    assert old.names() == new.names()
    assert all(torch.equal(old.tensor(name), new.tensor(name)) for name in old.names())
