"""franken's side of ``omp``: MODEL DONOR OUT; the whole way from two checkpoints to a third."""

import sys

import franken

model_dir, donor_dir, out = sys.argv[1:]
franken.transfer_checkpoint(model_dir, donor_dir, out, method="omp", k=64, helper=donor_dir)
