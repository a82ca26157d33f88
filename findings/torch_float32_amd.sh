#!/usr/bin/env bash
# torch 2.13.0 (CPU wheel): a float32 product of matrices goes to MKL on any processor, and MKL gives AMD's
# its AVX2 code even where they have AVX-512 (Zen 4 and 5). oneDNN, in the same wheel and on the same
# numbers, takes half the time, but is asked for float32 by layers alone that torch.compile has packed.
# Shown by turns on one thread. Elsewhere than on an AMD processor with AVX-512 there is nothing to
# show. Exits non-zero if this changed.
set -euo pipefail
if ! grep -q AuthenticAMD /proc/cpuinfo || ! grep -qw avx512f /proc/cpuinfo; then
    echo "no AMD processor with AVX-512 here: nothing to show"
    exit 0
fi
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy
MKL_VERBOSE=1 "$folder/venv/bin/python" - > "$folder/output" <<'PYTHON'
import time

import torch
from torch.profiler import profile

torch.set_num_threads(1)
print("torch", torch.__version__, "float32 precision", torch.get_float32_matmul_precision())
inputs, weights = torch.randn(512, 576), torch.randn(2048, 576)
ways = {
    "mm": lambda: inputs @ weights.T,
    "oneDNN": lambda: torch.ops.mkldnn._linear_pointwise(inputs, weights, None, "none", [], ""),
}
taken = {name: [] for name in ways}
for _ in range(20):
    for name, way in ways.items():
        start = time.process_time()
        way()
        taken[name].append(time.process_time() - start)
best = {name: min(times) for name, times in taken.items()}
work = 2 * 512 * 576 * 2048
print({name: f"{work / seconds / 1e9:.0f} GFLOP/s" for name, seconds in best.items()})
exact = inputs.double() @ weights.double().T
errors = {name: float((way() - exact).abs().max()) for name, way in ways.items()}
print("largest errors:", errors)
print("ratio", best["mm"] / best["oneDNN"])
assert best["mm"] > 1.4 * best["oneDNN"], best
PYTHON
grep -v "^MKL_VERBOSE" "$folder/output"
grep -m1 "^MKL_VERBOSE.*Intel" "$folder/output" || true
sgemm=$(grep -c "^MKL_VERBOSE SGEMM" "$folder/output")
echo "calls of MKL's SGEMM: $sgemm"
[ "$sgemm" -ge 20 ]
