"""Instructions packed into one sequence train as each of them alone: loss on the response only."""

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from franken.config.training import Trainable, TrainingConfig
from franken.data.collate import collate
from franken.data.corpus import write_corpus
from franken.data.encoding import RecordEncoder
from franken.data.packing import Cursor, Packer
from franken.data.source import Instruction
from franken.training.module import CausalModule
from franken.training.policy import apply_policy
from tests.data.conftest import word_tokenizer
from tests.training.test_masks import CASES
from tests.training.tiny import tiny_model

RECORDS = [
    Instruction("ab", "cd"), Instruction("cab", "e"), Instruction("d\n", "bad cab"),
    Instruction("abcdefg", "h"), Instruction("h", "gfe"), Instruction("ff", "ace"),
]  # fmt: skip
LENGTH = 24


@pytest.fixture
def packed(tmp_path: Path) -> tuple[dict, list[tuple[list[int], int]]]:
    """The batch of all records, several to a row, and every record's ids and silent tokens."""
    encoder = RecordEncoder(word_tokenizer())
    corpus = write_corpus(RECORDS, encoder, tmp_path / "corpus", max_tokens=1 << 20)
    packer, cursor, rows, taken = Packer(corpus, LENGTH, seed=1, whole=True), Cursor(), [], 0
    while taken < len(RECORDS):
        pieces, cursor = packer.take(cursor)
        pieces = pieces[: len(RECORDS) - taken]
        taken += len(pieces)
        rows.append((corpus.tokens, pieces))
    assert max(len(pieces) for _, pieces in rows) > 1
    encoded = [e for e in encoder.encode(RECORDS) if e is not None]
    return collate(rows, LENGTH, encoder.pad), [(e.ids.tolist(), e.silent) for e in encoded]


@pytest.mark.parametrize("chunk", [0, 5])
@pytest.mark.parametrize(("family", "changes"), CASES, ids=str)
def test_packed_loss_and_gradients_equal_the_sum_over_records_alone(
    family, changes, chunk, packed
) -> None:
    batch, alone = packed
    model = tiny_model(family, vocab_size=200, **changes)
    training = TrainingConfig(batch_size=4, sequence_length=LENGTH, loss_chunk_tokens=chunk)
    module = CausalModule(model, apply_policy(model, Trainable.full, training), training, seed=0)
    model.eval()
    loss = module.summed_loss(batch)
    loss.backward()
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    total = torch.zeros(())
    for ids, silent in alone:
        tokens = torch.tensor([ids])
        logits = model(input_ids=tokens, use_cache=False).logits[0, silent - 1 : -1]
        total = total + F.cross_entropy(logits, tokens[0, silent:], reduction="sum")
    total.backward()
    torch.testing.assert_close(loss, total, rtol=2e-5, atol=2e-5)
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            torch.testing.assert_close(found[name], parameter.grad, rtol=5e-4, atol=5e-5)


def test_only_responses_and_their_ends_count(packed) -> None:
    batch, alone = packed
    counted = int((batch["labels"] != -100).sum())
    assert counted == sum(len(ids) - silent for ids, silent in alone)
    responses = [" cd", " e", "bad cab", " h", " gfe", " ace"]
    assert counted == sum(len(text) + 1 for text in responses)  # with the end token


def test_what_a_neighbour_says_changes_nothing(packed) -> None:
    batch, _ = packed
    row = int((batch["segment_ids"].amax(dim=1) > 1).nonzero()[0])
    batch = {name: values[row : row + 1].clone() for name, values in batch.items()}
    model = tiny_model("llama", vocab_size=200)
    training = TrainingConfig(batch_size=1, sequence_length=LENGTH)
    module = CausalModule(model, apply_policy(model, Trainable.full, training), training, seed=0)
    first = batch["segment_ids"] == 1
    with torch.no_grad():
        before = module.hidden_states(batch)
        batch["input_ids"][first] += 7
        after = module.hidden_states(batch)
    assert torch.equal(before[~first], after[~first])
    assert not torch.equal(before[first], after[first])
