"""How far two tables of rows agree, made from vectors of two trainings: OURS THEIRS."""

import sys

import torch
from safetensors.torch import load_file

ours, theirs = (load_file(path)["rows"].double() for path in sys.argv[1:])
count = min(len(ours), len(theirs))
ours, theirs = ours[:count], theirs[:count]
same = (ours == theirs).all(1)
cosines = torch.cosine_similarity(ours[~same], theirs[~same], dim=1)
print(
    f"{int(same.sum())} of {count} rows are equal (copied by both); the others' median cosine is "
    f"{cosines.median():.3f}, as their vectors come from two trainings"
)
