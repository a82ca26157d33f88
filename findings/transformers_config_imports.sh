#!/usr/bin/env bash
# transformers: to read a Llama config.json where torch is installed imports torch, its distributed
# tensors and sympy: the config's type validators import the activations, these the hub's kernels, these
# the loading of models. Seconds of processor time for a file of 700 bytes.
# Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 torch==2.13.0
"$folder/venv/bin/python" - "$folder/model" <<'PYTHON'
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

place = Path(sys.argv[1])
place.mkdir()
(place / "config.json").write_text(json.dumps({"model_type": "llama", "vocab_size": 100}))
print("transformers", version("transformers"), "torch", version("torch"))
began = time.process_time()
import torch  # noqa: E402, F401

only = time.process_time() - began
from transformers import AutoConfig  # noqa: E402

AutoConfig.from_pretrained(place)
print(f"torch alone {only:.2f} s, reading the config besides {time.process_time() - began - only:.2f} s")
found = [
    name
    for name in ("sympy", "torch.distributed.tensor", "transformers.core_model_loading")
    if name in sys.modules
]
print("imported for a config:", ", ".join(found))
assert "sympy" in found and "transformers.core_model_loading" in found, "configs are light now"
PYTHON
