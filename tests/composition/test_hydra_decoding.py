"""Generation: independent of cache and batch, equal to transformers where it can do the same."""

import itertools
from typing import Any

import pytest
import torch

from franken.decoding import Decoding, Ends, Strategy, WholeModel, Written, decode
from franken.errors import ConfigError, DataError
from franken.eval_suite.encoding import fitting
from franken.eval_suite.readout import read_out
from tests.faults import raises

from .hydras import FAMILIES, hydra
from .test_hydra_model import MIXED

PROMPTS = [MIXED, MIXED[:1], [("xx", "paka"), ("en", " sat on the mat and the dog")]]


def run(view: Any, prompts: list[list[int]], network: Any = None, **options: Any) -> list[Written]:
    made = Decoding(**{"max_new_tokens": 9, **options})
    network = network or WholeModel(view.model)
    return decode(network, prompts, made, ends=view.ends, writable=view.writable)


def prompts_of(view: Any) -> list[list[int]]:
    return [view.encode(segments) for segments in PROMPTS]


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
@pytest.mark.parametrize("strategy", list(Strategy))
def test_cached_generation_equals_uncached(family: str, tied: bool, strategy: Strategy) -> None:
    made, _ = hydra(family, tied)
    view = made.view("xx", ["en"])
    cached = run(view, prompts_of(view), strategy=strategy, beams=3)
    whole = run(view, prompts_of(view), strategy=strategy, beams=3, cache=False)
    assert [w.ids for w in cached] == [w.ids for w in whole]
    assert all(w.ids for w in cached)
    for one, two in zip(cached, whole, strict=True):
        assert one.log_prob == pytest.approx(two.log_prob, abs=1e-4)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_prompts_continuation_does_not_depend_on_its_batch(strategy: Strategy) -> None:
    made, _ = hydra("gemma2", True)
    view = made.view("xx", ["en"])
    prompts = prompts_of(view)
    together = run(view, prompts, strategy=strategy, beams=3)
    alone = run(view, prompts[:1], strategy=strategy, beams=3)
    assert together[0].ids == alone[0].ids


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_no_id_outside_the_written_table_is_ever_written(family: str, tied: bool) -> None:
    made, _ = hydra(family, tied)
    for write, read in (("xx", "en"), ("en", "xx")):
        module = made.tables[write]
        with torch.no_grad():  # padding rows that would win every argmax
            module.head.weight[module.tokens :] = module.head.weight[5] * 50
        assert module.rows > module.tokens
        view = made.view(write, [read])
        for strategy in Strategy:
            found = run(view, prompts_of(view), strategy=strategy, temperature=5.0)
            ids = [index for written in found for index in written.ids]
            assert ids
            assert max(ids) < module.tokens


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_greedy_and_beams_of_one_table_equal_transformers(family: str, tied: bool) -> None:
    made, _ = hydra(family, tied)
    view = made.view("en")
    prompt = view.encode([("en", "the cat sat on")])
    allowed = list(range(view.writable, view.layout.total))
    for beams in (1, 4):
        expected = view.model.generate(
            torch.tensor([prompt]), max_new_tokens=9, num_beams=beams, do_sample=False,
            suppress_tokens=allowed, attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
        )[0, len(prompt) :].tolist()  # fmt: skip
        end = view.tokenizer.eos_token_id
        expected = expected[: expected.index(end)] if end in expected else expected
        strategy = Strategy.greedy if beams == 1 else Strategy.beam
        (found,) = run(view, [prompt], strategy=strategy, beams=beams)
        assert found.ids == expected


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_transformers_generates_from_a_mixed_prompt_too(family: str, tied: bool) -> None:
    made, _ = hydra(family, tied)
    view = made.view("xx", ["en"])
    prompt = view.encode(MIXED)
    assert max(prompt) >= view.layout.rows[0]
    (own,) = run(view, [prompt])
    found = view.model.generate(
        torch.tensor([prompt]), max_new_tokens=9, do_sample=False,
        suppress_tokens=list(range(view.writable, view.layout.rows[0])) or None,
    )  # fmt: skip
    new = found[0, len(prompt) :].tolist()
    end = view.tokenizer.eos_token_id
    assert new == [*own.ids, end] if own.ended else new == own.ids


def test_beams_that_keep_everything_find_the_best_sequence() -> None:
    """Against all continuations of two tokens, ended ones among them, scored one by one."""
    made, _ = hydra("llama", False)
    view = made.view("xx", ["en"])
    prompt = view.encode(MIXED)
    end, writable = 1, 6

    def log_probs(extra: list[int]) -> torch.Tensor:
        logits = view.logits(torch.tensor([prompt + extra]))[0, -1, :writable]
        return torch.log_softmax(logits.float(), dim=-1)

    first = log_probs([])
    scores = {(end,): first[end].item()}
    for one, two in itertools.product(range(writable), repeat=2):
        if one != end:
            scores[one, two] = (first[one] + log_probs([one])[two]).item()
    best = max(scores, key=lambda ids: scores[ids] / len(ids))
    made_by = decode(
        WholeModel(view.model), [prompt],
        Decoding(Strategy.beam, max_new_tokens=2, beams=36), ends=Ends(frozenset([end])),
        writable=writable,
    )  # fmt: skip
    assert tuple(made_by[0].ids) == tuple(i for i in best if i != end)
    assert made_by[0].log_prob == pytest.approx(scores[best], abs=1e-4)


def test_one_beam_is_greedy_and_sampling_narrows_to_greedy() -> None:
    made, _ = hydra("llama", False)
    view = made.view("xx", ["en"])
    greedy = [w.ids for w in run(view, prompts_of(view))]
    assert [w.ids for w in run(view, prompts_of(view), strategy=Strategy.beam, beams=1)] == greedy
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-4}):
        sampled = run(view, prompts_of(view), strategy=Strategy.sample, **narrow)
        assert [w.ids for w in sampled] == greedy
    draws = {
        tuple(run(view, prompts_of(view)[:1], strategy=Strategy.sample, seed=seed)[0].ids)
        for seed in range(4)
    }
    assert len(draws) > 1


def test_the_readout_of_a_view_gives_the_same_as_its_forward() -> None:
    for family, tied in FAMILIES:
        made, _ = hydra(family, tied)
        view = made.view("xx", ["en"])
        by_parts = run(view, prompts_of(view), network=read_out(view.model))
        assert [w.ids for w in by_parts] == [w.ids for w in run(view, prompts_of(view))]


@pytest.mark.parametrize("strategy", list(Strategy))
def test_nothing_ends_before_the_least_length(strategy: Strategy) -> None:
    made, _ = hydra("llama", False)
    view = made.view("xx", ["en"])
    prompt = prompts_of(view)[:1]
    end = run(view, prompt)[0].ids[0]  # the token that comes first stands for the end

    def made_with(least: int) -> Written:
        options = Decoding(strategy, 6, min_new_tokens=least, temperature=1e-4, beams=3)
        network = WholeModel(view.model)
        return decode(
            network, prompt, options, ends=Ends(frozenset([end])), writable=view.writable
        )[0]

    if strategy is not Strategy.beam:
        assert made_with(0).ids == []
    late = made_with(4)
    assert 4 <= len(late.ids) <= 6
    assert end not in late.ids


def test_an_empty_prompt_is_refused() -> None:
    made, _ = hydra()
    with raises(DataError, "prompt 2 of 2"):
        run(made.view("xx"), [[5], []])


@pytest.mark.parametrize("strategy", list(Strategy))
def test_nothing_asked_for_is_nothing_written(strategy: Strategy) -> None:
    made, _ = hydra()
    view = made.view("xx", ["en"])
    prompts = prompts_of(view)
    assert run(view, [], strategy=strategy) == []
    nothing = run(view, prompts, strategy=strategy, max_new_tokens=0)
    assert nothing == [Written([], 0.0, False)] * len(prompts)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_what_the_model_cannot_read_is_refused(strategy: Strategy) -> None:
    made, _ = hydra("gpt2", True)
    view = made.view("xx", ["en"])
    positions = view.model.config.max_position_embeddings
    for network in (WholeModel(view.model), read_out(view.model)):
        (full,) = run(view, [[5] * (positions - 1)], network, strategy=strategy, max_new_tokens=2)
        assert len(full.ids) <= 2
        with raises(DataError, positions, 2, "max_new_tokens"):
            run(view, [[5], [5] * positions], network, strategy=strategy, max_new_tokens=2)


def test_prompts_of_back_translation_keep_their_start_and_end() -> None:
    assert fitting([1, 2, 3, 4], 4) == fitting([1, 2, 3, 4], None) == [1, 2, 3, 4]
    assert fitting([1, 2, 3, 4], 3) == [1, 3, 4]
    assert fitting([1, 2, 3, 4], 1) == [1]


@pytest.mark.parametrize(
    "options",
    [
        {"beams": 0},
        {"length_penalty": float("nan")},
        {"temperature": 0.0},
        {"top_p": 0.0},
        {"top_k": -1},
        {"max_new_tokens": -1},
    ],
)
def test_numbers_that_mean_nothing_are_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with raises(ConfigError, f"Decoding.{name}", options[name]):
        Decoding(**options)
