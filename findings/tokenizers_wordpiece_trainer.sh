#!/usr/bin/env bash
# tokenizers: the WordPiece trainer gives other vocabularies for the same text at each call, where the
# BPE trainer gives the same. Exits non-zero if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet tokenizers==0.23.3
"$folder/venv/bin/python" - <<'PYTHON'
from importlib.metadata import version

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXT = [
    "the cat sat on the mat", "a dog ate the bread", "rain runs down the hill",
    "she sings in the garden at dawn", "old ships sail north", "they read letters by lamp light",
]


def vocabularies(model, trainer, times=12):
    found = set()
    for _ in range(times):
        tokenizer = Tokenizer(model())
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        tokenizer.train_from_iterator(TEXT, trainer(vocab_size=90, show_progress=False))
        found.add(frozenset(tokenizer.get_vocab()))
    return len(found)


print("tokenizers", version("tokenizers"))
wordpiece = vocabularies(models.WordPiece, trainers.WordPieceTrainer)
bpe = vocabularies(models.BPE, trainers.BpeTrainer)
print("sets of pieces from 12 trainings on one text: WordPiece", wordpiece, "BPE", bpe)
assert bpe == 1
assert wordpiece > 1, "the WordPiece trainer is deterministic now"
PYTHON
