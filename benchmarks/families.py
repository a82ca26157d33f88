"""Every language model type of transformers, tiny: a new table goes in and comes back.

    python benchmarks/families.py                      # all types, two processes, about ten minutes
    python benchmarks/families.py llama mixtral        # some
    python benchmarks/families.py --page docs/families.md

For each type: the table is taken, one with more tokens is put in, the model is saved and read by
plain transformers, and the logits of the old tokens are compared to the bit with those before;
the same again through a body on disk and ``export_model``. Each process may use 6 GB.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import traceback
from collections import deque
from datetime import date
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

MEMORY_BYTES = 6 << 30
CHUNK = 8
OLD_ROWS, NEW_ROWS = 96, 112


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("types", nargs="*", help="default: all")
    parser.add_argument("--page", type=Path, help="write the table as a page")
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        check_all(arguments.types)
        return
    results = run(arguments.types or all_types(), arguments.parallel)
    text = page(results)
    print(text)
    if arguments.page:
        arguments.page.write_text(text)


def all_types() -> list[str]:
    from franken.families.objective import language_model_types

    return language_model_types()


def run(types: list[str], parallel: int) -> dict[str, dict[str, Any]]:
    """Chunks in processes of their own: a crash or a runaway costs one type."""
    waiting = deque(types[start : start + CHUNK] for start in range(0, len(types), CHUNK))
    results: dict[str, dict[str, Any]] = {}
    running: list[tuple[list[str], subprocess.Popen[str]]] = []
    while waiting or running:
        while waiting and len(running) < parallel:
            chunk = waiting.popleft()
            command = [sys.executable, __file__, "--inside", *chunk]
            running.append((chunk, subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                env=os.environ | {"OMP_NUM_THREADS": "1"},
            )))  # fmt: skip
        chunk, process = running.pop(0)
        output, _ = process.communicate()
        for line in output.splitlines():
            if line.startswith("{"):
                record = json.loads(line)
                results[record.pop("type")] = record
                print(f"{len(results):4}/{len(types)}", line[:160], file=sys.stderr, flush=True)
        lost = [name for name in chunk if name not in results]
        if lost:
            results[lost[0]] = {"fault": f"the process ended with code {process.returncode}"}
            if lost[1:]:
                waiting.append(lost[1:])
    return dict(sorted(results.items()))


def check_all(types: list[str]) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES * 2, MEMORY_BYTES * 2))
    import warnings

    from transformers.utils import logging

    warnings.filterwarnings("ignore")
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    for name in types:
        try:
            record = check(name)
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            record = {"fault": f"{type(error).__name__}: {error} ({where.name})"[:400]}
        print(json.dumps({"type": name, **record}), flush=True)


def check(name: str) -> dict[str, Any]:
    """What works for one type; raises on the first thing that does not."""
    import torch
    from family_configs import tiny_random

    from franken.families.capabilities import capabilities_of
    from franken.families.objective import is_masked
    from franken.parts.body import save_body
    from franken.parts.export import export_model
    from franken.parts.model import ModelRef
    from franken.parts.surgery import put_table, take_table
    from franken.parts.table import save_table
    from tests.parts.tiny import tiny_tokenizer

    model = tiny_random(name, rows=OLD_ROWS)
    old, new = tiny_tokenizer(size=OLD_ROWS), tiny_tokenizer(size=NEW_ROWS)
    ids = torch.arange(5, 17).view(1, -1)
    before = logits_of(model, ids)
    record: dict[str, Any] = {"masked": is_masked(model.config)}
    record |= {"capabilities": capabilities_of(model.config).to_json()}
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        fingerprint = save_body(model, place / "body", tokenizer=old)
        table = longer(take_table(model, old, lineage=fingerprint), new)
        save_table(table, place / "table")
        put_table(model, table, previous=old)
        same(before, logits_of(model, ids), "after put_table")
        reload_and_compare(model, place / "saved", before, ids)
        ref = ModelRef(place / "body", place / "table", (), fingerprint, fingerprint)
        export_model(ref, place / "export", card="# card\n")
        same(before, logits_of(loaded(place / "export"), ids), "after export")
    return record


def longer(table: Any, tokenizer: Any) -> Any:
    """The old rows, and random ones behind them."""
    from dataclasses import replace

    import torch

    generator = torch.Generator().manual_seed(1)

    def more(tensor: Any) -> Any:
        if tensor is None:
            return None
        shape = (NEW_ROWS - OLD_ROWS, *tensor.shape[1:])
        return torch.cat([tensor, torch.randn(shape, generator=generator).to(tensor.dtype)])

    return replace(
        table, tokenizer=tokenizer, input=more(table.input), output=more(table.output),
        output_bias=more(table.output_bias),
    )  # fmt: skip


def reload_and_compare(model: Any, place: Path, before: Any, ids: Any) -> None:
    model.save_pretrained(place)
    same(before, logits_of(loaded(place), ids), "after save_pretrained and from_pretrained")


def loaded(place: Path) -> Any:
    from franken.families.objective import auto_class
    from franken.parts.checkpoint import read_config

    return auto_class(read_config(place)).from_pretrained(place).eval()


def logits_of(model: Any, ids: Any) -> Any:
    import torch

    torch.manual_seed(0)
    with torch.no_grad():
        return model(input_ids=ids).logits[..., :OLD_ROWS]


def same(before: Any, after: Any, when: str) -> None:
    import torch

    if not torch.equal(before, after):
        distance = (before.float() - after.float()).abs().max().item()
        raise AssertionError(f"logits of old tokens differ by up to {distance:.1e} {when}")


def page(results: dict[str, dict[str, Any]]) -> str:
    """The results as a Markdown page."""
    import transformers

    from franken.families.capabilities import NAMES

    good = {name: record for name, record in results.items() if "fault" not in record}
    lines = [
        "# Families of models",
        "",
        "Which language model types of transformers, causal and masked, franken works on. Made by "
        "`python benchmarks/families.py --page docs/families.md` with transformers "
        f"{transformers.__version__} on {date.today().isoformat()}: for each type a tiny random",
        "model, whose table is taken and replaced by a longer one; saved, reloaded by plain "
        "transformers and exported, it must give the logits of the old tokens to the bit.",
        "",
        f"**{len(good)} of {len(results)} types pass.** `python -m franken.families CHECKPOINT` "
        "says the same of a checkpoint of yours, by its own config.",
        "",
        "| type | guesses | " + " | ".join(NAMES) + " |",
        "|---|---|" + "---|" * len(NAMES),
    ]
    for name, record in good.items():
        cells = ["yes" if record["capabilities"][what] is None else "" for what in NAMES]
        guesses = "hidden" if record["masked"] else "next"
        lines.append(f"| {name} | {guesses} | " + " | ".join(cells) + " |")
    lines += ["", "## Not passed", "", "| type | why |", "|---|---|"]
    for name, record in results.items():
        if "fault" in record:
            why = " ".join(record["fault"].split()).replace("|", "\\|")
            lines.append(f"| {name} | {why[:240]} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
