#!/usr/bin/env bash
# transformers: AutoTokenizer rebuilds a tokenizer.json whose tokenizer_config.json names
# LlamaTokenizer with another normaliser (Metaspace in place of Prepend and Replace), so a text that
# begins with a blank no longer comes back; the file itself keeps it. Exits non-zero if this changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3 transformers==5.23.0
FOLDER="$folder" "$folder/venv/bin/python" - <<'PYTHON'
import json
import os
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer
from transformers import AutoTokenizer

print("tokenizers", version("tokenizers"), "transformers", version("transformers"))
folder = Path(os.environ["FOLDER"]) / "model"
folder.mkdir()
names = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", "a"]
special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
spec = {
    "version": "1.0",
    "added_tokens": [{"id": i, "content": names[i], "special": True, **special} for i in range(3)],
    "normalizer": {
        "type": "Sequence",
        "normalizers": [
            {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"},
        ],
    },
    "decoder": {
        "type": "Sequence",
        "decoders": [
            {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ],
    },
    "model": {
        "type": "BPE", "unk_token": "<unk>", "fuse_unk": True, "byte_fallback": True,
        "vocab": {name: index for index, name in enumerate(names)}, "merges": [],
    },
}
(folder / "tokenizer.json").write_text(json.dumps(spec))
config = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
(folder / "tokenizer_config.json").write_text(json.dumps(config | {"unk_token": "<unk>"}))
own = Tokenizer.from_file(str(folder / "tokenizer.json"))
rebuilt = AutoTokenizer.from_pretrained(folder)
texts = []
for name, backend in (("tokenizer.json", own), ("AutoTokenizer", rebuilt.backend_tokenizer)):
    ids = backend.encode(" a", add_special_tokens=False).ids
    texts.append(backend.decode(ids))
    print(f"{name}: normalizer {backend.normalizer}, ids of ' a' {ids}, back {texts[-1]!r}")
assert texts[0] == " a"
assert texts[1] != " a", "AutoTokenizer keeps the leading blank now"
PYTHON
