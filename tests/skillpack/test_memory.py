"""Packing is streamed: its memory is that of a few tensors, whatever the number of layers."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig

from franken.parts import safetensors_file
from franken.parts.weights import BLOCK_BYTES
from franken.seeds import derive_seed

HIDDEN, INNER, ROWS = 512, 1024, 16_384
LARGEST = 4 * ROWS * HIDDEN
"""Bytes of the table in float32."""

PACK = """
import json, sys
from pathlib import Path
from franken.measure import measured
from franken.parts.weights import StoredWeights
from franken.skillpack import pack_difference
from tests.skillpack.pairs import policy

def pack(place, out):
    base, tuned = (StoredWeights.of_checkpoint(place / part) for part in ("base", "tuned"))
    options = ("pack.schedule_width=null", "pack.schedule=graft82", "pack.svd.method=randomized",
               "pack.schedules.graft82.attn=[[4, 4]]", "pack.schedules.graft82.mlp=[[4, 4]]")
    pack_difference(base, tuned, policy("module_aware", *options), out, name="x")

small, large = map(Path, sys.argv[1:])
pack(small, small / "pack")  # libraries and their buffers are in memory now
with measured() as cost:
    pack(large, large / "pack")
print(json.dumps(cost.peak_bytes))
"""


def write_pair(directory: Path, layers: int, rows: int, hidden: int, inner: int) -> Path:
    config = AutoConfig.for_model(
        "llama", vocab_size=rows, hidden_size=hidden, intermediate_size=inner,
        num_hidden_layers=layers, num_attention_heads=4, num_key_value_heads=4,
        tie_word_embeddings=True,
    )  # fmt: skip
    shapes = {"model.embed_tokens.weight": (rows, hidden), "model.norm.weight": (hidden,)}
    for layer in range(layers):
        head = f"model.layers.{layer}"
        shapes |= {f"{head}.self_attn.{r}_proj.weight": (hidden, hidden) for r in "qkvo"}
        shapes |= {f"{head}.mlp.{r}_proj.weight": (inner, hidden) for r in ("gate", "up")}
        shapes |= {f"{head}.mlp.down_proj.weight": (hidden, inner)}
        shapes |= {f"{head}.{n}_layernorm.weight": (hidden,) for n in ("input", "post_attention")}

    def entry(name, shape, size):
        def values(start, stop):
            generator = torch.Generator().manual_seed(derive_seed(0, name, start))
            base, change = torch.randn(2, stop - start, *shape[1:], generator=generator) * 0.02
            return base + size * change

        return safetensors_file.computed_entry(name, shape, torch.bfloat16, values)

    for folder, size in (("base", 0.0), ("tuned", 0.1)):
        (directory / folder).mkdir(parents=True)
        config.save_pretrained(directory / folder)
        safetensors_file.write_file(
            directory / folder / "model.safetensors",
            [entry(name, shape, size) for name, shape in shapes.items()], {"format": "pt"},
        )  # fmt: skip
    return directory


@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is read as Linux reports it")
def test_memory_is_that_of_a_few_tensors_whatever_the_number_of_layers(tmp_path):
    small = write_pair(tmp_path / "small", 1, 64, 64, 128)
    grown = {}
    for layers in (2, 8):
        place = write_pair(tmp_path / str(layers), layers, ROWS, HIDDEN, INNER)
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", PACK, str(small), str(place)],
            capture_output=True, text=True,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        grown[layers] = json.loads(done.stdout.splitlines()[-1])
        for file in (*place.rglob("*.safetensors"), *(small / "pack").rglob("*.*")):
            file.unlink()
        (small / "pack").rmdir()
    six_layers = 6 * 4 * (4 * HIDDEN * HIDDEN + 3 * HIDDEN * INNER)
    # Some blocks stay with the allocator; both models and their difference would be 235 MB.
    assert grown[8] < 3 * LARGEST + 8 * BLOCK_BYTES
    assert grown[8] < grown[2] + 0.75 * six_layers  # two models and a difference: 2 six_layers
