#!/usr/bin/env bash
# lm-eval: rolling log-likelihoods put bos in front of ids that have it already where the tokenizer
# adds it by itself (Gemma, Llama 3): bos is then predicted from bos and counted. Where the
# tokenizer adds none (Qwen), it is not. Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --no-deps lm-eval==0.4.13
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
import ast
from importlib.metadata import distribution, version

from tokenizers import Tokenizer, models, pre_tokenizers, processors

print("lm_eval", version("lm_eval"), "tokenizers", version("tokenizers"))
files = distribution("lm_eval")
source = files.locate_file("lm_eval/models/huggingface.py").read_text()
names = {"get_rolling_token_windows", "make_disjoint_window"}
tree = ast.parse(files.locate_file("lm_eval/utils.py").read_text())
wanted = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name in names]
scope = {}
exec("from __future__ import annotations\n" + "\n\n".join(map(ast.unparse, wanted)), scope)

# how the hf backend fills them in
assert "token_list=self.tok_encode(string)" in source, "the backend encodes texts otherwise now"
assert "prefix_token=self.prefix_token_id" in source, "the backend opens texts otherwise now"

tokenizer = Tokenizer(models.WordLevel({"<bos>": 0, "a": 1, "b": 2}, unk_token="a"))
tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
seen = {}
for kind in ("adds none", "adds bos"):
    if kind == "adds bos":
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", 0)]
        )
    ids = tokenizer.encode("a b").ids
    windows = scope["get_rolling_token_windows"](ids, 0, 8, 1)
    context, predicted = scope["make_disjoint_window"](next(iter(windows)))
    seen[kind] = predicted
    print(f"tokenizer {kind}: context {context}, predicted and counted {predicted}")
assert seen["adds none"] == [1, 2]
assert seen["adds bos"] == [0, 1, 2], "bos is no longer counted"
PYTHON
