#!/usr/bin/env bash
# liger-kernel: its fused linear cross-entropy chooses the length of its chunks by rows / width of the
# table, so that 262,144 x 256 (1,024 to 1) gives chunks of two positions out of 2,048, each of which
# adds to the whole gradient of the table; and the package imports `packaging`, which it does not
# declare. Shown at 8,192 x 8 with Triton's interpreter, as there is no need of a GPU. Exits non-zero
# if this changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet liger-kernel==0.8.5 torch==2.13.0 numpy
if "$folder/venv/bin/python" -c "import liger_kernel.ops.utils" 2> "$folder/error"; then
    echo "imports without packaging: changed"
    exit 1
fi
tail -1 "$folder/error"
"$folder/venv/bin/pip" install --quiet packaging
TRITON_INTERPRET=1 "$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from liger_kernel.transformers.functional import liger_fused_linear_cross_entropy

print("liger-kernel", version("liger-kernel"), "torch", torch.__version__)
ROWS, WIDTH, POSITIONS = 8192, 8, 64
products = []


class Watch(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "mm" in function.overloadpacket.__name__ and args[0].shape[-1] == WIDTH:
            products.append(tuple(args[0].shape))
        return function(*args, **(kwargs or {}))


states = torch.randn(POSITIONS, WIDTH, requires_grad=True)
weight = torch.randn(ROWS, WIDTH, requires_grad=True)
with Watch():
    loss = liger_fused_linear_cross_entropy(states, weight, torch.randint(0, ROWS, (POSITIONS,)))
sizes = sorted({rows for rows, _ in products if rows <= POSITIONS})
print("positions per product of states and table:", sizes, "of", POSITIONS)
assert sizes == [1], sizes
PYTHON
