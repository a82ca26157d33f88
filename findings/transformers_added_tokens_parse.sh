#!/usr/bin/env bash
# transformers: from_pretrained parses the whole tokenizer.json in Python, for its added tokens alone; the
# library of tokenizers reads the same file again. With `added_tokens_decoder` in tokenizer_config.json
# (which save_pretrained of version 4 wrote, and that of 5 does not) it is parsed once.
# Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0 tokenizers==0.23.3
"$folder/venv/bin/python" - "$folder/model" <<'PYTHON'
import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

place = Path(sys.argv[1])
letters = [chr(point) for point in range(0x4E00, 0x4E00 + 400)]  # 400 letters, and each pair of them
pieces = [*letters, *(first + second for first in letters for second in letters)]
merges = [(first, second) for first in letters for second in letters]
model = models.BPE(vocab={piece: place for place, piece in enumerate(pieces)}, merges=merges)
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), eos_token="</s>")
tokenizer.save_pretrained(place)

load, parsed = json.load, []


def counted(handle, *args, **options):
    parsed.append(Path(handle.name).name)
    return load(handle, *args, **options)


json.load = counted


def loading():
    parsed.clear()
    began = time.process_time()
    PreTrainedTokenizerFast.from_pretrained(place)
    return parsed.count("tokenizer.json"), time.process_time() - began


print("transformers", version("transformers"), "tokenizers", version("tokenizers"))
print(len(pieces), "pieces,", (place / "tokenizer.json").stat().st_size >> 20, "MB")
times, seconds = loading()
print(f"as saved: parsed {times} time in Python, {seconds:.2f} s")
config = place / "tokenizer_config.json"
added = {
    str(index): {"content": token.content, "special": token.special, "normalized": token.normalized}
    for index, token in tokenizer.added_tokens_decoder.items()
}
config.write_text(json.dumps({**json.loads(config.read_text()), "added_tokens_decoder": added}))
without, fewer = loading()
print(f"with added_tokens_decoder in tokenizer_config.json: {without} times, {fewer:.2f} s")
assert times == 1, "the file is no longer parsed in Python"
assert without == 0
PYTHON
