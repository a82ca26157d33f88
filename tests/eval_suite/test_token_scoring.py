"""Log-probabilities against a forward pass per request through the model's own logits."""

import dataclasses
import itertools
import math
import random

import pytest
import torch

from franken.errors import CompatibilityError
from franken.eval_suite import readout as readout_module
from franken.eval_suite.readout import read_out
from franken.eval_suite.scoring import Request, log_probs, score
from franken.eval_suite.shared_prefixes import (
    MIN_HEADER,
    Stem,
    batches,
    common_prefix,
    headed,
    shared_rows,
    stems,
)
from tests.faults import raises


def slow(model, request):
    ids = torch.tensor([[*request.context, *request.continuation]])
    with torch.no_grad():
        table = model(ids).logits[0].double().log_softmax(dim=-1)
    first = len(request.context) - 1
    return [table[first + i, token].item() for i, token in enumerate(request.continuation)]


@pytest.fixture
def requests():
    return [
        Request((2, 10, 11, 12), (20,)),
        Request((2, 10, 11, 12), (21, 22, 23)),
        Request((2, 10, 11, 12), (21, 30)),
        Request((2,), tuple(range(40, 90))),
        Request((2, 10), (11, 12, 20)),
        Request((2, 10, 11, 12), (20,)),
    ]


@pytest.mark.parametrize("batch_tokens", [1, 60, 10_000])
def test_scores_equal_one_forward_pass_per_request(case, requests, batch_tokens):
    with torch.no_grad():
        fast = log_probs(read_out(case.model), requests, batch_tokens=batch_tokens)
    for request, values in zip(requests, fast, strict=True):
        assert values.tolist() == pytest.approx(slow(case.model, request), abs=2e-5)


def test_order_of_requests_does_not_matter(case, requests):
    readout = read_out(case.model)
    with torch.no_grad():
        forward = log_probs(readout, requests, batch_tokens=64)
        backward = log_probs(readout, requests[::-1], batch_tokens=64)[::-1]
    for one, other in zip(forward, backward, strict=True):
        assert torch.equal(one, other)


def test_logits_in_small_chunks_give_the_same(case, requests, monkeypatch):
    with torch.no_grad():
        whole = log_probs(read_out(case.model), requests, batch_tokens=256)
        monkeypatch.setattr(readout_module, "LOGIT_BUDGET", 3 * case.model.config.vocab_size)
        monkeypatch.setattr(readout_module, "MIN_ROWS", 1)
        readout = read_out(case.model)
        assert readout.rows_per_chunk() == 3
        chunked = log_probs(readout, requests, batch_tokens=256)
    for one, other in zip(whole, chunked, strict=True):
        torch.testing.assert_close(one, other)


def test_unknown_family_falls_back_to_the_models_own_logits(case, requests, monkeypatch):
    from franken.parts import anatomy

    with torch.no_grad():
        known = log_probs(read_out(case.model), requests, batch_tokens=256)

        def unknown(config):
            raise CompatibilityError("unknown model family")

        monkeypatch.setattr(anatomy, "anatomy_of", unknown)
        readout = read_out(case.model)
        assert readout.whole_logits
        fallen_back = log_probs(readout, requests, batch_tokens=256)
    for one, other in zip(known, fallen_back, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=1e-4)


def test_requests_that_share_a_prefix_share_a_row(requests):
    rows = shared_rows(requests)
    # (2 10 11 12), twice with 20 predicted, lies within (2 10 11 12 21 22); (2 10 11 12 21) too
    assert sorted(len(row.tokens) for row in rows) == [6, 50]
    assert sorted(index for row in rows for index in row.requests) == list(range(len(requests)))


def test_batches_stay_within_the_token_limit_but_hold_at_least_one_stem(options):
    for limit, passing in itertools.product((1, 55, 200, 1000), (None, 5, 48)):
        cut = batches(stems(options), limit, passing=passing)
        assert [stem for batch in cut for stem in batch] == stems(options)
        for batch in cut:
            rows = sum(len(stem.rows) for stem in batch)
            assert len(batch) == 1 or rows * max(stem.width for stem in batch) <= limit


@pytest.mark.parametrize("passing", [0, 7, 48])
def test_the_cut_is_the_cheapest_of_all(passing):
    """Tokens read and passes, against every way to cut a list in neighbours."""
    lengths = random.Random(passing).sample(range(3, 90), 8)
    contexts = [tuple(range(1000 * n, 1000 * n + n)) for n in lengths]
    texts = [Request(context, (1,)) for context in contexts]
    several = [Request(context, (2, 3 + k, 1)) for context in contexts[:4] for k in range(3)]

    def cost(batch: list[Stem]) -> float:
        tails = [len(row.tokens) - len(stem.context) for stem in batch for row in stem.rows]
        mixed = len({len(stem.rows) > 1 for stem in batch}) > 1
        limit = len(tails) * max(stem.width for stem in batch) > 400
        if len(batch) > 1 and (mixed or limit):
            return float("inf")
        return len(batch) * max(len(s.context) for s in batch) + len(tails) * max(tails) + passing

    found = stems([*texts[4:], *several])
    whole = range(len(found) + 1)
    least = min(
        sum(cost(found[a:b]) for a, b in itertools.pairwise((0, *inner, len(found))))
        for size in range(len(found))
        for inner in itertools.combinations(whole[1:-1], size)
    )
    assert sum(map(cost, batches(found, 400, passing=passing))) == least


@pytest.fixture
def options():
    """Questions of different lengths, each with options of several tokens."""
    found = []
    for length in (4, 25, 40, 41):
        context = (2, *range(50 + length, 50 + 2 * length))
        found += [Request(context, (20 + k, *range(30, 30 + k))) for k in range(1, 5)]
        found.append(Request(context, (90,)))
    return found


def test_options_continue_a_context_that_is_read_once(options):
    found = stems(options)
    assert [(len(stem.context), len(stem.rows)) for stem in found] == [
        (42, 4), (41, 4), (26, 4), (5, 4),
    ]  # fmt: skip


@pytest.mark.parametrize("batch_tokens", [1, 300, 10_000])
def test_cached_contexts_give_the_scores_of_whole_sequences(case, options, batch_tokens):
    # the Gemma model's sliding window of 16 is shorter than most contexts
    with torch.no_grad():
        fast = log_probs(read_out(case.model), options, batch_tokens=batch_tokens)
    for request, values in zip(options, fast, strict=True):
        assert values.tolist() == pytest.approx(slow(case.model, request), abs=2e-5)


def test_a_context_is_read_once_for_all_its_options(case, options):
    readout = read_out(case.model)
    seen = []

    def run(**inputs):
        seen.append(tuple(inputs["input_ids"].shape))
        return readout.run(**inputs)

    with torch.no_grad():
        log_probs(dataclasses.replace(readout, run=run), options, batch_tokens=10_000)
    assert seen == [(4, 42), (16, 4)]


@pytest.fixture
def questions():
    """Questions behind common worked examples, with options of one and of several tokens."""
    header = (2, *range(50, 50 + MIN_HEADER))
    found = []
    for number, length in enumerate((3, 1, 7)):
        context = (*header, *range(100 + 10 * number, 100 + 10 * number + length))
        found += [
            Request(context, (20,)),
            Request(context, (21, 25)),
            Request(context, (22, 23, 24)),
        ]
        found += [Request((*header, 140 + number, 141), (30 + number,))]
    return [*found, Request((2, 200, 201), (30, 31)), Request((2,), tuple(range(40, 90)))]


def test_worked_examples_are_read_once_for_all_questions(case, questions):
    readout = dataclasses.replace(read_out(case.model), window=None)
    seen = []

    def run(**inputs):
        seen.append(tuple(inputs["input_ids"].shape))
        return readout.run(**inputs)

    with torch.no_grad():
        log_probs(dataclasses.replace(readout, run=run), questions, batch_tokens=10_000)
    # apart: the document and the short prompt; the header, single rows, contexts, their options
    assert seen == [(2, 50), (1, 1 + MIN_HEADER), (3, 2), (3, 7), (6, 2)]


@pytest.mark.parametrize("batch_tokens", [1, 100, 10_000])
def test_headers_change_no_score(case, questions, batch_tokens):
    readout = read_out(case.model)
    with torch.no_grad():
        fast = log_probs(readout, questions, batch_tokens=batch_tokens)
    for request, values in zip(questions, fast, strict=True):
        assert values.tolist() == pytest.approx(slow(case.model, request), abs=2e-5)


def test_rows_longer_than_a_sliding_window_have_no_header(case, questions):
    found = stems(questions)
    for longest in (None, 16):
        for header, members in headed(found, longest=longest):
            assert not header or longest is None or all(stem.width <= longest for stem in members)
            assert all(stem.context[: len(header)] == header for stem in members)
    assert sorted(id(s) for _, members in headed(found) for s in members) == sorted(map(id, found))


def test_a_header_is_not_shortened_for_one_more_prompt():
    long, short = tuple(range(100)), tuple(range(MIN_HEADER))
    prompts = [(*long, 200 + i) for i in range(4)] + [(*short, 300)]
    found = stems([Request(prompt, (1,)) for prompt in prompts])
    assert [(len(header), len(members)) for header, members in headed(found)] == [(0, 1), (100, 4)]
    most = [Request((*long[:20], 200 + i, 5), (1,)) for i in range(9)]
    found = stems([*most, *(Request((*long[:22], 300 + i, 5), (1,)) for i in range(2))])
    assert [(len(header), len(members)) for header, members in headed(found)] == [(20, 11)]
    assert common_prefix(prompts[0], prompts[-1]) == MIN_HEADER


def test_greedy_is_told_of_the_most_likely_continuation_alone(case, requests):
    readout = read_out(case.model)
    context = (2, 10, 11)
    with torch.no_grad():
        best = case.model(torch.tensor([context])).logits[0, -1].argmax().item()
        found = score(readout, [Request(context, (best,)), Request(context, (best ^ 1,))],
                      batch_tokens=99)  # fmt: skip
    assert [scored.greedy for scored in found] == [True, False]


def test_documents_behind_bos_are_read_whole():
    documents = [Request((2,), tuple(range(n, 2 * n))) for n in (5, 9, 30)]
    assert [len(stem.rows) for stem in stems(documents)] == [1, 1, 1]


def test_progress_counts_every_request_once(case, requests):
    seen: list[int] = []
    with torch.no_grad():
        log_probs(read_out(case.model), requests, batch_tokens=60, advance=seen.append)
    assert sum(seen) == len(requests)


@pytest.mark.parametrize(("context", "continuation"), [((), (1,)), ((1,), ())])
def test_an_empty_side_is_refused(context, continuation):
    with raises(ValueError, "context", "continuation"):
        Request(context, continuation)


def test_a_uniform_model_gives_log_one_over_vocabulary(case, requests):
    torch.nn.init.zeros_(case.model.get_output_embeddings().weight)
    with torch.no_grad():
        values = log_probs(read_out(case.model), requests, batch_tokens=60)
    rows = case.model.config.vocab_size
    assert torch.cat(values).tolist() == pytest.approx([-math.log(rows)] * sum(map(len, values)))
