"""``vocabulary_*``: the peer (hand BASE TEXT OUT), and the agreement (compare TEXT OURS THEIRS).

``hand`` is what one writes without a tool: ``tokenizers`` trains as many pieces anew on the text,
by the base's own normaliser and pre-tokenizer, and pieces and merges that the base lacks are put
behind its own.
"""

import json
import sys
from pathlib import Path

from tokenizers import Tokenizer

ADDED = 8_000
way, *rest = sys.argv[1:]
if way == "hand":
    from transformers import AutoTokenizer

    base, text, out = map(Path, rest)
    tokenizer = AutoTokenizer.from_pretrained(base)
    with open(text, encoding="utf-8") as lines:
        fresh = tokenizer.train_new_from_iterator((line for line in lines), ADDED)
    spelt = json.loads((base / "tokenizer.json").read_text("utf-8"))
    other = json.loads(fresh.backend_tokenizer.to_str())["model"]
    model = spelt["model"]
    taken = {token["id"] for token in spelt["added_tokens"]}
    free = max(*model["vocab"].values(), *taken) + 1
    for piece in sorted(other["vocab"], key=other["vocab"].get):
        if piece not in model["vocab"]:
            model["vocab"][piece] = free
            free += 1
    known = {tuple(merge) for merge in model["merges"]}
    model["merges"] += [merge for merge in other["merges"] if tuple(merge) not in known]
    out.mkdir(parents=True)
    (out / "tokenizer.json").write_text(json.dumps(spelt, ensure_ascii=False), "utf-8")
else:
    text, *folders = map(Path, rest)
    lines = text.read_text("utf-8").splitlines()
    words = sum(len(line.split()) for line in lines)
    found = []
    for folder in folders:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        cut = tokenizer.encode_batch(lines, add_special_tokens=False)
        used = {row for line in cut for row in line.ids}
        count = sum(len(line.ids) for line in cut)
        found.append(f"{tokenizer.get_vocab_size():,} pieces, {len(used):,} of them used, "
                     f"{count / words:.3f} tokens per word")  # fmt: skip
    print(f"franken {found[0]}; by hand {found[1]}")
