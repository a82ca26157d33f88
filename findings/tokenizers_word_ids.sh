#!/usr/bin/env bash
# tokenizers: encode_batch_fast returns no word ids (all None), where encode_batch returns them; its
# description names offsets alone. Who asks it for the borders of words learns that there are none.
# Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers

print("tokenizers", version("tokenizers"))
tokenizer = Tokenizer(models.BPE({letter: index for index, letter in enumerate("ab")}, []))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
slow, fast = tokenizer.encode_batch(["ab ba"])[0], tokenizer.encode_batch_fast(["ab ba"])[0]
print("ids", slow.ids, fast.ids)
print("word ids: encode_batch", slow.word_ids, "encode_batch_fast", fast.word_ids)
assert slow.ids == fast.ids == [0, 1, 1, 0]
assert slow.word_ids == [0, 0, 1, 1]
assert fast.word_ids == [None] * 4, "encode_batch_fast returns word ids now"
PYTHON
