"""wechsel's side of ``wechsel``: MODEL TOKENIZER SOURCE_TEXT TARGET_TEXT LEXICON OUT.

Words are cut at word borders as franken cuts them (the release's own way downloads a model).
"""

import re
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
from wechsel import WECHSEL, train_embeddings

WORD = re.compile(r"\w+|[^\w\s]")
model_dir, tokenizer_dir, source_text, target_text, lexicon, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(model_dir)
vectors = [
    train_embeddings(text, tokenize_fn=WORD.findall, thread=1)
    for text in (source_text, target_text)
]
rows, _ = WECHSEL(*vectors, bilingual_dictionary=lexicon).apply(
    AutoTokenizer.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(tokenizer_dir),
    model.get_input_embeddings().weight.detach().numpy(),
)
save_file({"rows": torch.from_numpy(rows).contiguous()}, out)
