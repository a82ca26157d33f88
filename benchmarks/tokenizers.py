"""What the vocabulary options make of real tokenizers, checked and timed.

    python benchmarks/tokenizers.py DIR --data DATA            # every tokenizer under DIR
    python benchmarks/tokenizers.py DIR --data DATA --options extension --targets sw

DIR holds a directory per tokenizer (``tokenizer.json``) or is one; DATA is laid out as
``conf/data/sample.yaml`` describes. One vocabulary is built for all targets together, per tokenizer
and option, each in a process of its own. Prints one table per question; ``--json`` keeps all
figures. The comparison is a BPE with as many new pieces, trained by ``tokenizers`` alone on the
same text under the tokenizer's own normaliser and splits.
"""

import sys
from pathlib import Path

# Python looks for `tokenizers` beside a script first, so scripts of this directory meet this file.
HERE = Path(__file__).resolve().parent
sys.path[:] = [place for place in sys.path if Path(place or ".").resolve() != HERE]
if __name__ == "tokenizers":
    del sys.modules["tokenizers"]
    import tokenizers  # noqa: F401 - the real one, which takes this module's place
else:
    import argparse
    import gzip
    import json
    import random
    import resource
    import subprocess
    import tempfile
    import time
    from collections.abc import Iterator
    from datetime import UTC, datetime
    from importlib.metadata import version
    from typing import Any

OPTIONS = ("prune_extend", "extension", "scratch")
ADDED = 8_000
"""New pieces of ``extension``, twice as many of ``scratch``; ``prune_extend`` decides itself."""
ROUND_TRIPS = 200
OTHERS = ("fr", "ru")
"""Languages that no option sees; ``other_languages`` has some of the Universal Declaration of Human
Rights in them."""
CHAT = [{"role": "user", "content": " Habari?\n"}, {"role": "assistant", "content": "Nzuri."}]
FRESH = """
import json, sys
from transformers import AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
asked = json.load(sys.stdin)
chat = asked["chat"] and tokenizer.apply_chat_template(asked["chat"], tokenize=False)
named = tokenizer.special_tokens_map.items()
roles = {role: tokenizer.convert_tokens_to_ids(str(token)) for role, token in named}
ids = [tokenizer(line)["input_ids"] for line in asked["lines"]]
print(json.dumps({"ids": ids, "chat": chat, "roles": roles}))
"""


def lines_of(data: "Path", language: str, split: str) -> list[str]:
    """Monolingual lines and, for others than English, one side of the sentence pairs."""
    found = []
    for path, field in (
        (f"mono/{language}.{split}.jsonl", "text"),
        (f"parallel/en-{language}.{split}.jsonl", "translation"),
    ):
        plain, packed = data / path, data / f"{path}.gz"
        if not plain.exists() and not packed.exists():
            continue
        with plain.open() if plain.exists() else gzip.open(packed, "rt", encoding="utf-8") as rows:
            for row in rows:
                content = json.loads(row)[field]
                text = content if isinstance(content, str) else content[language]
                found += [line for line in text.split("\n") if line.strip()]
    return found


def odd_spaces(lines: list[str]) -> "Iterator[str]":
    """Sentences with white space that careless pipelines lose."""
    draw = random.Random(0)
    for line in lines:
        words = line.split()
        yield "".join(
            draw.choice([" ", " ", "  ", "   ", "\t", "\n", " \n\n ", "\u00a0"]) + word
            for word in words
        )[draw.choice([0, 1]) :] + draw.choice(["", " ", "  ", "\n"])


def decoding_faults(tokenizer: "Any") -> list[str]:
    """Tokens whose decoded text is not that of their canonical bytes."""
    from franken.tokenizer.pieces import canonical_bytes

    backend = tokenizer.backend_tokenizer
    anchor = backend.encode("a", add_special_tokens=False).ids[-1]
    before = backend.decode([anchor], skip_special_tokens=False)
    table = canonical_bytes(tokenizer)
    asked = [index for index, data in enumerate(table) if data is not None]
    texts = backend.decode_batch([[anchor, index] for index in asked], skip_special_tokens=False)
    return [
        backend.id_to_token(index)
        for index, text in zip(asked, texts, strict=True)
        if text != before + (table[index] or b"").decode(errors="replace")
    ]


def encode(tokenizer: "Any", lines: list[str]) -> list[list[str]]:
    """Tokens of each line, without what is put around it."""
    found = tokenizer.backend_tokenizer.encode_batch_fast(lines, add_special_tokens=False)
    return [encoding.tokens for encoding in found]


def failed_round_trips(tokenizer: "Any", lines: list[str]) -> int:
    """Lines that do not come back from encoding and decoding."""
    backend = tokenizer.backend_tokenizer
    ids = [e.ids for e in backend.encode_batch_fast(lines, add_special_tokens=False)]
    back = backend.decode_batch(ids, skip_special_tokens=False)
    return sum(text != line for text, line in zip(back, lines, strict=True))


def fresh_bpe(tokenizer: "Any", lines: list[str], count: int) -> tuple["Any", float]:
    """A BPE of ``count`` pieces beside single bytes or characters, and its CPU seconds."""
    from tokenizers import models, trainers

    from franken.tokenizer.learn import find_alphabet, training_backend
    from franken.tokenizer.pipeline import byte_to_char, pipeline_of

    pipeline = pipeline_of(tokenizer)
    backend = training_backend(pipeline)
    letters = list(byte_to_char().values())
    if "Ġ" not in pipeline.pieces:
        letters = find_alphabet(training_backend(pipeline).normalizer, {"": lambda: lines})
    backend.model = models.BPE()
    trainer = trainers.BpeTrainer(
        vocab_size=len(letters) + count, initial_alphabet=letters, show_progress=False
    )
    start = time.process_time()
    backend.train_from_iterator(lines, trainer=trainer)
    return backend, time.process_time() - start


def reloads(base: "Any", tokenizer: "Any", lines: list[str]) -> bool:
    """Whether a fresh process gets the same ids, the base's special tokens and its chat."""
    from franken.parts.tokenizer_files import save_tokenizer

    with tempfile.TemporaryDirectory() as directory:
        save_tokenizer(tokenizer, Path(directory))
        asked = {"lines": lines, "chat": CHAT if base.chat_template else None}
        run = subprocess.run(
            [sys.executable, "-c", FRESH, directory],
            input=json.dumps(asked), capture_output=True, text=True, check=True,
        )  # fmt: skip
    found = json.loads(run.stdout)
    chat = base.chat_template and base.apply_chat_template(CHAT, tokenize=False)
    roles = {
        role: tokenizer.convert_tokens_to_ids(str(token))
        for role, token in base.special_tokens_map.items()
    }
    same = found["ids"] == [tokenizer(line)["input_ids"] for line in lines]
    return same and found["chat"] == chat and found["roles"] == roles


def measure(directory: "Path", option: str, data: "Path", targets: list[str]) -> dict[str, "Any"]:
    """Build one vocabulary and ask it everything."""
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.tokenizer.pipeline import pipeline_of
    from franken.vocab import VocabTexts, build_vocabulary
    from franken.vocab.extension import ExtensionVocab
    from franken.vocab.prune_extend import PruneExtendVocab
    from franken.vocab.scratch import ScratchVocab

    base = load_tokenizer(directory)
    pipeline = pipeline_of(base)
    config = {
        "prune_extend": PruneExtendVocab(),
        "extension": ExtensionVocab(added=ADDED),
        "scratch": ScratchVocab(size=len(pipeline.reserved()) + 2 * ADDED),
    }[option]
    english = lines_of(data, "en", "train")
    texts = {language: lines_of(data, language, "train") for language in targets}
    streams = {language: (lambda lines=lines: lines) for language, lines in texts.items()}
    start, wall = time.process_time(), time.perf_counter()
    result = build_vocabulary(base, config, VocabTexts(lambda: english, streams), 0)
    cpu, wall = time.process_time() - start, time.perf_counter() - wall
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    new, parts = result.tokenizer, result.report["parts"]

    held_out = {language: lines_of(data, language, "valid") for language in targets}
    odd = [line for lines in held_out.values() for line in list(odd_spaces(lines))[:ROUND_TRIPS]]
    read = [line for lines in texts.values() for line in lines]
    count = parts["new"] + parts["alphabet"]
    fresh, alone = fresh_bpe(base, english + read if option == "scratch" else read, count)
    words = {
        language: sum(len(line.split()) for line in held_out[language]) for language in targets
    }
    tokens = {
        name: {
            language: sum(map(len, encode(each, held_out[language]))) / words[language]
            for language in targets
        }
        for name, each in (("base", base), ("new", new))
    }
    tokens["fresh"] = {
        language: sum(len(e.ids) for e in fresh.encode_batch_fast(held_out[language]))
        / words[language]
        for language in targets
    }
    english_out = lines_of(data, "en", "valid")
    before, after = encode(base, english_out), encode(new, english_out)
    others = {}
    for language in OTHERS:
        lines = (HERE / "other_languages" / f"{language}.txt").read_text().splitlines()
        others[language] = sum(map(len, encode(new, lines))) / sum(map(len, encode(base, lines)))
    faults = [decoding_faults(base), decoding_faults(new)]
    return {
        "tokenizer": directory.name,
        "option": option,
        "size": len(new),
        "parts": parts,
        "tokens_per_word": tokens,
        "english_same": sum(a == b for a, b in zip(before, after, strict=True)) / len(before),
        "others": others,
        "round_trip_failures": [
            failed_round_trips(base, odd),
            failed_round_trips(new, odd),
            len(odd),
        ],
        "decoding_faults": [len(found) for found in faults],
        "decoding_fault_examples": faults[1][:5],
        "unreachable": result.report["unreachable"]["count"],
        "unreachable_new": unreachable_new(base, new),
        "reloads": reloads(base, new, [*odd[:5], *english_out[:5]]),
        "cpu_seconds": cpu,
        "wall_seconds": wall,
        "alone_cpu_seconds": alone,
        "gigabytes": memory,
    }


def unreachable_new(base: "Any", new: "Any") -> int:
    """New pieces that no text produces."""
    from franken.tokenizer.reachability import unreachable_pieces

    return len(unreachable_pieces(new, sorted(new.get_vocab().keys() - base.get_vocab().keys())))


COLUMNS = (
    "tokenizer", "option", "new", "tokens per word", "x fresh BPE", "English same", "French",
    "Russian", "round trips lost", "decoded otherwise", "dead", "reload", "CPU s", "alone", "GB",
)  # fmt: skip


def row(found: dict[str, "Any"]) -> str:
    """One line of the table."""
    tokens = found["tokens_per_word"]
    base = tokens["base"].items()
    lost, lost_new, asked = found["round_trip_failures"]
    cells = [
        found["tokenizer"],
        found["option"],
        f"{found['parts']['new'] + found['parts']['alphabet']:,}",
        ", ".join(f"{name} {old:.2f} > {tokens['new'][name]:.2f}" for name, old in base),
        f"{max(tokens['new'][name] / tokens['fresh'][name] for name, _ in base):.2f}",
        f"{100 * found['english_same']:.1f} %",
        *(f"{found['others'][language]:.3f}" for language in OTHERS),
        f"{lost_new} of {asked}" + (f" (base {lost})" if lost else ""),
        "{1} (base {0})".format(*found["decoding_faults"]),
        str(found["unreachable_new"]),
        "ok" if found["reloads"] else "NO",
        f"{found['cpu_seconds']:.0f}",
        f"{found['alone_cpu_seconds']:.0f}",
        f"{found['gigabytes']:.1f}",
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    """Measure everything, one process each, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--options", nargs="+", default=list(OPTIONS), choices=OPTIONS)
    parser.add_argument("--targets", nargs="+", default=["sw", "ta", "am"])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", action="store_true", help="measure here and print JSON")
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.directory, asked.options[0], asked.data, asked.targets)))
        return
    found = sorted(path.parent for path in asked.directory.glob("*/tokenizer.json"))
    names = ("tokenizers", "transformers")
    print(datetime.now(UTC).date(), *(f"{name} {version(name)}" for name in names))
    print("| " + " | ".join(COLUMNS) + " |\n|" + "---|" * len(COLUMNS))
    for directory in found or [asked.directory]:
        for option in asked.options:
            command = [sys.executable, __file__, str(directory), "--one", "--options", option,
                       "--data", str(asked.data), "--targets", *asked.targets]  # fmt: skip
            run = subprocess.run(command, capture_output=True, text=True, check=False)
            if run.returncode:
                print(
                    f"| {directory.name} | {option} | {run.stderr.splitlines()[-1]} |", flush=True
                )
                continue
            print(row(json.loads(run.stdout.splitlines()[-1])), flush=True)
            if asked.json:
                with asked.json.open("a") as kept:
                    kept.write(run.stdout.splitlines()[-1] + "\n")


if __name__ == "__main__":
    main()
