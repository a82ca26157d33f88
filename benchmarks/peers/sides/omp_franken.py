"""franken's side of ``omp``: MODEL DONOR OUT; the whole way from two checkpoints to a third."""

import sys

from transformers import AutoModelForCausalLM, AutoTokenizer

import franken

model_dir, donor_dir, out = sys.argv[1:]
franken.transfer(
    AutoModelForCausalLM.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(model_dir),
    AutoTokenizer.from_pretrained(donor_dir),
    method="omp",
    k=64,
    helper=donor_dir,
).save_pretrained(out)
