import json

import pytest
import torch

from franken.errors import ArtifactError, CompatibilityError
from franken.parts.anatomy import anatomy_of
from franken.parts.fingerprint import body_fingerprint
from franken.parts.table import (
    Table,
    all_finite,
    check_table,
    load_table,
    save_table,
    table_of_checkpoint,
)
from franken.parts.tokenizer_files import save_tokenizer
from tests.faults import raises
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer


def make_table(*, rows=100, tied=False, bias=False, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)

    def draw(*shape):
        return torch.randn(*shape, generator=generator).to(dtype)

    return Table(
        tiny_tokenizer(),
        draw(rows, 16),
        None if tied else draw(rows, 16),
        draw(rows) if bias else None,
        "a" * 64,
        {"method": "random", "counts": {"copied": 3}},
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("tied", [True, False])
def test_a_table_survives_saving(tied, bias, dtype, tmp_path):
    table = make_table(tied=tied, bias=bias, dtype=dtype)
    save_table(table, tmp_path)
    loaded = load_table(tmp_path)
    assert loaded.matrices().keys() == table.matrices().keys()
    for name, matrix in table.matrices().items():
        assert loaded.matrices()[name].dtype == dtype
        assert torch.equal(loaded.matrices()[name], matrix)
    assert (loaded.rows, loaded.hidden_size, loaded.tied) == (100, 16, tied)
    assert (loaded.lineage, loaded.provenance) == (table.lineage, table.provenance)
    assert loaded.tokenizer.get_vocab() == table.tokenizer.get_vocab()


def test_saving_the_same_table_twice_writes_the_same_bytes(tmp_path):
    for name in ("one", "two"):
        save_table(make_table(), tmp_path / name)
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def _flip_byte(path, position=-5):
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(bytes(data))


def test_a_flipped_byte_in_the_rows_is_refused(tmp_path):
    save_table(make_table(), tmp_path)
    _flip_byte(tmp_path / "table.safetensors")
    with raises(ArtifactError, tmp_path / "table.safetensors", "sha256"):
        load_table(tmp_path)


def test_a_truncated_file_is_refused(tmp_path):
    save_table(make_table(), tmp_path)
    path = tmp_path / "table.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with raises(ArtifactError, tmp_path / "table.safetensors", path.stat().st_size):
        load_table(tmp_path)


def test_another_tokenizer_is_refused(tmp_path):
    save_table(make_table(), tmp_path)
    save_tokenizer(tiny_tokenizer(size=90), tmp_path)
    with raises(ArtifactError, tmp_path, "sha256", "table.json"):
        load_table(tmp_path)


def test_wrong_kinds_are_named(tmp_path):
    with raises(ArtifactError, tmp_path, "table.json"):
        load_table(tmp_path)
    path = tmp_path / "table.json"
    path.write_text(json.dumps({"kind": "body", "schema": 1}))
    with raises(ArtifactError, path, "'body'"):
        load_table(tmp_path)
    path.write_text(json.dumps({"kind": "table", "schema": 99}))
    with raises(ArtifactError, path, "schema 99"):
        load_table(tmp_path)
    path.write_text("{")
    with raises(ArtifactError, path, "line 1 column 2"):
        load_table(tmp_path)


def test_a_description_that_disagrees_with_the_rows_is_refused(tmp_path):
    save_table(make_table(), tmp_path)
    path = tmp_path / "table.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"rows": 101}))
    with raises(ArtifactError, tmp_path / "table.safetensors", "input", (100, 16), (101, 16)):
        load_table(tmp_path)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"tied": True}))
    with raises(ArtifactError, tmp_path / "table.safetensors", ["input", "output"], ["input"]):
        load_table(tmp_path)


def test_a_row_that_is_not_finite_is_named_with_its_token(tmp_path):
    table = make_table()
    table.output[5, 3] = float("nan")
    with raises(CompatibilityError, "table.output", "row 5", "'<end_of_turn>'"):
        save_table(table, tmp_path)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    ("values", "finite"),
    [
        ([1.0, -2.0], True),
        ([6e4, 6e4], True),
        ([3e38, 3e38], True),
        ([torch.inf, -torch.inf], False),
        ([torch.nan, 0.0], False),
    ],
)
def test_finite_rows_are_told_from_others_even_where_their_sum_overflows(values, finite, dtype):
    tensor = torch.tensor(values).to(dtype)
    too_large = dtype == torch.float16 and max(values) > 1e5
    assert all_finite(tensor) == (finite and not too_large)


def test_a_token_without_a_row_is_named():
    with raises(CompatibilityError, 90, 6):
        check_table(make_table(rows=90))


def test_shapes_and_formats_are_checked():
    table = make_table()
    table.output = table.output[:-1]
    with raises(CompatibilityError, "table.output", (99, 16), (100, 16)):
        check_table(table)
    table = make_table(tied=True)
    table.input = table.input.int()
    with raises(CompatibilityError, "table.input", torch.int32):
        check_table(table)


@pytest.mark.parametrize("tied", [True, False])
def test_the_table_of_a_checkpoint_is_its_rows_and_its_body_the_lineage(tied, tmp_path):
    model = tiny_model("phi", tied=tied, rows=100, dtype=torch.bfloat16)
    save_checkpoint(model, tiny_tokenizer(), tmp_path, max_shard_size="8KB")
    table = table_of_checkpoint(tmp_path)
    assert torch.equal(table.input, model.get_input_embeddings().weight)
    assert torch.equal(table.output_bias, model.get_output_embeddings().bias)
    assert table.tied == tied
    if not tied:
        assert torch.equal(table.output, model.get_output_embeddings().weight)
    assert table.lineage == body_fingerprint(tmp_path, anatomy_of(model.config))


def test_a_checkpoint_without_its_table_is_named(tmp_path):
    model = tiny_model("llama", tied=False)
    tensors = {n: t for n, t in model.state_dict().items() if "lm_head" not in n}
    save_checkpoint(model, tiny_tokenizer(), tmp_path, state_dict=tensors)
    with raises(ArtifactError, tmp_path, "lm_head.weight"):
        table_of_checkpoint(tmp_path)
