"""franken's side of ``trans``: MODEL TOKENIZER SOURCE TARGET OUT; pairs to links to rows."""

import sys
from pathlib import Path

from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import franken

model_dir, tokenizer_dir, source, target, out = sys.argv[1:]
texts = [Path(path).read_text("utf-8").splitlines() for path in (source, target)]
result = franken.transfer(
    AutoModelForCausalLM.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(tokenizer_dir),
    method="trans_tokenization",
    pairs=list(zip(*texts, strict=True)),
    alignment={"name": "ibm1", "symmetrise": "grow_diag_final_and"},
)
rows = result.model.get_input_embeddings().weight.detach()
save_file({"rows": rows.contiguous()}, out)
