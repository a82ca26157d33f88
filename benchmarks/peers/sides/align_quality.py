"""Alignment error rates on the pairs whose links are known: GOLD SOURCE TARGET NAME=FILE ..."""

import json
import sys
from pathlib import Path

from franken.alignment.base import Symmetry
from franken.alignment.common.bitext import by_space, read_bitext
from franken.alignment.common.formats import read_pharaoh
from franken.alignment.common.symmetrise import symmetrise

gold_path, source, target, *files = sys.argv[1:]
with open(source, encoding="utf-8") as left, open(target, encoding="utf-8") as right:
    bitext = read_bitext(zip(left, right, strict=True), splitter=by_space)
known = json.loads(Path(gold_path).read_text())
first = bitext.target.offsets[known["after"]]
gold = {
    (bitext.source.offsets[known["after"] + n] + i, bitext.target.offsets[known["after"] + n] + j)
    for n, links in enumerate(known["links"])
    for i, j in links
}
parts = []
for given in files:
    name, _, path = given.partition("=")
    if not Path(f"{path}.reverse").exists():
        links = read_pharaoh(Path(path), bitext)
    else:
        both = [read_pharaoh(Path(f"{path}.{side}"), bitext) for side in ("forward", "reverse")]
        links = symmetrise(bitext, *both, Symmetry.grow_diag_final_and)
    found = {(i, j) for i, j in links.tolist() if j >= first}
    right_ones = len(found & gold)
    parts.append(f"{name} {1 - 2 * right_ones / (len(found) + len(gold)):.3f}")
print(
    f"alignment error rate on {len(known['links'])} pairs of the embedded world: {', '.join(parts)}"
)
