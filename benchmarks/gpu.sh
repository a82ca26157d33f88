#!/usr/bin/env bash
# Franken's heavy parts on the GPU at hand, at most twelve minutes; the table goes to outputs/gpu.md too.
# Without a GPU: benchmarks/gpu.sh --tiny runs the same code on a CPU. Flags are those of benchmarks/gpu.py.
set -euo pipefail
cd "$(dirname "$0")/.."
export PYTHONPATH=$PWD PYTORCH_CUDA_ALLOC_CONF=expandable_segments:True TOKENIZERS_PARALLELISM=false
mkdir -p outputs
timeout "${LIMIT:-720}" "${PYTHON:-python}" benchmarks/gpu.py "$@" | tee outputs/gpu.md
