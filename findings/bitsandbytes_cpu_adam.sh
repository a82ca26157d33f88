#!/usr/bin/env bash
# bitsandbytes: on a CPU, AdamW with its moments in 8 bits needs more memory in a step than the moments
# of plain AdamW have: whole tensors are widened, both moments, the gradient, the weights, quotients.
# Exits non-zero if this changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet bitsandbytes==0.50.2 torch==2.13.0 numpy
for way in plain 8bit; do
    OMP_NUM_THREADS=1 "$folder/venv/bin/python" - "$way" "$folder/$way" <<'PYTHON'
import functools
import resource
import sys
from importlib.metadata import version
from pathlib import Path

import bitsandbytes
import torch


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


way, out = sys.argv[1:]
plain = functools.partial(torch.optim.AdamW, fused=True)
made = {"plain": plain, "8bit": bitsandbytes.optim.AdamW8bit}[way]
small = torch.nn.Parameter(torch.ones(64, 1024))
small.grad = torch.ones_like(small)
made([small], lr=1e-3).step()  # what the libraries allocate once
table = torch.nn.Parameter(torch.ones(32 * 1024, 1024))
table.grad = torch.ones_like(table)
before = peak()
made([table], lr=1e-3).step()
found = peak() - before
print("bitsandbytes", version("bitsandbytes"), "torch", torch.__version__, way, end=": ")
print(f"{found:.0f} MB more at the peak of a step over {table.numel() * 4 / 1e6:.0f} MB of weights")
Path(out).write_text(str(found))
PYTHON
done
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

plain, narrow = (float((Path(sys.argv[1]) / way).read_text()) for way in ("plain", "8bit"))
assert narrow > 1.5 * plain, "moments of 8 bits take less than those of 32"
PYTHON
