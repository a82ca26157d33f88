"""Tokens of DONOR that MODEL lacks (every 60th), and those that it has: rows of DONOR, to OUT."""

import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken.tokenizer.pieces import canonical_bytes

model_dir, donor_dir, out = sys.argv[1:]
known, wanted = (
    {piece: row for row, piece in enumerate(canonical_bytes(AutoTokenizer.from_pretrained(path)))}
    for path in (model_dir, donor_dir)
)
rows = AutoModelForCausalLM.from_pretrained(donor_dir).get_input_embeddings().weight.detach()
named = [(piece, row) for piece, row in wanted.items() if piece is not None]
anchors = torch.tensor([row for piece, row in named if piece in known])
tokens = torch.tensor([row for piece, row in named if piece not in known])[::60]
save_file({"tokens": rows[tokens], "anchors": rows[anchors]}, out)
