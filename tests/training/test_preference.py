"""DPO: the loss by hand and against a naive one, the cached reference, training that resumes."""

import logging
import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from franken.config.training import LoraConfig, Trainable
from franken.errors import CompatibilityError, ConfigError, DataError, FrankenError
from franken.preference.dpo_normalised import DpoNormalised
from franken.training import reference as reference_module
from franken.training.policy import apply_policy
from franken.training.preference import PreferenceModule, count_pairs
from franken.training.reference import reference_log_likelihoods
from franken.training.runner import train_model
from tests.composition.hydras import hydra
from tests.faults import raises, unnamed
from tests.training.pairs import PAIRS, pair_data, tiny_training
from tests.training.tiny import CPU, tiny_model

PLAIN = DpoNormalised(beta=0.5, length_normalised=False)
NORMALISED = DpoNormalised(beta=2.0, length_normalised=True)


# --- the loss ----------------------------------------------------------------------------------


def test_the_loss_by_hand():
    policy, reference = torch.tensor([[-2.0, -3.0]]), torch.tensor([[-4.0, -1.0]])
    lengths = torch.tensor([[4, 2]])
    # log-ratios 2 and -2: margin 0.5 * 4 = 2
    found = PLAIN.losses(policy, reference, lengths)
    assert found.losses.tolist() == pytest.approx([math.log(1 + math.exp(-2))])
    assert found.margins.tolist() == pytest.approx([2.0])
    # per token 0.5 and -1: margin 2 * 1.5 = 3
    found = NORMALISED.losses(policy, reference, lengths)
    assert found.losses.tolist() == pytest.approx([math.log(1 + math.exp(-3))])
    assert found.ratios.tolist() == [pytest.approx([0.5, -1.0])]


def test_where_policy_and_reference_agree_the_loss_is_log_2_whatever_beta_and_lengths():
    values = torch.tensor([[-2.0, -70.0], [-0.1, -0.2]])
    for config in (PLAIN, NORMALISED, DpoNormalised(beta=100.0)):
        found = config.losses(values, values.clone(), torch.tensor([[1, 9], [3, 2]]))
        assert found.losses.tolist() == pytest.approx([math.log(2)] * 2)


def test_the_gradient_raises_the_chosen_and_lowers_the_rejected_answer():
    policy = torch.tensor([[-2.0, -3.0]], requires_grad=True)
    reference = torch.tensor([[-2.5, -2.0]], requires_grad=True)
    lengths = torch.tensor([[4, 2]])
    PLAIN.losses(policy, reference, lengths).losses.sum().backward()
    # margin 0.5 * 1.5 = 0.75: d loss / d chosen = -beta * sigmoid(-0.75)
    strength = 0.5 / (1 + math.exp(0.75))
    assert policy.grad.tolist() == [pytest.approx([-strength, strength])]
    assert reference.grad is None
    policy.grad = None
    NORMALISED.losses(policy, reference, lengths).losses.sum().backward()
    chosen, rejected = policy.grad[0].tolist()
    assert chosen < 0 < rejected
    assert chosen / rejected == pytest.approx(-2 / 4)  # a token of a long answer counts less


def test_an_answer_repeated_keeps_its_normalised_ratio():
    """Twice the tokens at the same ratio per token: the same loss; without, another one."""
    once = torch.tensor([[-2.0, -3.0]]), torch.tensor([[-4.0, -1.0]]), torch.tensor([[4, 2]])
    twice = tuple(torch.stack([t[:, 0] * 2, t[:, 1]], dim=1) for t in once)
    assert torch.equal(NORMALISED.losses(*once).losses, NORMALISED.losses(*twice).losses)
    assert not torch.equal(PLAIN.losses(*once).losses, PLAIN.losses(*twice).losses)


# --- the module --------------------------------------------------------------------------------


def module_of(model, preference=PLAIN, trainable=Trainable.full, **changes) -> PreferenceModule:
    training = tiny_training(**changes)
    policy = apply_policy(model, trainable, training)
    return PreferenceModule(model, policy, training, seed=0, preference=preference)


def naive_log_likelihood(model, prompt: list[int], answer: list[int]) -> float:
    """One sequence alone through transformers' own forward, a token at a time, in float64."""
    ids = torch.tensor([prompt + answer])
    with torch.no_grad():
        logits = model(input_ids=ids, use_cache=False).logits[0].double()
    total = 0.0
    for place in range(len(prompt), ids.shape[1]):
        total += logits[place - 1].log_softmax(-1)[ids[0, place]].item()
    return total


CASES = [("gemma2", {}), ("gemma2", {"sliding_window": 3}), ("llama", {}),
         ("llama", {"attn_implementation": "eager"}), ("cohere", {}), ("gpt2", {})]  # fmt: skip


@pytest.mark.parametrize("chunk", [0, 3])
@pytest.mark.parametrize(("family", "changes"), CASES, ids=str)
def test_log_likelihoods_equal_those_of_each_answer_alone(family, changes, chunk, tmp_path):
    """Tied (gemma2, gpt2) and untied tables, soft-cap and scale; answers do not see each other."""
    model = tiny_model(family, vocab_size=200, **changes)
    module = module_of(model, loss_chunk_tokens=chunk)
    data = pair_data(tmp_path, module.config)
    data.setup()
    numbers = [3, 0, 1]
    with torch.no_grad():
        found, lengths = module.log_likelihoods(data.batch_of(numbers))
    code, encoder = data.encoder.ids, data.encoder
    for row, number in enumerate(numbers):
        pair = PAIRS[number]
        prompt, blank = [*encoder.bos, *code([pair.prompt])[0]], code([" "])[0]
        for side, text in enumerate((pair.chosen, pair.rejected)):
            answer = [*blank, *code([text])[0], *encoder.eos]
            expected = naive_log_likelihood(model, prompt, answer)
            assert found[row, side].item() == pytest.approx(expected, rel=2e-5, abs=2e-5)
            assert lengths[row, side].item() == len(answer)


@pytest.mark.parametrize("preference", [PLAIN, NORMALISED], ids=["plain", "normalised"])
def test_gradients_equal_those_of_a_naive_implementation(preference, tmp_path):
    """Against full logits of answers run one by one, in float64."""
    model = tiny_model("llama", vocab_size=200).double()
    module = module_of(model, preference, loss_chunk_tokens=3)
    for parameter in model.parameters():
        parameter.data = parameter.data.double()
    data = pair_data(tmp_path, module.config)
    data.setup()
    data.reference = -torch.arange(10, dtype=torch.float64).view(5, 2) * 3
    batch = data.batch_of([0, 3])
    module.summed_loss(batch).backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters()}
    model.zero_grad()
    total = torch.zeros((), dtype=torch.float64)
    for number in (0, 3):
        ratios = []
        for side in (0, 1):
            tokens, pieces = data.sides["train"].row(number)
            piece = pieces[side]
            ids = torch.tensor(tokens[piece.start : piece.stop].astype("int64"))
            logits = model(input_ids=ids[None], use_cache=False).logits[0]
            each = logits.log_softmax(-1)[:-1].gather(1, ids[1:, None])[piece.silent - 1 :]
            ratio = each.sum() - data.reference[number, side]
            ratios.append(ratio / len(each) if preference.length_normalised else ratio)
        margin = preference.beta * (ratios[0] - ratios[1])
        total = total - torch.log(1 / (1 + torch.exp(-margin)))
    total.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(found[name], parameter.grad, rtol=1e-8, atol=1e-10)


def test_a_tied_table_gets_gradients_from_both_sides(tmp_path):
    model = tiny_model("gemma2", vocab_size=200)
    module = module_of(model, trainable=Trainable.embeddings)
    data = pair_data(tmp_path, module.config)
    data.setup()
    data.reference = torch.zeros(5, 2)
    module.summed_loss(data.batch_of([0])).backward()
    rows = model.model.embed_tokens.weight.grad.abs().sum(1) > 0
    assert rows.all()  # the head reaches every row
    assert model.model.layers[0].mlp.up_proj.weight.grad is None


# --- the reference -----------------------------------------------------------------------------


def take(module: PreferenceModule, data, folder: Path) -> Tensor:
    return reference_log_likelihoods(module, data, folder, "run")


def test_the_kept_reference_is_what_would_be_computed_again(tmp_path, monkeypatch):
    monkeypatch.setattr(reference_module, "PART", 2)
    module = module_of(tiny_model("llama", vocab_size=200))
    data = pair_data(tmp_path, module.config, held_out=[PAIRS[0]])
    data.setup()
    first = take(module, data, tmp_path / "reference")
    assert first.shape == (6, 2)
    assert torch.equal(first[5], first[0])
    assert len(list((tmp_path / "reference").glob("*.safetensors"))) == 3

    def refuse(*arguments):
        raise AssertionError("computed again")

    with monkeypatch.context() as patched:
        patched.setattr(reference_module, "_compute", refuse)
        assert torch.equal(take(module, data, tmp_path / "reference"), first)
    assert torch.equal(take(module, data, tmp_path / "elsewhere"), first)


@pytest.mark.parametrize("damage", ["values", "other_pairs", "other_run", "sidecar"])
def test_a_reference_of_other_origin_is_not_used(damage, tmp_path, caplog):
    module = module_of(tiny_model("llama", vocab_size=200))
    data = pair_data(tmp_path, module.config)
    data.setup()
    folder = tmp_path / "reference"
    first = take(module, data, folder)
    (path,) = folder.glob("*.safetensors")
    wrong = load_file(path)["log_likelihoods"] + 1
    identity = "run"
    if damage == "values":
        save_file({"log_likelihoods": wrong}, path)
    elif damage == "sidecar":
        path.with_suffix(".json").write_text("{}")
    elif damage == "other_run":
        identity = "another run"
    else:
        data = pair_data(tmp_path / "b", module.config, pairs=[*PAIRS[1:], PAIRS[0]])
        data.setup()
    with caplog.at_level(logging.WARNING):
        found = reference_log_likelihoods(module, data, folder, identity)
    expected = first.roll(-1, dims=0) if damage == "other_pairs" else first
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert not unnamed(caplog.text, path)


# --- training ----------------------------------------------------------------------------------


def tuned(tmp_path, preference=NORMALISED, family="llama", on_log=None, trainable=Trainable.full,
          held_out=(), **changes):  # fmt: skip
    model = tiny_model(family, vocab_size=200)
    training = tiny_training(**changes)
    data = pair_data(tmp_path, training, held_out=held_out)
    report = train_model(
        model, data.encoder.tokenizer, data, training, trainable, CPU, work_dir=tmp_path, seed=3,
        on_log=on_log, preference=preference,
    )  # fmt: skip
    return model, report, data


def test_the_first_step_stands_at_log_2_and_training_tells_the_pairs_apart(tmp_path):
    _, report, data = tuned(tmp_path, steps=30, held_out=[PAIRS[0]], validate_every=30)
    first, last = report.curve[0], report.curve[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert first["margin"] == pytest.approx(0.0, abs=1e-5)
    assert report.validation[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    assert report.validation[0]["bits"] == pytest.approx(1.0, abs=1e-5)
    assert last["loss"] < 0.1
    assert last["told_apart"] == 1.0
    assert last["chosen_ratio"] > last["rejected_ratio"]
    assert report.validation[-1]["loss"] < 0.1  # the same pair was trained on
    assert data.mixture_report()["epochs"] == 30 * 2 / 5


def test_more_beta_keeps_the_model_closer_at_the_same_margin(tmp_path):
    """At a margin of some size the ratios are that much smaller."""
    found = {}
    for beta in (1.0, 20.0):
        preference = DpoNormalised(beta=beta)
        _, report, _ = tuned(tmp_path / str(beta), preference, steps=25, lr=1e-3)
        found[beta] = report.curve[-1]["chosen_ratio"] - report.curve[-1]["rejected_ratio"]
    assert 0 < found[20.0] < found[1.0]


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize("step", [1, 3])
def test_interrupted_and_started_again_the_weights_are_the_same(step, accumulate, tmp_path):
    def stop(point):
        if point["step"] == step:
            raise KeyboardInterrupt

    settings = {"accumulate": accumulate, "held_out": [PAIRS[1]], "validate_every": 2}
    undisturbed, expected, _ = tuned(tmp_path / "whole", **settings)
    with pytest.raises(KeyboardInterrupt):
        tuned(tmp_path / "broken", on_log=stop, **settings)
    for file in (tmp_path / "broken" / "reference").glob("*.json"):
        if step == 3:
            file.unlink()  # must come from the untrained model, not from the checkpoint
    resumed, report, _ = tuned(tmp_path / "broken", **settings)
    assert report.resumed_at == (0 if step == 1 else 2)
    assert report.curve == expected.curve
    assert report.validation == expected.validation
    for name, value in undisturbed.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name


def test_lora_starts_at_the_reference_and_dropout_is_off(tmp_path):
    lora = LoraConfig(rank=2, dropout=0.5)
    _, report, _ = tuned(tmp_path, trainable=Trainable.lora, lora=lora, steps=2)
    assert report.curve[0]["loss"] == pytest.approx(math.log(2), abs=1e-6)
    model = tiny_model("gpt2", vocab_size=200)
    model.config.resid_pdrop = 0.9
    module = module_of(model)
    assert not any(part.training for part in module.model.modules())


def test_the_same_run_with_next_tokens_is_another_run(tmp_path):
    tuned(tmp_path)
    with raises(FrankenError, tmp_path):
        tuned(tmp_path, PLAIN)


def test_packing_across_documents_is_refused(tmp_path):
    with raises(ConfigError, "pack_across_documents"):
        tuned(tmp_path, pack_across_documents=True)


def test_a_model_with_several_tables_is_refused():
    view = hydra()[0].view("xx", ["en"])
    with raises(CompatibilityError, "tables"):
        module_of(view.model)


# --- pairs as batches --------------------------------------------------------------------------


def test_pairs_that_are_too_long_or_equal_are_counted_and_left_out(tmp_path, caplog):
    long = "a" * 30
    pairs = [PAIRS[0]._replace(rejected=long), PAIRS[1], PAIRS[2]._replace(chosen="dd")]
    data = pair_data(tmp_path, tiny_training(sequence_length=12), pairs)
    with caplog.at_level(logging.WARNING):
        data.setup()
    report = data.mixture_report()
    assert (report["pairs"], report["given"]) == (1, 3)
    assert (report["too_long"], report["equal"]) == (1, 1)
    assert report["mean_tokens"] == [3.0, 5.0]  # blank, letters, end
    assert "1 are too long" in caplog.text
    assert count_pairs({**data.batch_of([0]), "reference": torch.zeros(1, 2)}) == 1


def test_no_pair_left_is_an_error_that_says_why(tmp_path):
    pairs = [PAIRS[2]._replace(chosen="dd")]
    with raises(DataError, 1, 0, "training.sequence_length=16"):
        pair_data(tmp_path, tiny_training(), pairs).setup()


def test_an_epoch_holds_every_pair_once_and_the_position_can_be_set(tmp_path):
    training = tiny_training(batch_size=1)
    data = pair_data(tmp_path, training)
    stream = iter(data.train_dataloader())
    seen = [tuple(next(stream)["input_ids"].flatten().tolist()) for _ in range(15)]
    for epoch in range(3):
        assert len(set(seen[5 * epoch : 5 * epoch + 5])) == 5
    assert seen[:5] != seen[5:10]
    other = pair_data(tmp_path / "b", training)
    other.train_dataloader().load_state_dict({**data.train_dataloader().state_dict(), "batches": 7})
    again = iter(other.train_dataloader())
    assert [tuple(next(again)["input_ids"].flatten().tolist()) for _ in range(3)] == seen[7:10]
    with raises(FrankenError, "pairs"):
        pair_data(tmp_path / "c", training, PAIRS[:3]).train_dataloader().load_state_dict(
            data.train_dataloader().state_dict()
        )
