"""How far rows agree where the peer has evidence, and error rates of links.

OURS THEIRS GOLD SOURCE TARGET NAME=LINKS ..., of which the last five are ``align_quality.py``'s.
"""

import runpy
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

ours, theirs = (load_file(path) for path in sys.argv[1:3])
told = theirs["told"]
cosines = torch.cosine_similarity(ours["rows"][: len(told)].float(), theirs["rows"].float())[told]
print(
    f"{len(cosines)} of {len(told)} rows have evidence with the peer: median cosine "
    f"{cosines.median():.3f}, first decile {cosines.quantile(0.1):.3f}; ",
    end="",
)
script = Path(__file__).with_name("align_quality.py")
sys.argv[:] = [str(script), *sys.argv[3:]]
runpy.run_path(str(script))
