import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from franken.errors import ArtifactError
from franken.parts import safetensors_file
from franken.parts.safetensors_file import (
    computed_entry,
    copied_entry,
    read_header,
    read_rows,
    read_tensor,
    tensor_entry,
    write_file,
)
from tests.faults import raises

TENSORS = {
    "a": torch.arange(12, dtype=torch.bfloat16).view(4, 3),
    "b": torch.randn(5, 2, generator=torch.Generator().manual_seed(0)),
    "c": torch.tensor([True, False, True]),
    "d": torch.zeros(0, 3),
    "e": torch.tensor(3, dtype=torch.int64),
}


def test_reading_agrees_with_the_reference_implementation(tmp_path):
    save_file(TENSORS, tmp_path / "x.safetensors", metadata={"format": "pt"})
    ranges, metadata = read_header(tmp_path / "x.safetensors")
    assert metadata == {"format": "pt"}
    assert set(ranges) == set(TENSORS)
    for name, tensor in TENSORS.items():
        read = read_tensor(tmp_path / "x.safetensors", ranges[name])
        assert read.dtype == tensor.dtype
        assert torch.equal(read, tensor)
    rows = read_rows(tmp_path / "x.safetensors", ranges["a"], 1, 3)
    assert torch.equal(rows, TENSORS["a"][1:3])


def test_the_reference_implementation_reads_what_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(safetensors_file, "CHUNK_BYTES", 5)
    monkeypatch.setattr(safetensors_file, "COPY_BYTES", 5)
    source = tmp_path / "source.safetensors"
    save_file(TENSORS, source)
    ranges, _ = read_header(source)
    big = torch.arange(20.0).view(10, 2)
    entries = [copied_entry(source, item) for name, item in ranges.items() if name != "b"]
    entries.append(tensor_entry("b", TENSORS["b"].T.contiguous().T))
    entries.append(computed_entry("f", (10, 2), torch.bfloat16, lambda i, j: big[i:j]))
    write_file(tmp_path / "y.safetensors", entries, {"format": "pt"})

    found = load_file(tmp_path / "y.safetensors")
    expected = TENSORS | {"f": big.bfloat16()}
    assert set(found) == set(expected)
    assert all(torch.equal(found[name], tensor) for name, tensor in expected.items())
    with safe_open(tmp_path / "y.safetensors", "pt") as handle:
        assert handle.metadata() == {"format": "pt"}
    starts = [item.start for item in read_header(tmp_path / "y.safetensors")[0].values()]
    assert min(starts) % 8 == 0


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (lambda data: data[:-3], [363, 360]),
        (lambda data: data + b"x", [363, 364]),
        (lambda data: data[:5], [5]),
        (lambda data: b"\xff" * 8 + data[8:], [363]),
        (lambda data: data[:8] + b"[" + data[9:], ["line 1 column 5"]),
    ],
)
def test_damage_is_named(tmp_path, damage, names):
    path = tmp_path / "x.safetensors"
    save_file(TENSORS, path)
    path.write_bytes(damage(path.read_bytes()))
    with raises(ArtifactError, path, *names):
        read_header(path)


def test_a_source_that_shrinks_while_it_is_copied_is_noticed(tmp_path):
    path = tmp_path / "x.safetensors"
    save_file({"a": torch.zeros(64)}, path)
    entry = copied_entry(path, read_header(path)[0]["a"])
    path.write_bytes(path.read_bytes()[:-8])
    with raises(ArtifactError, path, "'a'"):
        write_file(tmp_path / "y.safetensors", [entry], {})
