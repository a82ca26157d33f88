"""Which half of a new table is at fault: what it reads, or what it writes.

    python benchmarks/halves.py CHECKPOINT --train sw.train.jsonl --held-out sw.valid.jsonl
    python benchmarks/halves.py CHECKPOINT --train ... --held-out ... --added 2000 --limit 12

A byte-level or SentencePiece BPE checkpoint gets ``--added`` new pieces (``vocab=extension``). The
same held-out lines are scored, in bits per byte, by four pairs: text read in old or new pieces, and
the next token written in old or new ones. Read new, write old: each new token is spelt by a chain
of its old pieces that sees the text before it in new ones. Read old, write new: whole new tokens
are predicted from the states that the old pieces give, where a new token begins.
"""

import argparse
import gzip
import json
import math
import time
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

import franken

METHODS: tuple[tuple[str, dict[str, object]], ...] = (
    ("subtoken_mean", {}),
    ("weighted_pooling", {}),
    ("weighted_pooling", {"untie": True, "rate": 1.0}),
)


@dataclass
class Lines:
    """Held-out lines in new ids, and what each id is in old ones."""

    rows: list[list[int]]
    old_of: dict[int, list[int]]
    opening: list[int]
    """Ids that open a text: bos where the tokenizer adds one."""
    byte_count: int

    def spelt(self, ids: list[int]) -> list[int]:
        """Old ids of new ones."""
        return [piece for index in ids for piece in self.old_of.get(index, [index])]


@dataclass
class Reader:
    """A body, and two pairs of tables."""

    model: torch.nn.Module
    old: Tensor
    head: Tensor
    lines: Lines

    @cached_property
    def scale(self) -> float:
        """What Gemma multiplies its input rows by."""
        return float(getattr(self.model.get_input_embeddings(), "scalar_embed_scale", 1.0))  # type: ignore[operator]

    def states(
        self,
        ids: list[int],
        table: Tensor,
        places: list[int] | None = None,
        mask: Tensor | None = None,
    ) -> Tensor:
        """Final states ``(L, D)``; ``mask`` ``(L, L)``: what each place may see."""
        rows = (table[torch.tensor(ids)] * self.scale).to(self.old.dtype)[None]
        seen = None
        if mask is not None:
            seen = torch.zeros(mask.shape, dtype=rows.dtype)
            seen = seen.masked_fill(~mask, torch.finfo(rows.dtype).min)[None, None]
            if getattr(self.model.config, "layer_types", None):
                seen = dict.fromkeys(set(self.model.config.layer_types), seen)  # type: ignore[assignment]
        where = None if places is None else torch.tensor(places)[None]
        body = self.model.model
        return body(inputs_embeds=rows, attention_mask=seen, position_ids=where).last_hidden_state[
            0
        ]

    def nats(self, states: Tensor, head: Tensor, ids: list[int]) -> float:
        """Negative log-probability of ``ids``, one per state."""
        if not ids:
            return 0.0
        logits = (states @ head.T).float()
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        if cap:
            logits = torch.tanh(logits / cap) * cap
        return (
            -torch.log_softmax(logits, -1)[torch.arange(len(ids)), torch.tensor(ids)].sum().item()
        )

    def bits(self, one: object, head: Tensor) -> float:
        """Bits per byte, where ``one(ids)`` gives states and targets of a line."""
        total = 0.0
        for ids in self.lines.rows:
            states, targets, free = one(ids)  # type: ignore[operator]
            total += self.nats(states, head, targets) + free * math.log(len(head))
        return total / math.log(2) / self.lines.byte_count

    def plain(self, table: Tensor, *, spelt: bool):
        """Read and written in the same pieces."""

        def one(ids: list[int]) -> tuple[Tensor, list[int], int]:
            own = self.lines.opening + (self.lines.spelt(ids) if spelt else ids)
            free = 0 if self.lines.opening else 1
            return self.states(own, table)[:-1], own[1:], free

        return one

    def read_old(self):
        """Whole new tokens from the states of old pieces."""

        def one(ids: list[int]) -> tuple[Tensor, list[int], int]:
            opening = self.lines.opening
            states = self.states(opening + self.lines.spelt(ids), self.old)
            ends = [len(opening) - 1]
            for index in ids[:-1]:
                ends.append(ends[-1] + len(self.lines.spelt([index])))
            first = 0 if opening else 1
            return states[torch.tensor(ends[first:], dtype=torch.long)], ids[first:], first

        return one

    def write_old(self, table: Tensor):
        """Each new token as a branch of old pieces, under the text before it in new ones."""

        def one(ids: list[int]) -> tuple[Tensor, list[int], int]:
            main = self.lines.opening + ids
            free = 0 if self.lines.opening else 1
            sequence, places, branches = list(main), list(range(len(main))), []
            states_at: list[int] = []
            targets: list[int] = []
            for after, index in enumerate(
                main[len(self.lines.opening) :], len(self.lines.opening) - 1
            ):
                own: list[int] = []
                for number, piece in enumerate(self.lines.spelt([index])):
                    at = own[-1] if own else after
                    if at >= 0:
                        states_at.append(at)
                        targets.append(piece)
                    sequence.append(piece)
                    places.append(after + 1 + number)
                    own.append(len(sequence) - 1)
                branches.append((after, own))
            mask = torch.zeros(len(sequence), len(sequence), dtype=torch.bool)
            mask[: len(main), : len(main)] = torch.ones(len(main), len(main)).tril().bool()
            for after, own in branches:
                for number, row in enumerate(own):
                    mask[row, : after + 1] = True
                    mask[row, own[: number + 1]] = True
            states = self.states(sequence, table, places, mask)
            return states[torch.tensor(states_at)], targets, free

        return one


def text_of(path: str) -> list[str]:
    """Lines of the records of a JSON lines file."""
    with (gzip.open if path.endswith("gz") else open)(path, "rt") as file:
        records = [json.loads(record)["text"] for record in file]
    return [line.strip() for text in records for line in text.splitlines() if line.strip()]


def held_out(old: object, new: object, lines: list[str]) -> Lines:
    """Lines under the new tokenizer, and the old pieces of every id that they use."""
    rows = [own.ids for own in new.backend_tokenizer.encode_batch(lines, add_special_tokens=False)]  # type: ignore[attr-defined]
    model, known = old.backend_tokenizer.model, len(old)  # type: ignore[attr-defined, arg-type]
    used = {index for ids in rows for index in ids if index >= known}
    old_of = {
        index: [piece.id for piece in model.tokenize(new.convert_ids_to_tokens(index))]  # type: ignore[attr-defined]
        for index in used
    }
    probe = old("a")["input_ids"]  # type: ignore[operator]
    bos = old.bos_token_id  # type: ignore[attr-defined]
    opening = [bos] if bos is not None and probe[:1] == [bos] else []
    return Lines(rows, old_of, opening, sum(len(line.encode()) for line in lines))


@torch.inference_mode()
def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint")
    parser.add_argument("--train", required=True, help="JSON lines with a field text")
    parser.add_argument("--held-out", required=True)
    parser.add_argument("--added", type=int, default=8000)
    parser.add_argument("--limit", type=int, default=12, help="held-out lines")
    options = parser.parse_args()
    model = AutoModelForCausalLM.from_pretrained(options.checkpoint, dtype=torch.bfloat16).eval()
    old = AutoTokenizer.from_pretrained(options.checkpoint)
    new = franken.build_vocab(
        old, "extension", texts={"xx": text_of(options.train)}, added=options.added
    )
    lines = held_out(old, new, text_of(options.held_out)[: options.limit])
    table = model.get_input_embeddings().weight
    reader = Reader(model, table, table, lines)
    tokens = [sum(map(len, rows)) for rows in ([lines.spelt(r) for r in lines.rows], lines.rows)]
    print(f"{lines.byte_count} bytes, {tokens[0]} old tokens, {tokens[1]} new ones")
    print(f"read old, write old: {reader.bits(reader.plain(table, spelt=True), table):.3f}")
    for method, chosen in METHODS:
        made = franken.transfer(model, old, new, method=method, **chosen).table
        rows = made.input.to(table.dtype)
        head = rows if made.output is None else made.output.to(table.dtype)
        began = time.process_time()
        found = {
            "read new, write old": reader.bits(reader.write_old(rows), table),
            "read old, write new": reader.bits(reader.read_old(), head),
            "read new, write new": reader.bits(reader.plain(rows, spelt=False), head),
        }
        shown = "; ".join(f"{name} {value:.3f}" for name, value in found.items())
        print(f"{method} {chosen or ''}: {shown} ({time.process_time() - began:.0f} s of CPU)")


if __name__ == "__main__":
    main()
