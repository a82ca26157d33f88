"""Helper models trained on the spot: what they learn, what is kept, and that nothing leaks."""

from dataclasses import replace

import pytest
import torch

from franken import progress
from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.helper_model import train_helper
from franken.helper_model.common.sequences import LanguageTurns, collect_tokens
from franken.helper_model.trained import HelperKind, TrainedHelper, mask_tokens
from franken.tokenizer.families import train_tokenizer
from tests.faults import raises

NOUNS, VERBS = ["paka", "mbwa", "simba", "tembo"], ["anakula", "analala", "anaona", "anacheza"]
TEXT = [f"{noun} mdogo {verb} sana leo" for noun in NOUNS for verb in VERBS] * 3
SMALL = TrainedHelper(
    hidden_size=32, layers=1, heads=2, sequence_length=16, steps=120, batch_size=16, lr=1e-2
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(TokenizerKind.sentencepiece_bpe, TEXT * 4, 340)


def train(tokenizer, config=SMALL, seed=0, texts=None):
    texts = {"sw": lambda: TEXT} if texts is None else texts
    return train_helper(config, tokenizer, texts, seed)


@pytest.mark.parametrize("kind", list(HelperKind))
def test_the_text_is_learnt_beyond_the_frequency_of_its_tokens(tokenizer, kind) -> None:
    table, report = train(tokenizer, replace(SMALL, kind=kind, mask_share=0.3))
    assert report.last_loss < report.unigram_entropy < report.first_loss
    assert report.steps == 120
    assert table.input.shape == (len(tokenizer), 32)
    assert table.tied


def test_words_of_one_kind_come_close_to_each_other(tokenizer) -> None:
    table, _ = train(tokenizer)

    def rows(words):
        ids = [tokenizer(f"x {word}", add_special_tokens=False)["input_ids"][-1] for word in words]
        assert len(set(ids)) == len(words)
        return torch.nn.functional.normalize(table.input[ids], dim=1)

    nouns, verbs = rows(NOUNS), rows(VERBS)
    same = ((nouns @ nouns.T).sum() - 4) / 12
    assert float(same) > float((nouns @ verbs.T).mean()) + 0.2


@pytest.mark.parametrize("kind", list(HelperKind))
def test_equal_seeds_give_equal_bytes_and_the_global_generator_is_left_alone(tokenizer, kind):
    config = replace(SMALL, kind=kind, steps=5)
    state = torch.get_rng_state()
    first, _ = train(tokenizer, config)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(10)
    second, _ = train(tokenizer, config)
    other, _ = train(tokenizer, config, seed=1)
    assert torch.equal(first.input, second.input)
    assert first.lineage == second.lineage != other.lineage
    assert not torch.equal(first.input, other.input)


def test_the_extra_mask_row_is_dropped(tokenizer) -> None:
    assert tokenizer.mask_token_id is None
    table, _ = train(tokenizer, replace(SMALL, kind=HelperKind.masked, steps=2))
    assert table.rows == len(tokenizer)


def test_masks_hide_most_exchange_some_and_leave_the_rest() -> None:
    batch = torch.arange(40_000).view(100, 400)
    chosen, inputs = mask_tokens(batch, -7, 0.15, torch.Generator().manual_seed(0))
    assert torch.equal(inputs[~chosen], batch[~chosen])
    assert float(chosen.float().mean()) == pytest.approx(0.15, abs=0.01)
    hidden = inputs[chosen] == -7
    kept = inputs[chosen] == batch[chosen]
    assert float(hidden.float().mean()) == pytest.approx(0.8, abs=0.02)
    assert float(kept.float().mean()) == pytest.approx(0.1, abs=0.02)


def test_a_batch_without_luck_still_guesses_something() -> None:
    chosen, _ = mask_tokens(torch.zeros(1, 2).long(), 9, 1e-9, torch.Generator().manual_seed(0))
    assert int(chosen.sum()) == 1


def test_languages_take_turns_and_short_texts_repeat() -> None:
    tokens = {"long": torch.arange(100, 200), "short": torch.tensor([1, 2, 3])}
    turns = LanguageTurns(tokens, 10, 0)
    seen = [turns.next(3) for _ in range(8)]
    rows = torch.cat(seen)
    assert rows.shape == (24, 10)
    assert torch.equal(rows[1], torch.tensor([1, 2, 3] * 4)[:10])
    assert (rows[::2] >= 100).all()
    assert (rows[1::2] < 100).all()
    starts = rows[::2][:10, 0].tolist()
    assert sorted(starts) == list(range(100, 200, 10))  # each once before any comes again
    assert starts != sorted(starts)


def test_reading_stops_when_there_is_enough(tokenizer) -> None:
    def endless():
        while True:
            yield TEXT[0]

    found = collect_tokens(tokenizer, endless(), 50)
    assert len(found) == 50
    line = [*tokenizer(TEXT[0], add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    assert found[: len(line)].tolist() == line


def test_no_text_is_an_error_that_says_what_to_do(tokenizer) -> None:
    with raises(DataError, "helper_model=trained", ["am", "sw"], "helper_model=checkpoint"):
        train(tokenizer, texts={"sw": lambda: [], "am": lambda: iter(())})
    with raises(DataError, "helper_model=trained", [], "helper_model=checkpoint"):
        train(tokenizer, texts={})


def test_a_language_without_text_is_named_in_a_warning(tokenizer, caplog) -> None:
    brief = replace(SMALL, steps=2)
    _, report = train(tokenizer, brief, texts={"am": lambda: [], "sw": lambda: TEXT})
    assert set(report.tokens) == {"sw"}
    assert "am" in caplog.messages[0]
    assert "sw" not in caplog.messages[0]


def test_steps_are_counted_where_one_waits(tokenizer, caplog, monkeypatch) -> None:
    monkeypatch.setattr(progress, "TELL_EVERY", 0.0)
    caplog.set_level("INFO", progress.__name__)
    train(tokenizer, replace(SMALL, steps=2), texts={"sw": lambda: TEXT})
    told = [r.args[1:3] for r in caplog.records if r.name == progress.__name__]
    assert told == [(1, 2), (2, 2)]


def test_the_report_counts_the_rows_that_no_text_trained(tokenizer) -> None:
    line = TEXT[0]
    table, report = train(tokenizer, replace(SMALL, steps=2), texts={"sw": lambda: [line] * 50})
    seen = {*tokenizer(line, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id}
    assert report.unseen_rows == len(tokenizer) - len(seen)
    assert set((table.input != 0).any(1).nonzero().flatten().tolist()) == seen


def test_rows_of_rare_tokens_go_by_the_minimum(tokenizer) -> None:
    brief = replace(SMALL, steps=2)
    texts = {"sw": lambda: [TEXT[0]] * 50 + ["zebra"]}
    tables = [train(tokenizer, replace(brief, min_count=n), texts=texts)[0] for n in (0, 1, 9)]
    kept = [(table.input != 0).any(1) for table in tables]
    assert bool(kept[0].all())
    assert len(tokenizer) > int(kept[1].sum()) > int(kept[2].sum()) > 5
    assert torch.equal(tables[0].input[kept[2]], tables[2].input[kept[2]])
