"""franken's side of ``wechsel``: MODEL TOKENIZER SOURCE_TEXT TARGET_TEXT LEXICON OUT."""

import sys
from pathlib import Path

from safetensors.torch import save_file

import franken

model_dir, tokenizer_dir, source_text, target_text, lexicon, out = sys.argv[1:]
result = franken.transfer_checkpoint(
    model_dir,
    tokenizer_dir,
    method="wechsel",
    texts=Path(target_text).read_text("utf-8").splitlines(),
    source_texts=Path(source_text).read_text("utf-8").splitlines(),
    lexicon=[
        tuple(line.split("\t")) for line in Path(lexicon).read_text("utf-8").splitlines()
    ],
    word_vectors={
        "name": "trained", "epochs": 20, "min_count": 5, "buckets": 2_000_000,
        "subsample": 1e-4, "word_budget": None, "min_n": 5, "max_n": 5,
    },
)  # fmt: skip
save_file({"rows": result.table.input.contiguous()}, out)
