"""deepfocus's side of ``focus``: MODEL TOKENIZER TEXT OUT."""

import sys

from deepfocus import FOCUS
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

model_dir, tokenizer_dir, text, out = sys.argv[1:]
model = AutoModelForCausalLM.from_pretrained(model_dir)
rows = FOCUS(
    AutoTokenizer.from_pretrained(tokenizer_dir),
    AutoTokenizer.from_pretrained(model_dir),
    model.get_input_embeddings().weight.detach(),
    target_training_data_path=text,
    processes=1,
    verbosity="silent",
)
save_file({"rows": rows.contiguous()}, out)
