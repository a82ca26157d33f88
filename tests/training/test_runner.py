"""train_model: what changes, what does not, and what it reports."""

import json
import logging
import random
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from franken.config.trainer import Precision
from franken.config.training import AdapterConfig, BodyType, LoraConfig, Trainable, TrainingConfig
from franken.errors import ArtifactError, ConfigError, DataError, FrankenError
from franken.training.runner import train_model
from tests.faults import raises
from tests.training.tiny import CPU, TinyData, packed_batch, tiny_model


def config(**changes: object) -> TrainingConfig:
    values = {"steps": 3, "batch_size": 4, "sequence_length": 16, "lr": 1e-2, "grad_clip": 0.0}
    return TrainingConfig(**{**values, **changes})  # type: ignore[arg-type]


def weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def train(model, settings, trainable, tmp_path, *, seed=0, data=None, **options):  # type: ignore[no-untyped-def]
    data = data or TinyData(settings)
    return train_model(
        model, None, data, settings, trainable, CPU, work_dir=tmp_path, seed=seed, **options
    )


def changed(before: dict[str, torch.Tensor], model: PreTrainedModel) -> set[str]:
    return {n for n, p in model.named_parameters() if n in before and not torch.equal(before[n], p)}


@pytest.mark.parametrize("family", ["gemma2", "llama"])
def test_embeddings_change_in_every_row_and_nothing_else_does(family, tmp_path):
    model = tiny_model(family)
    before = weights(model)
    train(model, config(), Trainable.embeddings, tmp_path)
    tables = {"model.embed_tokens.weight"} | ({"lm_head.weight"} if family == "llama" else set())
    assert changed(before, model) == tables
    head = model.lm_head.weight
    rows = (head != before.get("lm_head.weight", before["model.embed_tokens.weight"])).any(dim=1)
    assert rows[1:].all()  # row 0 is padding
    assert not rows[0]
    assert (head is model.model.embed_tokens.weight) == (family == "gemma2")


def test_steps_are_told_where_there_is_no_terminal(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr("franken.progress.TELL_EVERY", 0.0)
    settings = config()
    with caplog.at_level(logging.INFO, logger="franken.progress"):
        train_model(
            tiny_model("gemma2"), None, TinyData(settings), settings, Trainable.embeddings,
            replace(CPU, progress=True), work_dir=tmp_path, seed=0,
        )  # fmt: skip
    told = [r.getMessage() for r in caplog.records if r.name == "franken.progress"]
    assert [line.split(",")[0] for line in told] == [f"training: {n} of 3" for n in (1, 2, 3)]
    caplog.clear()
    with caplog.at_level(logging.INFO, logger="franken.progress"):
        train(tiny_model("gemma2"), settings, Trainable.embeddings, tmp_path / "quiet")
    assert not [r for r in caplog.records if r.name == "franken.progress"]


def test_body_training_leaves_the_table_alone(tmp_path):
    model = tiny_model("gemma2")
    before = weights(model)
    train(model, config(), Trainable.body, tmp_path)
    assert changed(before, model) == set(before) - {"model.embed_tokens.weight"}


def test_lora_training_changes_adapters_only(tmp_path):
    model = tiny_model("gpt2")
    plain = weights(model)
    train(model, config(lora=LoraConfig(rank=2)), Trainable.lora, tmp_path)
    after = {n.replace(".base_layer", ""): p for n, p in model.named_parameters()}
    assert all(torch.equal(plain[name], after[name]) for name in plain)
    adapters = [p for n, p in after.items() if "lora_B" in n]
    assert adapters
    assert all(p.any() for p in adapters)


def test_rows_move_at_a_tiny_rate_over_a_bfloat16_body(tmp_path):
    """In bfloat16 a step of 1e-5 on weights near 0.3 rounds to nothing."""
    model = tiny_model("gemma2").to(torch.bfloat16)
    before = model.model.embed_tokens.weight.detach().float().clone()
    settings = config(steps=1, lr=1e-5, body_dtype=BodyType.bfloat16)
    train(model, settings, Trainable.embeddings, tmp_path)
    after = model.model.embed_tokens.weight.detach()
    assert model.model.layers[0].mlp.up_proj.weight.dtype == torch.bfloat16
    assert (after - before)[1:].abs().median().item() == pytest.approx(1e-5, rel=0.01)
    assert (after != before)[1:].any(dim=1).all()


# what mixes adapters needs some that are there: tests/parts/test_fusion.py
@pytest.mark.parametrize("trainable", [t for t in Trainable if t is not Trainable.fusion])
@pytest.mark.parametrize("family", ["gemma2", "gpt2"])
def test_every_policy_trains_over_a_bfloat16_body(family, trainable, tmp_path):
    model = tiny_model(family).to(torch.bfloat16)
    # bottlenecks begin at zero, and a sixteenth of so narrow a layer would be one unit
    wide, steps = AdapterConfig(reduction=1), 100 if trainable is Trainable.adapter else 25
    settings = config(steps=steps, lr=1e-2, body_dtype=BodyType.bfloat16, adapter=wide)
    report = train(model, settings, trainable, tmp_path)
    assert report.final_loss < report.curve[0]["loss"] - 0.02


@pytest.mark.parametrize("body", [BodyType.float32, BodyType.bfloat16])
def test_mixed_precision_keeps_float32_masters(body, tmp_path):
    model = tiny_model("llama").to(torch.bfloat16)
    settings = config(steps=25, body_dtype=body, loss_chunk_tokens=5)
    report = train_model(
        model, None, TinyData(settings), settings, Trainable.embeddings,
        replace(CPU, precision=Precision.bf16_mixed), work_dir=tmp_path, seed=0,
    )  # fmt: skip
    assert report.final_loss < report.curve[0]["loss"] - 0.1
    assert model.lm_head.weight.dtype == torch.float32
    expected = torch.bfloat16 if body is BodyType.bfloat16 else torch.float32
    assert model.model.norm.weight.dtype == expected


@pytest.mark.parametrize("family", ["gemma2", "llama", "cohere", "gpt2", "xglm"])
def test_the_loss_is_the_models_own(family, tmp_path):
    """First point of the curve against transformers' logits of unpacked documents."""
    without_dropout = {"gpt2": dict.fromkeys(("attn_pdrop", "embd_pdrop", "resid_pdrop"), 0.0)}
    changes = {
        "cohere": {"logit_scale": 0.5},
        "xglm": dict.fromkeys(("dropout", "attention_dropout", "activation_dropout"), 0.0),
        **without_dropout,
    }
    model = tiny_model(family, **changes.get(family, {}))
    settings = config(steps=1, lr=0.0)
    total = count = 0.0
    batch = next(iter(TinyData(settings).train_dataloader()))
    for ids, segments in zip(batch["input_ids"], batch["segment_ids"], strict=True):
        for number in (1, 2):
            document = ids[segments == number][None]
            with torch.no_grad():
                scores = model(document).logits[0, :-1].double().log_softmax(-1)
            total -= scores.gather(1, document[0, 1:, None]).sum().item()
            count += document.shape[1] - 1
    report = train(model, settings, Trainable.full, tmp_path)
    assert report.final_loss == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("chunk", [0, 5])
def test_accumulation_and_chunks_change_nothing_but_memory(chunk, tmp_path):
    class Same(TinyData):
        """One row has far fewer targets than the others: parts of a step differ in weight."""

        def train_dataloader(self):  # type: ignore[no-untyped-def]
            whole = packed_batch(4, 16, seed=3)
            whole["labels"][0, 3:] = -100
            rows = self.rows
            parts = [{k: v[i : i + rows] for k, v in whole.items()} for i in range(0, 4, rows)]
            return parts

    found = []
    for accumulate in (1, 4):
        model = tiny_model("llama")
        settings = config(steps=2, accumulate=accumulate, loss_chunk_tokens=chunk, grad_clip=0.1)
        data = Same(settings)
        report = train(model, settings, Trainable.full, tmp_path / str(accumulate), data=data)
        found.append((report.curve, weights(model)))
    for one, other in zip(found[0][0], found[1][0], strict=True):
        assert one == pytest.approx(other, rel=1e-4)
    for name, value in found[0][1].items():
        torch.testing.assert_close(value, found[1][1][name], rtol=1e-3, atol=1e-5)


def test_frozen_control_rows_keep_their_bits(tmp_path):
    class Tokens:
        all_special_ids = [1, 2]
        added_tokens_decoder: dict = {}

    model = tiny_model("gemma2")
    before = model.model.embed_tokens.weight.detach().clone()
    settings = config(freeze_special_rows=True, weight_decay=0.5)
    train_model(
        model, Tokens(), TinyData(settings), settings, Trainable.full, CPU,
        work_dir=tmp_path, seed=0,
    )  # fmt: skip
    same = (model.model.embed_tokens.weight == before).all(dim=1)
    assert same.nonzero().flatten().tolist() == [0, 1, 2]


def test_weight_decay_spares_tables_norms_and_biases(tmp_path):
    model = tiny_model("llama")
    before = weights(model)

    class Silent(TinyData):
        def train_dataloader(self):  # type: ignore[no-untyped-def]
            batch = packed_batch(4, 16, seed=0)
            batch["labels"][:] = -100
            return [batch]

    settings = config(steps=1, lr=0.1, weight_decay=0.5)
    train(model, settings, Trainable.full, tmp_path, data=Silent(settings))
    matrices = {
        n for n, p in before.items() if p.ndim == 2 and "embed" not in n and "head" not in n
    }
    assert changed(before, model) == matrices
    name = "model.layers.0.mlp.up_proj.weight"
    torch.testing.assert_close(weights(model)[name], before[name] * 0.95)


def test_activation_checkpointing_changes_no_bit(tmp_path):
    found = []
    for active in (False, True):
        model = tiny_model("gpt2")
        lora = LoraConfig(rank=2, dropout=0.3)
        settings = config(lora=lora, activation_checkpointing=active)
        train(model, settings, Trainable.lora, tmp_path / str(active))
        found.append(weights(model))
        assert "forward" not in model.transformer.h[0].__dict__
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_the_weights_of_the_best_validation_are_kept(tmp_path):
    class Backwards(TinyData):
        """Validation text counts down where training text counts up."""

        def val_dataloader(self):  # type: ignore[no-untyped-def]
            batches = super().val_dataloader()
            for batch in batches:
                batch["labels"] = batch["labels"].roll(2, dims=1)
            return batches

    model, twin = tiny_model("gemma2"), tiny_model("gemma2")
    settings = config(steps=30, lr=0.1, validate_every=5, checkpoint_every=7)
    data = Backwards(settings)
    report = train(model, settings, Trainable.embeddings, tmp_path, data=data)
    losses = {p["step"]: p["loss"] for p in report.validation}
    assert sorted(losses) == [0, 5, 10, 15, 20, 25, 30]
    best = min((loss, step) for step, loss in losses.items() if step)[1]
    assert report.best_step == best
    assert best < 30
    assert report.validation_loss == losses[best]
    shorter = config(steps=best, lr=0.1)
    train(twin, shorter, Trainable.embeddings, tmp_path / "twin")
    assert torch.equal(model.model.embed_tokens.weight, twin.model.embed_tokens.weight)


def test_selection_without_validation_text_is_refused(tmp_path):
    settings = config(validate_every=1)
    data = TinyData(settings, validation=False)
    with raises(DataError, "validation"):
        train(tiny_model(), settings, Trainable.full, tmp_path, data=data)


def test_a_diverging_run_names_step_rate_and_remedy_and_keeps_its_weights(tmp_path):
    model = tiny_model("gemma2")
    settings = config(steps=5, checkpoint_every=1)
    once = tiny_model("gemma2")
    train(once, config(steps=1), Trainable.embeddings, tmp_path / "once")
    with raises(FrankenError, "step 2 of 5", "nan", 0.01, "training"):
        train(model, settings, Trainable.embeddings, tmp_path, data=Poisoned(settings, model))
    assert torch.equal(model.model.embed_tokens.weight, once.model.embed_tokens.weight)
    assert not any(p.isnan().any() for n, p in model.named_parameters() if "norm" not in n)


class Poisoned(TinyData):
    """Breaks the final norm after the first batch."""

    def __init__(self, settings: TrainingConfig, model: PreTrainedModel) -> None:
        super().__init__(settings)
        loader, self.model = self.loader, model

        class Loader:
            state_dict = loader.state_dict

            def __iter__(self):  # type: ignore[no-untyped-def]
                for number, batch in enumerate(loader):
                    if number == 1:
                        with torch.no_grad():
                            model.model.norm.weight.fill_(float("nan"))
                    yield batch

        self.broken = Loader()

    def train_dataloader(self):  # type: ignore[no-untyped-def]
        return self.broken


def test_global_state_is_left_as_it_was(tmp_path):
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    expected = random.random(), np.random.rand(), torch.rand(())
    random.seed(1)
    np.random.seed(1)
    torch.manual_seed(1)
    threads, level = torch.get_num_threads(), logging.getLogger("pytorch_lightning").level
    model = tiny_model("llama")
    model.lm_head.weight.requires_grad_(False)
    train(model, config(), Trainable.embeddings, tmp_path)
    assert (random.random(), np.random.rand(), torch.rand(())) == expected
    assert torch.get_num_threads() == threads
    assert logging.getLogger("pytorch_lightning").level == level
    assert not torch.are_deterministic_algorithms_enabled()
    assert not model.lm_head.weight.requires_grad
    assert model.model.layers[0].mlp.up_proj.weight.requires_grad
    assert not any(m.training for m in model.modules())


def test_the_global_generators_do_not_matter(tmp_path):
    found = []
    for number in (1, 2):
        torch.manual_seed(number)
        model = tiny_model("gpt2")  # has dropout
        train(model, config(), Trainable.full, tmp_path / str(number))
        found.append(weights(model))
    assert all(torch.equal(value, found[1][name]) for name, value in found[0].items())


def test_the_seed_reaches_dropout(tmp_path):
    found = []
    for seed in (1, 2):
        model = tiny_model("gpt2")
        train(model, config(), Trainable.full, tmp_path / str(seed), seed=seed)
        found.append(weights(model)["transformer.wte.weight"])
    assert not torch.equal(*found)


def test_the_report_is_plain_and_counts_real_tokens(tmp_path):
    seen: list[dict[str, float]] = []
    report = train(tiny_model(), config(), Trainable.embeddings, tmp_path, on_log=seen.append)
    assert json.loads(json.dumps(report.to_json())) == report.to_json()
    assert report.tokens == 3 * 4 * 14  # two places of padding per row
    assert report.steps == 3
    assert report.trained_parameters == 48 * 16
    assert [point["step"] for point in report.curve] == [1, 2, 3]
    assert seen == report.curve
    assert [point["step"] for point in report.validation] == [3]
    assert report.validation_loss == report.validation[0]["loss"]
    assert report.best_step is None


def test_a_batch_that_processes_cannot_share_is_refused(tmp_path):
    settings = config(batch_size=6, accumulate=2)
    with raises(ConfigError, 2, 6):
        train_model(
            tiny_model(), None, TinyData(settings), settings, Trainable.full,
            replace(CPU, devices=2, strategy="ddp"), work_dir=tmp_path, seed=0,
        )  # fmt: skip


def test_ctrl_c_stays_an_interrupt_and_leaves_its_handler(tmp_path):
    def interrupt(point: dict[str, float]) -> None:
        raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        train(tiny_model(), config(), Trainable.embeddings, tmp_path, on_log=interrupt)
    assert signal.getsignal(signal.SIGINT) is handler


def test_a_work_directory_of_another_run_is_refused(tmp_path):
    train(tiny_model(), config(), Trainable.embeddings, tmp_path)
    with raises(ArtifactError, tmp_path):
        train(tiny_model(), config(lr=0.5), Trainable.embeddings, tmp_path)
