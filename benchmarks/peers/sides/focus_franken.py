"""franken's side of ``focus``: MODEL TOKENIZER TEXT OUT."""

import sys
from pathlib import Path

from safetensors.torch import save_file

import franken

model_dir, tokenizer_dir, text, out = sys.argv[1:]
result = franken.transfer_checkpoint(
    model_dir,
    tokenizer_dir,
    method="focus",
    texts=Path(text).read_text("utf-8").splitlines(),
    word_vectors={
        "name": "trained", "epochs": 3, "min_count": 10, "buckets": 2_000_000,
        "subsample": 1e-4, "word_budget": None, "min_n": 3, "max_n": 6,
    },
)  # fmt: skip
print(result.map.counts())
save_file({"rows": result.table.input.contiguous()}, out)
