#!/usr/bin/env bash
# peft: trained rows of a tied table (TrainableTokensConfig) raise a warning that "no implementation
# exists to tie the adapters", and are tied: the head writes with the trained rows, and the adapter
# holds them twice, once under each name. Exits non-zero if this changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet peft==0.21.2 transformers==5.23.0 torch
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import os
import warnings
from importlib.metadata import version

import torch
from peft import TrainableTokensConfig, get_peft_model
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM

print("peft", version("peft"), "transformers", version("transformers"))
shape = {"vocab_size": 32, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1,
         "num_attention_heads": 2, "num_key_value_heads": 2}
model = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True)).eval()
ids = torch.tensor([[7, 8, 9]])  # none of them is trained: what changes is the head
with torch.no_grad(), warnings.catch_warnings(record=True) as raised:
    warnings.simplefilter("always")
    before = model(ids).logits
    config = TrainableTokensConfig(token_indices=[3, 4], target_modules=["embed_tokens"])
    adapted = get_peft_model(model, config).eval()
    warned = any("no implementation exists to tie" in str(one.message) for one in raised)
    for name, parameter in adapted.named_parameters():
        if "delta" in name:
            parameter.add_(1.0)
    moved = (adapted(ids).logits - before).abs().amax((0, 1)).nonzero().flatten().tolist()
adapted.save_pretrained(os.path.join(os.environ["FOLDER"], "adapter"))
stored = sorted(load_file(os.path.join(os.environ["FOLDER"], "adapter", "adapter_model.safetensors")))
print("warned that it cannot tie:", warned)
print("logits that move with the rows of tokens 3 and 4:", moved)
print("stored:", *stored, sep="\n  ")
assert warned
assert moved == [3, 4]
assert len(stored) == 2
PYTHON
