"""franken's side of ``trans``: MODEL TOKENIZER SOURCE TARGET OUT; pairs to links to rows."""

import sys
from pathlib import Path

from safetensors.torch import save_file

import franken

model_dir, tokenizer_dir, source, target, out = sys.argv[1:]
texts = [Path(path).read_text("utf-8").splitlines() for path in (source, target)]
result = franken.transfer_checkpoint(
    model_dir,
    tokenizer_dir,
    method="trans_tokenization",
    pairs=list(zip(*texts, strict=True)),
    alignment={"name": "ibm1", "symmetrise": "grow_diag_final_and"},
)
save_file({"rows": result.table.input.contiguous()}, out)
