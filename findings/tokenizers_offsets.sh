#!/usr/bin/env bash
# tokenizers: a BPE model without an unknown token leaves out characters that it does not know, and
# the offsets of all tokens after one are too small. Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from tokenizers import Tokenizer, models

print("tokenizers", version("tokenizers"))
tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1}, []))
text = "a\u0434b"  # the Russian letter in the middle is not in the vocabulary
encoding = tokenizer.encode(text)
print("ids", encoding.ids, "offsets", encoding.offsets)
print("text under the offsets of 'b':", repr(text[slice(*encoding.offsets[1])]))
assert encoding.ids == [0, 1]
assert encoding.offsets == [(0, 1), (1, 2)], "the offsets of what follows are right now"
PYTHON
