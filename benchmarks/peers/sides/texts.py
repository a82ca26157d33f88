"""Text as both sides read it, from sample data: DATA OUT.

Writes ``de.txt`` (monolingual records and the German side of en-de), ``sw.txt``, ``en.txt`` (as
many records as ``sw``), a lexicon, and Swahili pairs, with those of the embedded world, whose links
are known, behind them. Of the real pairs the links of names are known: those of ``NAMES`` in the
verses, and words of the news that are written alike, with a capital, on both sides; each where both
sides have it once.
"""

import gzip
import json
import re
import sys
from itertools import islice
from pathlib import Path

import franken
from franken.data import open_data

WORD = re.compile(r"\w+|[^\w\s]")
NAMES = {
    "Jesus": "Yesu", "Christ": "Kristo", "Peter": "Petro", "Paul": "Paulo", "David": "Daudi",
    "Jacob": "Yakobo", "Israel": "Israeli", "Jerusalem": "Yerusalemu", "Pilate": "Pilato",
    "Isaac": "Isaka", "Judas": "Yuda", "Herod": "Herode", "Galilee": "Galilaya", "Simon": "Simoni",
    "James": "Yakobo", "Philip": "Filipo", "Satan": "Shetani", "Egypt": "Misri", "Rome": "Roma",
}  # fmt: skip
"""As the Swahili verses spell them."""


def records(path: Path):
    opened = gzip.open if path.suffix == ".gz" else open
    with opened(path, "rt", encoding="utf-8") as handle:
        for line in handle:
            yield json.loads(line)


def write(path: Path, lines) -> None:
    path.write_text("".join(f"{' '.join(line.split())}\n" for line in lines), "utf-8")


data, out = map(Path, sys.argv[1:])
german, swahili = (
    [record["text"] for record in records(data / "mono" / f"{language}.train.jsonl")]
    for language in ("de", "sw")
)
pairs = records(data / "parallel" / "en-de.train.jsonl.gz")
write(out / "de.txt", [*german, *(record["translation"]["de"] for record in pairs)])
write(out / "sw.txt", swahili)
english = records(data / "mono" / "en.train.jsonl.gz")
write(out / "en.txt", (r["text"] for r in islice(english, 989)))
lexicon = (data / "lexicon" / "wiktionary" / "swahili.txt").read_text("utf-8").splitlines()
(out / "lexicon.txt").write_text(
    "".join(f"{line}\n" for line in lexicon if len(line.split("\t")) == 2), "utf-8"
)
pairs = [r["translation"] for r in records(data / "parallel" / "en-sw.train.jsonl.gz")]


def named_links(english: list[str], swahili: list[str]) -> list[list[int]]:
    """Places of names, in words of both sides."""
    found = []
    for place, word in enumerate(english):
        other = NAMES.get(word, word)
        known = word in NAMES or (place > 0 and word[:1].isupper() and len(word) > 3)
        if known and english.count(word) == 1 == swahili.count(other):
            found.append([place, swahili.index(other)])
    return found


cut = [[" ".join(WORD.findall(pair[side].lower())) for pair in pairs] for side in ("en", "sw")]
names = [named_links(*(WORD.findall(pair[side]) for side in ("en", "sw"))) for pair in pairs]
names = [links for links, s, t in zip(names, *cut, strict=True) if s and t]
cut = list(zip(*((s, t) for s, t in zip(*cut, strict=True) if s and t), strict=True))
world = open_data(franken.options("data", "microworld"))
known = list(islice(world.pairs(world.config.languages[0]), 2000))
write(out / "source.txt", [*cut[0], *(pair.source for pair in known)])
write(out / "target.txt", [*cut[1], *(pair.target for pair in known)])
gold = [[[int(a), int(b)] for a, b in pair.alignment] for pair in known]
(out / "gold.json").write_text(json.dumps({"after": len(cut[0]), "links": gold, "names": names}))
