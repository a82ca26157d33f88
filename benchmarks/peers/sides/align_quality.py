"""Alignment error rates where links are known: GOLD SOURCE TARGET NAME=FILE ...

Of the embedded world's pairs all links are; of real ones those of names (``texts.py``), where the
links counted are those that touch a name on either side.
"""

import json
import sys
from pathlib import Path

from links import read_links

from franken.alignment.common.bitext import by_space, read_bitext

gold_path, source, target, *files = sys.argv[1:]
with open(source, encoding="utf-8") as left, open(target, encoding="utf-8") as right:
    bitext = read_bitext(zip(left, right, strict=True), splitter=by_space)
known = json.loads(Path(gold_path).read_text())


def placed(first: int, lines: list[list[list[int]]]) -> set[tuple[int, int]]:
    """Links of lines from the ``first`` on, by places in the whole text."""
    source, target = bitext.source.offsets, bitext.target.offsets
    return {
        (source[first + n] + i, target[first + n] + j)
        for n, links in enumerate(lines)
        for i, j in links
    }


world, names = placed(known["after"], known["links"]), placed(0, known["names"])
begin = bitext.target.offsets[known["after"]]
named = [{link[side] for link in names} for side in (0, 1)]


def error_rate(found: set[tuple[int, int]], gold: set[tuple[int, int]]) -> str:
    return f"{1 - 2 * len(found & gold) / (len(found) + len(gold)):.3f}"


parts = []
for given in files:
    name, _, path = given.partition("=")
    links = read_links(path, bitext)
    pairs = {(i, j) for i, j in links.tolist()}
    invented = {link for link in pairs if link[1] >= begin}
    real = {link for link in pairs if link[0] in named[0] or link[1] in named[1]}
    parts.append(f"{name} {error_rate(invented, world)} and {error_rate(real, names)}")
print(
    f"alignment error rate on {len(known['links'])} pairs of the embedded world and on "
    f"{len(names)} names in real ones: {', '.join(parts)}"
)
