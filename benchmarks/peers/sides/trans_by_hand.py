"""The peer of ``trans``: PYTHON ALIGNER MODEL TOKENIZER SOURCE TARGET LINKS OUT.

ALIGNER (``align_systran.py``, ``align_eflomal.py``) runs under PYTHON, as a process that is waited
for. The mapping is that of Remy et al. 2024, written plainly: linked words are counted, the count
of a word pair (2 at least) goes to the pairs of their tokens, half to all alike and half in order,
and a row is the mean of source rows by these counts. Tokens of equal spelling count once more.
Tokens without evidence get the mean row, and are told by a mask.
"""

import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

python, aligner, model_dir, tokenizer_dir, source, target, links, out = sys.argv[1:]
subprocess.run([python, aligner, source, target, links], check=True)


def lines_of(path: str) -> list[list[str]]:
    return [line.split() for line in Path(path).read_text("utf-8").splitlines()]


def joined() -> list[list[str]]:
    """Links of each pair; eflomal's two directions are brought together by franken's code."""
    if not Path(f"{links}.reverse").exists():
        return lines_of(links)
    from links import read_links

    from franken.alignment.common.bitext import by_space, read_bitext

    with open(source, encoding="utf-8") as left, open(target, encoding="utf-8") as right:
        bitext = read_bitext(zip(left, right, strict=True), splitter=by_space)
    found = read_links(links, bitext)
    starts = bitext.source.offsets, bitext.target.offsets
    owners = starts[1].searchsorted(found[:, 1], side="right") - 1
    lines: list[list[str]] = [[] for _ in range(len(bitext))]
    for owner, (i, j) in zip(owners.tolist(), found.tolist(), strict=True):
        lines[owner].append(f"{i - int(starts[0][owner])}-{j - int(starts[1][owner])}")
    return lines


words: Counter[tuple[str, str]] = Counter()
for left, right, row in zip(lines_of(source), lines_of(target), joined(), strict=True):
    for i, j in (map(int, link.split("-")) for link in row):
        words[left[i], right[j]] += 1

old, new = (AutoTokenizer.from_pretrained(path) for path in (model_dir, tokenizer_dir))
counts: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
for (left, right), count in words.items():
    if count < 2:
        continue
    s, t = (
        tokenizer.encode(f" {word}", add_special_tokens=False)
        for tokenizer, word in ((old, left), (new, right))
    )
    n, m = len(s), len(t)
    for j, to in enumerate(t):
        for i, of in enumerate(s):
            in_order = max(0.0, min((i + 1) / n, (j + 1) / m) - max(i / n, j / m)) * m
            counts[to][of] += count * (0.5 / n + 0.5 * in_order)
spelled = old.get_vocab()
for name, to in new.get_vocab().items():
    if name in spelled:
        counts[to][spelled[name]] += 1
table = AutoModelForCausalLM.from_pretrained(model_dir).get_input_embeddings().weight.detach()
rows = table.float().mean(0).repeat(len(new), 1)
for to, weights in counts.items():
    shares = torch.tensor(list(weights.values()))
    rows[to] = shares / shares.sum() @ table[list(weights)].float()
told = torch.zeros(len(new), dtype=torch.bool)
told[list(counts)] = True
save_file({"rows": rows, "told": told}, out)
