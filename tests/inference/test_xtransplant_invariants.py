"""Invariants V1 to V8, V12, V15 and V16 of the method, on small random models."""

from typing import Any

import pytest
import torch
from transformers import DynamicCache

from franken.errors import CompatibilityError
from franken.inference.xtransplant import (
    Decoding,
    Donor,
    Host,
    Intervention,
    Options,
    Task,
    open_host,
    pair_set,
)
from franken.inference.xtransplant.batched import answer_plainly, answer_with_pair, sample_answers
from franken.inference.xtransplant.choices import DonorKind, Op, Site
from franken.inference.xtransplant.donors import donor_vectors
from franken.inference.xtransplant.host import check_site
from franken.inference.xtransplant.preflight import (
    EngineMismatch,
    Preflight,
    clean_continuation_difference,
    preflight,
)
from franken.transplant_engine import wavefront
from franken.transplant_engine.base import engine_of
from tests.faults import raises
from tests.inference.small import small_host, some_prompt, some_task
from tests.parts.tiny import tiny_model

DECODING = Decoding(6)
run_naive, run_cache, run_wavefront = (
    engine_of(name).run for name in ("naive", "cache", "wavefront")
)
FAMILIES = ["llama", "mistral", "qwen2", "gemma2", "gemma3_text", "phi", "cohere", "gpt_neox"]


@pytest.fixture(autouse=True)
def _no_gradients() -> Any:
    with torch.inference_mode():
        yield


def vanilla(host: Host, prompt: torch.Tensor) -> list[int]:
    return answer_plainly(host, [Task(prompt, Donor(prompt))], DECODING).tokens[0]


@pytest.mark.parametrize("site", [Site.ffn_out, Site.attn_out, Site.block_out])
@pytest.mark.parametrize("family", FAMILIES)
def test_v1_v10_a_prompt_s_own_vectors_change_nothing(family: str, site: Site) -> None:
    host, prompt = small_host(family), some_prompt(9, 2)
    task, what = Task(prompt, Donor(prompt)), Intervention(site=site)
    diagonal = pair_set("diagonal", host.depth)
    for engine in (run_naive, run_cache, run_wavefront):
        runs = engine(host, task, diagonal, what, DECODING, Options(share=False))
        assert runs.tokens == [vanilla(host, prompt)] * host.depth


def test_v1_what_is_stored_is_not_overwritten_later() -> None:
    """The release keeps a view, which an in-place sum changes afterwards."""
    host, prompt = small_host("llama"), some_prompt(7, 1)
    before = donor_vectors(host, Donor(prompt), Intervention(site=Site.attn_out), DECODING)

    def see(module: Any, args: Any, output: Any) -> None:
        seen.append(output[0])

    seen: list[torch.Tensor] = []
    with host.recorded(Site.attn_out, lambda states: states[0, -1:]) as kept:
        hooks = [
            host.module(layer, Site.attn_out).register_forward_hook(see)
            for layer in range(host.depth)
        ]
        host.states(input_ids=prompt[None])
        for tensor in seen:
            tensor.add_(1.0)
        for hook in hooks:
            hook.remove()
    assert torch.equal(torch.stack(kept), before[0])


@pytest.mark.parametrize("family", FAMILIES)
def test_v2_clean_continuation_from_a_filled_cache(family: str) -> None:
    host = small_host(family)
    difference = clean_continuation_difference(host, some_prompt(12, 4), Intervention(), DECODING)
    assert 0 < difference < 2e-5


@pytest.mark.parametrize("op", [Op.add, Op.lerp])
def test_v3_alpha_zero_is_the_plain_model_bit_for_bit(op: Op) -> None:
    host, task = small_host("llama"), some_task()
    what = Intervention(op=op, alpha=0.0)
    runs = run_naive(host, task, [(2, 0)], what, DECODING, Options(keep_logits=True))
    plain = host.model(task.target[None], logits_to_keep=1).logits[:, -1]
    assert torch.equal(runs.first_logits, plain)  # type: ignore[arg-type]


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma2"])
def test_v5_only_what_lies_behind_changes(family: str) -> None:
    host, task = small_host(family, layers=4), some_task()
    p = len(task.target) - 1
    vectors = donor_vectors(host, task.donor, Intervention(), DECODING)

    def states(layer: int | None) -> tuple[list[torch.Tensor], DynamicCache]:
        cache = DynamicCache(config=host.config)

        def write(own: torch.Tensor) -> torch.Tensor:
            return torch.cat([own[:, :-1], vectors[0, 3][None]], dim=1)

        with host.recorded(Site.block_out, lambda found: found) as kept:
            if layer is None:
                host.states(input_ids=task.target[None], past_key_values=cache)
            else:
                with host.patched(layer, Site.ffn_out, write):
                    host.states(input_ids=task.target[None], past_key_values=cache)
        return kept, cache

    clean, clean_cache = states(None)
    for target in range(4):
        changed, cache = states(target)
        for layer in range(4):
            assert torch.equal(changed[layer][:, :p], clean[layer][:, :p])
            for one, other in zip(
                (cache.layers[layer].keys, cache.layers[layer].values),
                (clean_cache.layers[layer].keys, clean_cache.layers[layer].values),
                strict=True,
            ):
                assert torch.equal(one[:, :, :-1], other[:, :, :-1])
                assert torch.equal(one[:, :, -1], other[:, :, -1]) == (layer <= target)


def test_v6_last_target_layer_is_a_closed_form() -> None:
    host, task = small_host("llama", layers=4), some_task()
    what, model = Intervention(), host.model
    vectors = donor_vectors(host, task.donor, what, DECODING)[0, :, 0]
    entering: list[torch.Tensor] = []
    norm = host.layers[3].post_attention_layernorm
    hook = norm.register_forward_pre_hook(lambda module, args: entering.append(args[0][:, -1]))
    clean = model(task.target[None]).logits[0, -1]
    hook.remove()
    expected = model.lm_head(model.model.norm(entering[0] + vectors))
    column = [(i, 3) for i in range(4)]
    runs = run_wavefront(host, task, column, what, DECODING, Options(keep_logits=True))
    torch.testing.assert_close(runs.first_logits, expected, atol=2e-5, rtol=0)
    text = vanilla(host, task.target)
    for row in runs.tokens:
        assert (row == text) == (row[0] == int(clean.argmax()))


def test_v7_donor_vectors_depend_on_the_donor_alone() -> None:
    host = small_host("qwen3")
    donor = Donor(some_prompt(7, 1))
    one = donor_vectors(host, donor, Intervention(), DECODING)
    run_wavefront(host, Task(some_prompt(9, 2), donor), pair_set("grid", 3), Intervention(),
                  DECODING)  # fmt: skip
    assert torch.equal(one, donor_vectors(host, donor, Intervention(), DECODING))
    assert one.shape == (1, 3, 1, host.config.hidden_size)


@pytest.mark.parametrize("family", ["llama", "mistral", "qwen2", "gemma2"])
def test_v12_left_padded_batches_are_single_runs(family: str) -> None:
    host = small_host(family)
    tasks = [some_task(5 + 3 * n, 12 - 2 * n, seed=10 * n) for n in range(4)]
    for pair in pair_set("grid", host.depth):
        batch = answer_with_pair(host, tasks, pair, Intervention(), DECODING)
        single = [run_naive(host, t, [pair], Intervention(), DECODING).tokens[0] for t in tasks]
        assert batch.tokens == single
    plain = answer_plainly(host, tasks, DECODING).tokens
    assert plain == [vanilla(host, task.target) for task in tasks]


def test_v15_an_equal_first_token_is_no_equal_answer() -> None:
    """Guards against copying the clean text for target layers before the last (KV effect)."""
    host = small_host("llama", layers=6)
    found = 0
    for seed in range(6):
        task = some_task(12, 12, seed=seed)
        clean = vanilla(host, task.target)
        runs = run_wavefront(host, task, pair_set("grid", 6), Intervention(), DECODING)
        found += sum(row[0] == clean[0] and row != clean for row in runs.tokens)
    assert found > 0


def half_precision_preflight(engine: Any) -> Preflight:
    host = open_host(tiny_model("phi", num_hidden_layers=4, dtype=torch.bfloat16))
    return preflight(
        host, some_task(), pair_set("grid", 4), Intervention(), DECODING, engine, name="wavefront",
        count=6,
    )  # fmt: skip


def test_v16_half_precision_is_judged_by_logits_and_clear_tokens() -> None:
    report = half_precision_preflight(run_wavefront)
    assert report.pairs == report.tokens_equal == 6
    assert 0 < report.logit_difference < 0.05
    assert 0 < report.margin_difference < 0.05
    assert report.unstable_below == pytest.approx(
        10 * max(report.logit_difference, report.continuation_difference)
    )


def test_a_fault_of_decoding_alone_is_refused_in_half_precision() -> None:
    """First-step logits are right; then every row goes on from a wrong token."""
    right = wavefront._Front._decode

    def mixed_up(front: Any, rows: Any, tokens: torch.Tensor, alive: list[int]) -> None:
        right(front, rows, (tokens + 7) % 64, alive)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wavefront._Front, "_decode", mixed_up)
        with raises(EngineMismatch, "engine=wavefront") as caught:
            half_precision_preflight(run_wavefront)
        assert 0.1 < caught.value.report.margin_difference < 0.2

    def another_end(*args: Any, **kwargs: Any) -> Any:
        runs = run_wavefront(*args, **kwargs)
        runs.tokens[0] = [*runs.tokens[0][:-1], 3 + runs.tokens[0][-1] % 7]
        return runs

    with raises(EngineMismatch, "engine=wavefront") as caught:
        half_precision_preflight(another_end)
    assert caught.value.parted == [(0, 0)]


def test_margins_that_differ_while_decoding_are_refused() -> None:
    def drifting(*args: Any, **kwargs: Any) -> Any:
        runs = run_wavefront(*args, **kwargs)
        runs.margins[:, 3] += 0.5
        return runs

    with raises(EngineMismatch, "engine=wavefront") as caught:
        half_precision_preflight(drifting)
    assert 0.4 < caught.value.report.margin_difference < 0.6


def test_noise_has_the_norms_of_the_vectors_it_stands_for() -> None:
    host, prompt = small_host("llama"), some_prompt(8, 1)
    real = donor_vectors(host, Donor(prompt), Intervention(), DECODING)
    noise = donor_vectors(host, Donor(prompt, noise_seed=4), Intervention(), DECODING)
    torch.testing.assert_close(noise.norm(dim=-1), real.norm(dim=-1))
    assert float(torch.cosine_similarity(noise, real, dim=-1).abs().max()) < 0.9
    again = donor_vectors(host, Donor(prompt, noise_seed=4), Intervention(), DECODING)
    assert torch.equal(noise, again)
    task = Task(some_prompt(9, 5), Donor(prompt, noise_seed=4))
    pairs = pair_set("grid", 3)
    oracle = run_naive(host, task, pairs, Intervention(), DECODING)
    assert run_wavefront(host, task, pairs, Intervention(), DECODING).tokens == oracle.tokens
    assert run_cache(host, task, pairs, Intervention(), DECODING).tokens == oracle.tokens
    assert DonorKind.noise == "noise"


def test_preflight_refuses_an_engine_that_differs() -> None:
    host, task = small_host("llama"), some_task()
    pairs = pair_set("grid", 3)

    def faulty(*args: Any, **kwargs: Any) -> Any:
        runs = run_wavefront(*args, **kwargs)
        runs.tokens[0] = [*runs.tokens[0][:-1], 3 + runs.tokens[0][-1] % 7]
        return runs

    before = host.layer_tokens
    good = preflight(host, task, pairs, Intervention(), DECODING, run_wavefront,
                     name="wavefront", count=4)  # fmt: skip
    assert good.tokens_equal == good.pairs == 4
    assert host.layer_tokens == before
    with raises(EngineMismatch, "engine=wavefront") as caught:
        preflight(host, task, pairs, Intervention(), DECODING, faulty, name="wavefront", count=4)
    assert caught.value.parted == [(0, 0)]


def test_preflight_refuses_a_faulty_cache() -> None:
    host, task = small_host("llama"), some_task()

    def shifted(*args: Any, **kwargs: Any) -> Any:
        runs = run_wavefront(*args, **kwargs)
        runs.first_logits = runs.first_logits + 0.01  # type: ignore[operator]
        return runs

    with raises(EngineMismatch, "engine=wavefront", "inference.engine=cache") as caught:
        preflight(host, task, pair_set("grid", 3), Intervention(), DECODING, shifted,
                  name="wavefront", count=4)  # fmt: skip
    assert caught.value.report.logit_difference == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("family", ["gemma2", "phi", "gpt_neox"])
def test_the_faulty_site_needs_a_residual_after_attention(family: str) -> None:
    with raises(CompatibilityError, "site=mid_residual_added", repr(family), "site=attn_out"):
        check_site(small_host(family), Site.mid_residual_added)


def test_layers_without_a_key_value_cache_are_refused() -> None:
    model = tiny_model("llama")
    model.config.layer_types = ["linear_attention", "full_attention"]
    with raises(CompatibilityError, "'llama'", "linear_attention"):
        open_host(model)


def test_a_feed_forward_that_is_no_module_is_refused() -> None:
    model = tiny_model("llama")
    del model.model.layers[1].mlp
    with raises(CompatibilityError, "layer 1", "'llama'", "mlp"):
        open_host(model)


def test_sampled_answers_follow_the_model_s_shares() -> None:
    """Against one prompt per row, as near-zero temperature and as frequencies of first tokens."""
    host, task = small_host("mistral", tied=False), some_task()
    cold = sample_answers(host, task, 3, DECODING, temperature=1e-6, seed=1)
    assert cold.tokens == [vanilla(host, task.target)] * 3
    logits = host.model(task.target[None]).logits[0, -1]
    shares = (logits / 0.7).softmax(dim=-1)
    drawn = sample_answers(host, task, 4000, Decoding(1), temperature=0.7, seed=1)
    counts = torch.bincount(torch.tensor([row[0] for row in drawn.tokens]), minlength=len(shares))
    # chi-square over 64 tokens: mean 63, spread 11
    expected = shares * 4000
    assert float(((counts - expected) ** 2 / expected).sum()) < 63 + 6 * 11.3
    again = sample_answers(host, task, 4000, Decoding(1), temperature=0.7, seed=1)
    assert again.tokens == drawn.tokens
