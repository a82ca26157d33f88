#!/usr/bin/env bash
# tokenizers 0.23.3: where a model's ids have gaps, an added token outside it may get the id of a piece.
# Exits 0 while that is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import tokenizers
from tokenizers import Tokenizer, models

print("tokenizers", tokenizers.__version__)
# Three pieces, the highest id 4: the count of pieces is an id in the middle.
tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 3, "c": 4}, unk_token="a"))
tokenizer.add_special_tokens(["<|end|>"])
ids = tokenizer.get_vocab()
print("ids:", ids)
print("decoded 3:", tokenizer.decode([3], skip_special_tokens=False))
shared = len(set(ids.values())) < len(ids)
print("two pieces under one id:", shared)
sys.exit(0 if shared else 1)
PYTHON
