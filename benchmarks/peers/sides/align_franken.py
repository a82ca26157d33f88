"""franken's side of ``align``: SOURCE TARGET OUT MODEL; links of both directions, symmetrised.

MODEL is ``ibm1``, ``fast_align``, or ``agreed``: ``fast_align`` with ``agree_after=5``.
"""

import sys

import numpy as np

from franken.alignment.base import Symmetry
from franken.alignment.common.bitext import by_space, read_bitext
from franken.alignment.common.links import as_links
from franken.alignment.common.symmetrise import symmetrise
from franken.alignment.fast_align import FastAlignAlignment
from franken.alignment.ibm1 import Ibm1Alignment, models_of, viterbi

source, target, out, model = sys.argv[1:]
configs = {
    "ibm1": Ibm1Alignment(),
    "fast_align": FastAlignAlignment(),
    "agreed": FastAlignAlignment(agree_after=5),
}
with open(source, encoding="utf-8") as left, open(target, encoding="utf-8") as right:
    bitext = read_bitext(zip(left, right, strict=True), splitter=by_space)
forward, backward = map(viterbi, models_of(bitext, configs[model]))
backward = as_links(backward[:, 1], backward[:, 0])
links = symmetrise(bitext, forward, backward, Symmetry.grow_diag_final_and)
starts = bitext.target.offsets[: len(bitext)]
owners = np.searchsorted(starts, links[:, 1], side="right") - 1
lines: list[list[str]] = [[] for _ in range(len(bitext))]
places = np.stack([links[:, 0] - bitext.source.offsets[owners], links[:, 1] - starts[owners]], 1)
for owner, (i, j) in zip(owners.tolist(), places.tolist(), strict=True):
    lines[owner].append(f"{i}-{j}")
with open(out, "w", encoding="utf-8") as handle:
    handle.writelines(f"{' '.join(line)}\n" for line in lines)
