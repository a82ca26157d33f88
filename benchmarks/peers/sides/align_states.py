"""awesome-align on real pairs, by layer: GOLD SOURCE TARGET COUNT MODEL [NAME=FILE ...].

COUNT of the pairs that have a known name (``texts.py``), evenly spread, are read by a checkpoint;
error rates are those of ``align_quality.py``, over links that touch a name. FILE holds links of all
pairs by another aligner, judged on the same ones; ``-`` for MODEL judges these alone.
"""

import json
import sys
import time
from pathlib import Path

import torch
from links import read_links

from franken.alignment.base import Extraction, Similarity
from franken.alignment.common.bitext import by_space, read_bitext
from franken.alignment.common.contextual import Rule, StateAligner, word_links

gold_path, source, target, count, model_path, *files = sys.argv[1:]
known = json.loads(Path(gold_path).read_text())["names"]
lines = [Path(path).read_text("utf-8").splitlines() for path in (source, target)]
named = [number for number, links in enumerate(known) if links]
chosen = [named[i * len(named) // int(count)] for i in range(int(count))]
gold = [{tuple(link) for link in known[number]} for number in chosen]


def error_rate(found: list[set[tuple[int, int]]]) -> float:
    """Over links that touch a name, on either side."""
    hits = size = 0
    for own, true in zip(found, gold, strict=True):
        left, right = {i for i, _ in true}, {j for _, j in true}
        touching = {link for link in own if link[0] in left or link[1] in right}
        hits += len(touching & true)
        size += len(touching)
    return 1 - 2 * hits / (size + sum(map(len, gold)))


def judge_files() -> None:
    bitext = read_bitext(zip(*lines, strict=True), splitter=by_space)
    starts = bitext.source.offsets, bitext.target.offsets
    for given in files:
        name, _, path = given.partition("=")
        links = read_links(path, bitext)
        owners = starts[1].searchsorted(links[:, 1], side="right") - 1
        of = {number: set() for number in chosen}
        for owner, (i, j) in zip(owners.tolist(), links.tolist(), strict=True):
            if owner in of:
                of[owner].add((i - int(starts[0][owner]), j - int(starts[1][owner])))
        print(f"{name}: {error_rate([of[number] for number in chosen]):.3f}")


RULES = {
    "dot, softmax, 0.001": Rule(),
    "cosine, argmax": Rule(Similarity.cosine, extraction=Extraction.argmax),
    "centred cosine, argmax": Rule(Similarity.cosine, extraction=Extraction.argmax),
    "cosine / 0.02, softmax, 0.1": Rule(Similarity.cosine, 0.02, threshold=0.1),
}


def judge_states() -> None:
    from transformers import AutoModel, AutoTokenizer

    begun = time.process_time()
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    model = AutoModel.from_pretrained(model_path, dtype=torch.float32).eval()
    aligner = StateAligner(
        model, tokenizer, layer=None, rule=Rule(), longest=256, device=model.device
    )  # fmt: skip
    sides = []
    for side in lines:
        read = []
        for number in chosen:
            ids, words = aligner.encode(side[number].split())
            with torch.inference_mode():
                states = model(torch.tensor([ids]), output_hidden_states=True).hidden_states
            places = [place for place, word in enumerate(words) if word >= 0]
            read.append((torch.stack(states)[:, 0, places], [words[place] for place in places]))
        sides.append(read)
    print(f"{model_path}: {time.process_time() - begun:.0f} s, {len(chosen)} pairs")
    for layer in range(len(sides[0][0][0])):
        means = [torch.cat([states[layer] for states, _ in side]).mean(0) for side in sides]
        rates = []
        for name, rule in RULES.items():
            off = means if name.startswith("centred") else [0.0, 0.0]
            found = [
                word_links(rule.links(s[layer] - off[0], t[layer] - off[1]), of_s, of_t)
                for (s, of_s), (t, of_t) in zip(*sides, strict=True)
            ]
            rates.append(f"{error_rate(found):.3f}")
        print(layer, *rates, sep=" | ")


judge_files()
if model_path != "-":
    print("layer", *RULES, sep=" | ")
    judge_states()
