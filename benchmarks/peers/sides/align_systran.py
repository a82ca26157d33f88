"""systran-align's side of ``align``: SOURCE TARGET OUT; its links of every pair."""

import sys

import systran_align

source, target, out = sys.argv[1:]
joined = f"{out}.joined"
with open(source) as left, open(target) as right, open(joined, "w") as handle:
    handle.writelines(f"{s.strip()} ||| {t}" for s, t in zip(left, right, strict=True))
tables = f"{out}.forward", f"{out}.backward"
systran_align.generate_alignment_probabilities(joined, *tables, iterations=7)
aligner = systran_align.Aligner(*tables)
with open(source) as left, open(target) as right, open(out, "w") as handle:
    for s, t in zip(left, right, strict=True):
        found = aligner.align(s.split(), t.split())["alignments"]
        handle.write(" ".join(f"{i}-{j}" for i, j in found) + "\n")
