"""The engines give the tokens of the naive one, and the naive one those of a plain hook."""

from dataclasses import replace
from typing import Any

import pytest
import torch

from franken import declare
from franken.errors import CompatibilityError, ConfigError
from franken.inference.xtransplant import (
    Decoding,
    Donor,
    Intervention,
    Options,
    Runs,
    Task,
    pair_set,
)
from franken.inference.xtransplant.batched import answer_plainly
from franken.inference.xtransplant.choices import Op, Positions, Site, Steps
from franken.inference.xtransplant.donors import donor_vectors
from franken.inference.xtransplant.drafts import guess
from franken.inference.xtransplant.scoring import watch_options
from franken.transplant_engine.base import engine_of
from tests.faults import raises
from tests.inference.small import small_host, some_prompt, some_task

WAVEFRONT = [
    *("cohere", "cohere2", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "llama"),
    *("mistral", "olmo2", "phi", "phi3", "qwen2", "qwen3"),
]
DECODING = Decoding(6)
run_naive, run_cache, run_wavefront = (
    engine_of(name).run for name in ("naive", "cache", "wavefront")
)
WHOLE = Options(share=False, keep_logits=True)

ENGINES = sorted(declare.options("transplant_engine"))


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


def assert_equal(one: Runs, oracle: Runs) -> None:
    assert one.pairs == oracle.pairs
    assert one.tokens == oracle.tokens
    assert one.first_logits is not None
    assert oracle.first_logits is not None
    torch.testing.assert_close(one.first_logits, oracle.first_logits, atol=2e-5, rtol=0)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("family", WAVEFRONT)
def test_engines_equal_naive_on_every_pair(family: str, tied: bool) -> None:
    """V4, over grouped queries, soft caps, windows shorter than the prompt, parallel blocks."""
    host, task = small_host(family, tied=tied), some_task()
    pairs = pair_set("grid", host.depth)
    oracle = run_naive(host, task, pairs, Intervention(), DECODING, WHOLE)
    assert oracle.first_logits is not None
    assert float(oracle.first_logits.std(dim=0).max()) > 1e-3, "the pairs do nothing"
    assert tied or len({tuple(row) for row in oracle.tokens}) > 1
    for engine in (run_cache, run_wavefront):
        assert_equal(engine(host, task, pairs, Intervention(), DECODING, WHOLE), oracle)


@pytest.mark.parametrize("family", ["gptj", "xglm"])
def test_families_without_an_exchangeable_attention(family: str) -> None:
    host, task = small_host(family), some_task()
    pairs = pair_set("grid", host.depth)
    oracle = run_naive(host, task, pairs, Intervention(), DECODING, WHOLE)
    assert_equal(run_cache(host, task, pairs, Intervention(), DECODING, WHOLE), oracle)
    with raises(CompatibilityError, "engine=wavefront", repr(family), "engine=cache"):
        run_wavefront(host, task, pairs, Intervention(), DECODING, WHOLE)


INTERVENTIONS = [
    Intervention(site=Site.attn_out),
    Intervention(site=Site.block_out),
    Intervention(site=Site.ffn_branch),
    Intervention(op=Op.add, alpha=0.5),
    Intervention(op=Op.lerp, alpha=0.3),
    Intervention(steps=Steps.every),
    Intervention(site=Site.attn_out, steps=Steps.every, op=Op.lerp, alpha=0.5),
]


@pytest.mark.parametrize("what", INTERVENTIONS, ids=str)
@pytest.mark.parametrize("family", ["llama", "gemma2", "phi"])
def test_every_site_operation_and_step_policy(family: str, what: Intervention) -> None:
    host, task = small_host(family), some_task(seed=5)
    pairs = pair_set("grid", host.depth)
    oracle = run_naive(host, task, pairs, what, DECODING, WHOLE)
    for engine in (run_cache, run_wavefront):
        assert_equal(engine(host, task, pairs, what, DECODING, WHOLE), oracle)


def test_the_release_s_faulty_site() -> None:
    """The stored tensor is attention output plus residual, so i = j is not the identity."""
    host = small_host("qwen2")
    prompt = some_prompt(10, 1)
    task, what = Task(prompt, Donor(prompt)), Intervention(site=Site.mid_residual_added)
    pairs = pair_set("grid", host.depth)
    oracle = run_naive(host, task, pairs, what, DECODING, WHOLE)
    for engine in (run_cache, run_wavefront):
        assert_equal(engine(host, task, pairs, what, DECODING, WHOLE), oracle)
    right = run_naive(host, task, [(1, 1)], Intervention(site=Site.attn_out), DECODING, WHOLE)
    wrong = oracle.first_logits[oracle.pairs.index((1, 1))]  # type: ignore[index]
    assert float((right.first_logits[0] - wrong).abs().max()) > 1e-2  # type: ignore[index]


def test_all_positions_run_on_cache_and_naive_alone() -> None:
    host, what = small_host("llama"), Intervention(positions=Positions.all)
    task = some_task(8, 8)
    pairs = pair_set("grid", host.depth)
    oracle = run_naive(host, task, pairs, what, DECODING, WHOLE)
    assert_equal(run_cache(host, task, pairs, what, DECODING, WHOLE), oracle)
    last = run_naive(host, task, pairs, Intervention(), DECODING, WHOLE)
    assert not torch.equal(last.first_logits, oracle.first_logits)  # type: ignore[arg-type]
    with raises(CompatibilityError, "engine=wavefront", "engine=cache"):
        run_wavefront(host, task, pairs, what, DECODING)
    with raises(CompatibilityError, "positions=all", 9, 8):
        run_naive(host, some_task(8, 9), pairs, what, DECODING)


def test_naive_equals_a_hook_around_generate() -> None:
    """The method as the release runs it: a forward hook that writes the last position once."""
    host, task = small_host("llama"), some_task()
    model = host.model
    model.generation_config.eos_token_id = None
    kept: list[torch.Tensor] = []
    hook = model.model.layers[2].mlp.register_forward_hook(
        lambda module, args, out: kept.append(out[:, -1].clone())
    )
    model(task.donor.ids[None])
    hook.remove()
    fired: list[bool] = []

    def write(module: Any, args: Any, out: torch.Tensor) -> None:
        if not fired:
            out[:, -1] = kept[0]
            fired.append(True)

    hook = model.model.layers[1].mlp.register_forward_hook(write)
    found = model.generate(
        task.target[None], max_new_tokens=6, do_sample=False, pad_token_id=0,
        attention_mask=torch.ones(1, len(task.target)),
    )  # fmt: skip
    hook.remove()
    runs = run_naive(host, task, [(2, 1)], Intervention(), DECODING)
    assert runs.tokens == [found[0, len(task.target) :].tolist()]


@pytest.mark.parametrize("tokens", [1, 5])
@pytest.mark.parametrize("engine", ENGINES)
def test_layer_tokens_are_those_of_the_formulas(engine: str, tokens: int) -> None:
    """Counted by hooks on the layers, against the closed forms."""
    host = small_host("mistral", layers=4)
    task, whole = some_task(7, 7), Options(share=False)
    formulas = engine_of(engine)
    for pairs, formula in (
        ("grid", formulas.grid_layer_tokens),
        ("targetfirst", formulas.column_layer_tokens),
    ):
        runs = engine_of(engine).run(
            host, task, pair_set(pairs, 4), Intervention(), Decoding(tokens), whole
        )
        assert runs.layer_tokens == formula(4, 7, tokens)


def test_formulas_at_the_papers_size() -> None:
    three = ("naive", "cache", "wavefront")
    naive, cache, wavefront = (engine_of(e).grid_layer_tokens(32, 300, 20) for e in three)
    assert (naive, cache, wavefront) == (20_283_392, 674_528, 657_664)
    assert engine_of("wavefront").grid_layer_tokens(32, 300, 1) == 35_072
    assert engine_of("naive").column_layer_tokens(32, 300, 20) == 633_856
    assert engine_of("wavefront").column_layer_tokens(32, 300, 20) == 39_648


@pytest.mark.parametrize("engine", ["cache", "wavefront"])
def test_sharing_changes_no_token(engine: str) -> None:
    """4.3: identical prompts on the diagonal, and rows of the last target layer."""
    host = small_host("qwen3", layers=4)
    prompt = some_prompt(9, 3)
    for task in (Task(prompt, Donor(prompt)), some_task(9, 9, seed=3)):
        pairs = pair_set("grid", 4)
        run = engine_of(engine).run
        whole = run(host, task, pairs, Intervention(), DECODING, Options(share=False))
        shared = run(host, task, pairs, Intervention(), DECODING, Options(share=True))
        assert shared.tokens == whole.tokens
        assert shared.layer_tokens <= whole.layer_tokens
        if task.same_prompts():
            assert shared.rows <= 13
            assert shared.layer_tokens < whole.layer_tokens


def test_last_column_decodes_one_row_per_distinct_first_token() -> None:
    host, task = small_host("llama", layers=4), some_task()
    pairs = pair_set("grid", 4)
    runs = run_wavefront(host, task, pairs, Intervention(), DECODING, Options())
    firsts = {runs.tokens[n][0] for n, (_, j) in enumerate(pairs) if j == 3}
    assert runs.rows == 12 + len(firsts)
    p, q = len(task.target), len(task.donor.ids)
    assert runs.layer_tokens == 4 * (p + q) + 16 * 3 // 2 + 4 * runs.rows * 5


def test_ends_of_text_limits_and_splits() -> None:
    host, task = small_host("gemma2"), some_task()
    pairs = pair_set("grid", host.depth)
    free = run_naive(host, task, pairs, Intervention(), Decoding(8))
    ends = tuple({row[2] for row in free.tokens})
    decoding = Decoding(8, stop_ids=ends)
    oracle = run_naive(host, task, pairs, Intervention(), decoding)
    assert any(len(row) < 8 for row in oracle.tokens)
    for row, whole in zip(oracle.tokens, free.tokens, strict=True):
        assert row == whole[: len(row)]
    for engine in (run_cache, run_wavefront):
        assert engine(host, task, pairs, Intervention(), decoding).tokens == oracle.tokens
    split = run_wavefront(host, task, pairs, Intervention(), decoding, Options(max_rows=4))
    assert split.tokens == oracle.tokens
    assert split.pairs == oracle.pairs


def test_repetition_penalty_is_per_row_and_as_in_transformers() -> None:
    host, task = small_host("llama"), some_task()
    pairs, decoding = pair_set("grid", host.depth), Decoding(6, repetition_penalty=1.5)
    oracle = run_naive(host, task, pairs, Intervention(), decoding)
    for engine in (run_cache, run_wavefront):
        assert engine(host, task, pairs, Intervention(), decoding).tokens == oracle.tokens
    host.model.generation_config.eos_token_id = None
    found = host.model.generate(
        task.target[None], max_new_tokens=6, do_sample=False, pad_token_id=0,
        attention_mask=torch.ones(1, len(task.target)), repetition_penalty=1.5,
    )  # fmt: skip
    nothing = Intervention(op=Op.add, alpha=0.0)
    assert run_naive(host, task, [(0, 0)], nothing, decoding).tokens[0] == found[0, 11:].tolist()


def test_early_verdicts_stop_rows_and_samples() -> None:
    host, pairs = small_host("llama"), pair_set("grid", 3)
    plain = some_task()
    whole = run_wavefront(host, plain, pairs, Intervention(), DECODING)
    for engine in (run_naive, run_cache, run_wavefront):
        task = replace(plain, decided=lambda row: len(row) == 2)
        cut = engine(host, task, pairs, Intervention(), DECODING)
        assert cut.tokens == [row[:2] for row in whole.tokens]
        first = whole.tokens[4]
        task = replace(plain, decided=lambda row, end=first[:3]: row == end,
                       solved=lambda row, end=first[:3]: row == end)  # fmt: skip
        ended = engine(host, task, pairs, Intervention(), DECODING)
        assert ended.cut
        assert first[:3] in ended.tokens
        for pair, row in zip(ended.pairs, ended.tokens, strict=True):
            assert row == whole.tokens[pairs.index(pair)][: len(row)]


def test_watched_logits_are_those_of_the_first_step() -> None:
    host, pairs = small_host("llama"), pair_set("grid", 3)
    task = some_task(watch=(5, 9))
    for engine in (run_naive, run_cache, run_wavefront):
        runs = engine(host, task, pairs, Intervention(), DECODING, Options(keep_logits=True))
        assert runs.first_logits is not None
        torch.testing.assert_close(runs.watched, runs.first_logits[:, [5, 9]])


def test_layers_out_of_range() -> None:
    host, task = small_host("llama"), some_task()
    for engine in (run_cache, run_wavefront):
        with raises(ConfigError, "inference.pairs", [0, 3], "3 layers"):
            engine(host, task, [(0, 3)], Intervention(), DECODING)


@pytest.mark.parametrize("family", ["llama", "mistral", "gemma2", "gemma3_text", "gpt2"])
def test_drafts_change_no_token(family: str) -> None:
    """4.3: a right, a half right and a wrong guess, windows shorter than the answer included."""
    host, task, decoding = small_host(family), some_task(), Decoding(9)
    pairs = [*pair_set("targetfirst", host.depth), (0, 1), (2, 2)]
    plain = run_wavefront(host, task, pairs, Intervention(), decoding, Options(share=False))
    right = tuple(plain.tokens[0])
    for draft in (right, (*right[:4], *[5] * 5), (5,) * 9, right[:2]):
        guessed = replace(task, draft=draft)
        for options in (Options(draft_rows=8, share=False), Options(draft_rows=8)):
            runs = run_wavefront(host, guessed, pairs, Intervention(), decoding, options)
            assert runs.tokens == plain.tokens
            torch.testing.assert_close(runs.margins, plain.margins, atol=2e-5, rtol=0)
    ends = Decoding(9, stop_ids=(right[3],))
    stopped = run_wavefront(host, task, pairs, Intervention(), ends)
    guessed = replace(task, draft=right)
    runs = run_wavefront(host, guessed, pairs, Intervention(), ends, Options(draft_rows=8))
    assert runs.tokens == stopped.tokens


def test_a_right_draft_takes_one_pass() -> None:
    host, task = small_host("llama"), some_task()
    (answer,) = run_wavefront(host, task, [(0, 2)], Intervention(), DECODING).tokens
    passes: list[int] = []
    handle = host.layers[0].register_forward_pre_hook(lambda module, args: passes.append(1))
    guessed = replace(task, draft=tuple(answer))
    run_wavefront(host, guessed, [(0, 2)], Intervention(), DECODING, Options(draft_rows=1))
    handle.remove()
    assert len(passes) == 4, "donor, prefix, the last prompt token, and all new tokens at once"


def test_guesses_follow_the_longest_agreement() -> None:
    known = [[1, 2, 3, 4, 5], [9, 7, 3, 8, 6]]
    assert guess([1, 2, 3], known) == [4, 5]
    assert guess([9, 9, 3], known) == [4, 5]
    assert guess([9, 7, 3], known) == [8, 6]
    assert list(guess([3], known)) == []
    assert list(guess([1, 2, 3, 4, 5, 6], known)) == []


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_options_are_scored_behind_their_shared_beginning(family: str, engine: str) -> None:
    """Against one plain forward pass per pair over prompt and beginning, patched at p."""
    host = small_host(family)
    lead, watch = (5, 9), (11, 12, 13)
    task = replace(some_task(seed=3), lead=lead, watch=watch)
    pairs = pair_set("grid", host.depth)
    donors = donor_vectors(host, task.donor, Intervention(), DECODING)[0, :, 0]
    run, p = engine_of(engine).run, len(task.target) - 1
    runs = run(host, task, pairs, Intervention(), DECODING, Options())
    assert runs.watched is None
    assert runs.tokens == run(host, some_task(seed=3), pairs, Intervention(), DECODING).tokens

    def again(tasks: list[Task], decoding: Decoding) -> Runs:
        return run(host, tasks[0], pairs, Intervention(), decoding, Options())

    found = watch_options(runs, [task], DECODING, again).watched
    text = torch.cat([task.target, torch.tensor(lead)])[None]
    for row, (source, target) in enumerate(pairs):

        def write(own: torch.Tensor, donor: torch.Tensor = donors[source]) -> torch.Tensor:
            own = own.clone()
            own[:, p] = donor
            return own

        with host.patched(target, Site.ffn_out, write):
            expected = host.last_logits(host.states(input_ids=text))[0, list(watch)]
        torch.testing.assert_close(found[row], expected, atol=2e-5, rtol=0)  # type: ignore[index]


def test_leads_of_several_lengths_in_one_batch() -> None:
    host = small_host("qwen2")
    leads = [(), (5,), (5, 9, 7)]
    tasks = [replace(some_task(6 + n, seed=n), lead=lead, watch=(11, 12)) for n, lead in
             enumerate(leads)]  # fmt: skip
    runs = answer_plainly(host, tasks, DECODING)

    def again(tasks: list[Task], decoding: Decoding) -> Runs:
        return answer_plainly(host, tasks, decoding)

    found = watch_options(runs, tasks, DECODING, again).watched
    for row, task in enumerate(tasks):
        text = torch.cat([task.target, torch.tensor(task.lead, dtype=torch.long)])[None]
        expected = host.last_logits(host.states(input_ids=text))[0, [11, 12]]
        torch.testing.assert_close(found[row], expected, atol=2e-5, rtol=0)  # type: ignore[index]


@pytest.mark.parametrize("engine", ["cache", "wavefront"])
def test_a_repetition_penalty_parts_a_prompt_from_its_own_donor(engine: str) -> None:
    """With steps=every the donor writes on without a penalty, so the diagonal is not one run."""
    host, prompt = small_host("llama", layers=4), some_prompt(9, 2)
    task, what = Task(prompt, Donor(prompt)), Intervention(steps=Steps.every)
    decoding, diagonal = Decoding(6, repetition_penalty=3.0), pair_set("diagonal", 4)
    oracle = run_naive(host, task, diagonal, what, decoding)
    assert len({tuple(row) for row in oracle.tokens}) > 1
    assert engine_of(engine).run(host, task, diagonal, what, decoding).tokens == oracle.tokens
