#!/usr/bin/env bash
# lm-eval: where a tokenizer merges over the border of question and answer, the beginning of the
# answer is never scored; answers that differ there alone get one score, and one that is wholly
# swallowed leaves nothing to score. Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet lm-eval==0.4.13 tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from lm_eval.api.model import TemplateLM
from tokenizers import Tokenizer, models

print("lm_eval", version("lm_eval"), "tokenizers", version("tokenizers"))
pieces = ["x", "a", "b", "c", "d", "ab", "ad"]
tokenizer = Tokenizer(models.BPE({p: i for i, p in enumerate(pieces)}, [("a", "b"), ("a", "d")]))


class Pairs(TemplateLM):
    """The harness's own way to encode a question and an answer, which its hf backend inherits."""

    eot_token_id = 0

    def tok_encode(self, string, add_special_tokens=None, **kwargs):
        return tokenizer.encode(string).ids

    def _loglikelihood_tokens(self, requests, **kwargs): ...
    def loglikelihood_rolling(self, requests, disable_tqdm=False): ...
    def generate_until(self, requests, disable_tqdm=False): ...


scored = {}
for answer in ("bc", "dc", "b"):
    _, ids = Pairs()._encode_pair("xa", answer)
    scored[answer] = [pieces[i] for i in ids]
    print(f"question 'xa', answer {answer!r}: scored tokens {scored[answer]}")
assert scored["bc"] == scored["dc"] == ["c"], "different answers have different tokens now"
assert scored["b"] == [], "a swallowed answer has tokens now"
PYTHON
