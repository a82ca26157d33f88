"""franken's side of ``focus``: MODEL TOKENIZER TEXT OUT."""

import sys
from pathlib import Path

from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

import franken

model_dir, tokenizer_dir, text, out = sys.argv[1:]
result = franken.transfer(
    AutoModelForCausalLM.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(tokenizer_dir),
    method="focus",
    texts=Path(text).read_text("utf-8").splitlines(),
    word_vectors={
        "name": "trained", "epochs": 3, "min_count": 10, "buckets": 2_000_000,
        "subsample": 1e-4, "word_budget": None, "min_n": 3, "max_n": 6,
    },
)  # fmt: skip
print(result.map.counts())
rows = result.model.get_input_embeddings().weight.detach()
save_file({"rows": rows.contiguous()}, out)
