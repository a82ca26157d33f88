#!/usr/bin/env bash
# mergekit: tokensurgeon compares the letters in which byte-level BPE spells bytes with the text of
# SentencePiece pieces. "é" (spelled "Ã©") finds no partner, and "Ã", the first byte of many letters,
# is taken for the letter Ã. Exits non-zero if this changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet mergekit==0.1.5 transformers==5.23.0 torch
HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from mergekit.tokenizer.normalization import normalized_vocabulary
from tokenizers import Tokenizer, models
from tokenizers.pre_tokenizers import ByteLevel
from transformers import LlamaTokenizer, PreTrainedTokenizerFast

print("mergekit", version("mergekit"), "transformers", version("transformers"))
spell = lambda text: "".join(piece for piece, _ in ByteLevel(add_prefix_space=False).pre_tokenize_str(text))
texts = ["a", " house", "é", " é", "  ", "\n"]
pieces = {spell(text): number for number, text in enumerate(texts)} | {"Ã": len(texts)}
donor = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE(vocab=pieces, merges=[])))
names = ["<unk>", "<s>", "</s>", "a", "▁house", "é", "▁é", "▁▁", "\n", "Ã"]
model = LlamaTokenizer(vocab={name: number for number, name in enumerate(names)}, merges=[])
known = normalized_vocabulary(model)
partners = {}
for piece, number in normalized_vocabulary(donor).items():
    means = texts[number] if number < len(texts) else b"\xc3"
    partners[means] = names[known[piece]] if piece in known else None
    print(f"{means!r}: partner {partners[means]!r}")
assert partners["a"] == "a" and partners[" house"] == "▁house"
assert [partners[text] for text in ("é", " é", "  ", "\n")] == [None] * 4
assert partners[b"\xc3"] == "Ã"
PYTHON
