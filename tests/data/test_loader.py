from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from franken.data.corpus import write_corpus
from franken.data.encoding import RecordEncoder
from franken.data.loader import BatchShape, FixedBatches, PackedLoader, Planner
from franken.data.mixing import StreamKey
from franken.data.packing import Packer
from franken.errors import CompatibilityError, ConfigError
from tests.faults import raises

LENGTH = 24
SHARES = {"a": 0.5, "b": 0.3, "c": 0.2}


@pytest.fixture
def planner(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> Planner:
    return make_planner(tmp_path, tokenizer)


def make_planner(directory: Path, tokenizer: PreTrainedTokenizerFast, seed: int = 0) -> Planner:
    packers, shares = {}, {}
    for number, (language, share) in enumerate(SHARES.items()):
        texts = [f"{language} record {n} " + "x" * (n * 7 % 40) for n in range(20 + 30 * number)]
        name = directory / f"{language}"
        corpus = write_corpus(texts, RecordEncoder(tokenizer), name, max_tokens=10**9)
        key = StreamKey("monolingual", language)
        packers[key] = Packer(corpus, LENGTH, seed=number, whole=language == "c")
        shares[key] = share
    return Planner(packers, shares, sequences=12, seed=seed)


def loader_of(planner: Planner, accumulate: int = 1, steps: int = 8, **ranks: int) -> PackedLoader:
    return PackedLoader(planner, BatchShape(12, LENGTH, accumulate, **ranks), steps, pad=0)


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("accumulate", [1, 3])
def test_resume_at_every_cut_point(planner: Planner, accumulate: int) -> None:
    loader = loader_of(planner, accumulate)
    batches, states = [], [loader.state_dict()]
    for batch in loader:
        batches.append(batch)
        states.append(loader.state_dict())
    assert len(batches) == 8 * accumulate
    for cut, state in enumerate(states[:-1]):
        resumed = loader_of(planner, accumulate)
        resumed.load_state_dict(state)
        rest = list(resumed)
        assert len(rest) == len(batches) - cut
        assert all(same(one, other) for one, other in zip(rest, batches[cut:], strict=True))


def test_a_later_epoch_continues_and_resumes(planner: Planner) -> None:
    loader = loader_of(planner, steps=3)
    first, second = list(loader), list(loader)
    assert len(first) == len(second) == 3
    assert not same(first[0], second[0])
    resumed = loader_of(planner, steps=3)
    for _ in resumed:
        pass
    again = loader_of(planner, steps=3)
    again.load_state_dict(resumed.state_dict())
    assert all(same(one, other) for one, other in zip(list(again), second, strict=True))


def test_state_is_plain_json(planner: Planner) -> None:
    import json

    loader = loader_of(planner)
    next(iter(loader))
    state = loader.state_dict()
    assert json.loads(json.dumps(state)) == state


def test_a_foreign_position_is_refused(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    state = loader_of(make_planner(tmp_path / "one", tokenizer)).state_dict()
    other = loader_of(make_planner(tmp_path / "two", tokenizer, seed=1))
    with raises(CompatibilityError, state["plan"], other.planner.identity()):
        other.load_state_dict(state)


@pytest.mark.parametrize("world_size", [2, 4])
def test_ranks_share_the_batches_of_one_device(planner: Planner, world_size: int) -> None:
    alone = list(loader_of(planner, accumulate=3))
    ranks = [
        list(loader_of(planner, accumulate=3, rank=rank, world_size=world_size))
        for rank in range(world_size)
    ]
    for number, batch in enumerate(alone):
        together = torch.cat([rank[number]["input_ids"] for rank in ranks])
        assert torch.equal(together, batch["input_ids"])


def test_accumulation_cuts_the_same_steps(planner: Planner) -> None:
    whole = list(loader_of(planner, accumulate=1))
    parts = list(loader_of(planner, accumulate=3))
    for step, batch in enumerate(whole):
        joined = torch.cat([part["labels"] for part in parts[3 * step : 3 * step + 3]])
        assert torch.equal(joined, batch["labels"])


def test_a_batch_that_cannot_be_split_is_refused() -> None:
    with raises(ConfigError, "batch_size=12", "accumulate=2", 4, 8):
        BatchShape(12, LENGTH, accumulate=2, world_size=4)


def test_streams_are_drawn_by_their_shares(planner: Planner) -> None:
    counts: Counter[int] = Counter()
    for step in range(400):
        drawn = planner.streams(step)
        counts.update(drawn)
        assert 5 <= drawn.count(0) <= 7  # 12 * 0.5, up to rounding in every single step
    total = sum(counts.values())
    assert [counts[n] / total for n in range(3)] == pytest.approx([0.5, 0.3, 0.2], abs=0.01)


def test_seed_changes_the_draws(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    one = make_planner(tmp_path / "one", tokenizer, seed=0)
    two = make_planner(tmp_path / "two", tokenizer, seed=1)
    assert [one.streams(n) for n in range(5)] != [two.streams(n) for n in range(5)]
    assert [one.streams(n) for n in range(5)] == [one.streams(n) for n in range(5)]


def test_fixed_batches_repeat(planner: Planner) -> None:
    batches = FixedBatches(planner, BatchShape(12, LENGTH), 3, pad=0)
    first, second = list(batches), list(batches)
    assert len(first) == len(batches) == 3
    assert all(same(one, other) for one, other in zip(first, second, strict=True))
