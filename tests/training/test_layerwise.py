"""A thinned masked model taught by the whole one (BiStil): losses by hand, and training."""

import pytest
import torch

from franken.config.training import Trainable, TrainingConfig
from franken.distillation.alm import Alm
from franken.distillation.bistil import BiStil
from franken.distillation.common.layers import Reading, attention_error, state_error
from franken.errors import CompatibilityError, ConfigError
from franken.parts.thinning import without_layers
from franken.training.distillation import Teaching
from franken.training.layerwise import LayerwiseModule, reading
from franken.training.masking import TokenMasker
from franken.training.policy import apply_policy
from franken.training.runner import train_model
from tests.faults import raises
from tests.parts.encoders import encoder_tokenizer, tiny_encoder
from tests.parts.tiny import logits_of, some_ids
from tests.training.test_masked import packed
from tests.training.tiny import CPU, tiny_model

TRAINING = TrainingConfig(steps=12, batch_size=6, sequence_length=48, lr=3e-3)


def module_of(student, teacher, distillation):
    tokenizer = encoder_tokenizer("bert")
    policy = apply_policy(student, Trainable.full, TRAINING)
    return LayerwiseModule(
        student, policy, TRAINING, masker=TokenMasker.of(tokenizer, TRAINING.masking), seed=0,
        teaching=Teaching(distillation, teacher, tokenizer),
    ).train()  # fmt: skip


@pytest.mark.parametrize("family", ["bert", "roberta", "deberta-v2"])
def test_layers_go_by_name_in_masked_families(family):
    tokenizer = encoder_tokenizer(family)
    whole = tiny_encoder(family, tokenizer, num_hidden_layers=3)
    ids = some_ids(len(tokenizer))
    assert torch.equal(logits_of(without_layers(whole, []), ids), logits_of(whole, ids))
    short = without_layers(whole, [1])
    body = whole.get_submodule(whole.base_model_prefix).encoder
    body.layer = torch.nn.ModuleList([body.layer[0], body.layer[2]])
    assert torch.equal(logits_of(short, ids), logits_of(whole, ids))


def drawn(*shape, seed):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_errors_are_means_over_tokens_of_matched_layers():
    seen = torch.tensor([[1, 1, 0]])
    own = Reading(
        tuple(drawn(1, 3, 2, seed=s) for s in (1, 2)), (drawn(1, 2, 3, 3, seed=3),),
        drawn(0, 4, seed=0),
    )  # fmt: skip
    other = Reading(
        tuple(drawn(1, 3, 2, seed=s) for s in (4, 5, 6)),
        tuple(drawn(1, 2, 3, 3, seed=s) for s in (7, 8)), drawn(0, 4, seed=0),
    )  # fmt: skip
    squares = [
        float((own.states[a][0, t, d] - other.states[b][0, t, d]) ** 2)
        for a, b in ((0, 0), (1, 2)) for t in (0, 1) for d in (0, 1)
    ]  # fmt: skip
    assert float(state_error(own, other, seen)) == pytest.approx(sum(squares) / len(squares))
    squares = [
        float((own.attentions[0][0, h, q, k] - other.attentions[1][0, h, q, k]) ** 2)
        for h in (0, 1) for q in (0, 1) for k in (0, 1)
    ]  # fmt: skip
    assert float(attention_error(own, other, seen)) == pytest.approx(sum(squares) / len(squares))
    three = Reading(other.states, (*other.attentions, other.attentions[0]), other.logits)
    with raises(CompatibilityError, "3", "2"):
        state_error(other, three, seen)


def test_the_teacher_itself_has_no_loss_and_a_thinned_one_that_of_its_parts():
    tokenizer = encoder_tokenizer("bert")
    teacher = tiny_encoder("bert", tokenizer, num_hidden_layers=4)
    batch = packed(tokenizer)
    same = module_of(without_layers(teacher, []), teacher, BiStil(name="bistil"))
    assert float(same.summed_loss(batch).detach()) == pytest.approx(0.0, abs=1e-4)
    student = without_layers(teacher, [1, 3])
    module = module_of(student, teacher, BiStil(name="bistil", states=2.0, attention=0, weight=3.0))
    found = module.summed_loss(batch)
    hidden = module._hidden(batch)
    ids, labels, parts = hidden["input_ids"], hidden["labels"], hidden["segment_ids"]
    states = total = 0
    logits = [[], []]
    for row in range(len(ids)):
        for number in range(1, int(parts[row].max()) + 1):
            inside = parts[row] == number
            if not (labels[row][inside] >= 0).any():
                continue
            one = ids[row][inside][None]
            both = [
                reading(model, one, torch.ones_like(one), labels[row][inside][None])
                for model in (student, teacher)
            ]
            for a, b in ((0, 0), (1, 2), (2, 4)):
                apart = both[0].states[a] - both[1].states[b]
                states += float(apart.detach().square().sum()) / 16 / 3
            total += one.numel()
            for side, read in zip(logits, both, strict=True):
                side.append(read.logits)
    own, goal = (torch.cat(side).detach().log_softmax(-1) for side in logits)
    divergence = float((goal.exp() * (goal - own)).sum(-1).mean())
    assert module.measures["guesses"] == pytest.approx(3.0 * divergence, rel=1e-4)
    assert module.measures["states"] == pytest.approx(3.0 * 2.0 * states / total, rel=1e-4)
    counted = int((labels >= 0).sum())
    wanted = counted * sum(module.measures.values())
    assert float(found.detach()) == pytest.approx(wanted, rel=1e-5)


class Packed:
    """A data module of one batch."""

    def prepare_data(self): ...

    def setup(self, stage): ...

    def train_dataloader(self):
        return [packed(encoder_tokenizer("bert"))] * 99

    def val_dataloader(self):
        return []

    def state_dict(self):
        return {}

    def load_state_dict(self, state): ...


def taught(teacher, student, tmp_path, distillation=None):
    tokenizer = encoder_tokenizer("bert")
    teaching = Teaching(distillation or BiStil(name="bistil"), teacher, tokenizer)
    train_model(
        student, tokenizer, Packed(), TRAINING, Trainable.full, CPU, work_dir=tmp_path, seed=0,
        teaching=teaching,
    )  # fmt: skip


def test_training_brings_the_student_to_its_teacher_which_stays(tmp_path):
    tokenizer = encoder_tokenizer("bert")
    teacher = tiny_encoder("bert", tokenizer, num_hidden_layers=2)
    kept = {name: value.clone() for name, value in teacher.state_dict().items()}
    student, ids = without_layers(teacher, [1]), some_ids(len(tokenizer))
    wanted = logits_of(teacher, ids).log_softmax(-1)

    def apart():
        return float((wanted.exp() * (wanted - logits_of(student, ids).log_softmax(-1))).sum())

    before = apart()
    taught(teacher, student, tmp_path)
    assert apart() < 0.8 * before
    assert all(torch.equal(kept[name], value) for name, value in teacher.state_dict().items())


def test_other_teachers_and_losses_are_refused(tmp_path):
    tokenizer = encoder_tokenizer("bert")
    student = tiny_encoder("bert", tokenizer)
    with raises(CompatibilityError, "hidden_size", "24"):
        taught(tiny_encoder("bert", tokenizer, hidden_size=24), student, tmp_path)
    with raises(ConfigError, "causal", "bistil"):
        taught(tiny_model("llama", rows=96), student, tmp_path)
    with raises(ConfigError, "bistil"):
        taught(tiny_encoder("bert", tokenizer), student, tmp_path, Alm())
