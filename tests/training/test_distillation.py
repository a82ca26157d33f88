"""Training with a teacher of another tokenizer: the loss by hand, and what training reaches."""

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.config.training import Trainable, TrainingConfig
from franken.distillation.alm import Alm, Divergence
from franken.distillation.base import Balance
from franken.distillation.common.pairing import Pairing, flat_chunks
from franken.distillation.simct import Simct
from franken.errors import CompatibilityError
from franken.tokenizer.families import train_tokenizer
from franken.training.batches import completed
from franken.training.distillation import DistillationModule, Teaching
from franken.training.policy import apply_policy
from franken.training.runner import train_model
from tests.composition.hydras import hydra
from tests.distillation.test_chunks import batch_of
from tests.faults import raises
from tests.init_method.texts import ENGLISH, SWAHILI
from tests.training.tiny import CPU, tiny_model

TRAINING = TrainingConfig(
    steps=30, batch_size=2, sequence_length=96, lr=3e-2, checkpoint_every=5, loss_chunk_tokens=64,
    checkpoint_minutes=0.0,
)  # fmt: skip
LINES = [*ENGLISH[:5], *SWAHILI[:5]]


@pytest.fixture(scope="module")
def tokenizers():
    student = train_tokenizer(TokenizerKind.byte_level_bpe, [*ENGLISH, *SWAHILI], 480)
    return student, train_tokenizer(TokenizerKind.sentencepiece_bpe, ENGLISH, 420)


def model_of(tokenizer, family="llama"):
    return tiny_model(family, vocab_size=len(tokenizer), max_position_embeddings=256)


def module_of(tokenizers, distillation, *, model=None, teacher=None):
    model = model or model_of(tokenizers[0])
    policy = apply_policy(
        model, Trainable.embeddings, TRAINING, body_dtype=torch.float32, special_rows=[], seed=0
    )
    teaching = Teaching(distillation, teacher or model_of(tokenizers[1], "gemma2"), tokenizers[1])
    return DistillationModule(
        model, policy, TRAINING, teaching=teaching, pairing=Pairing(*tokenizers), seed=0
    )


class Data:
    """Fixed batches, over and over."""

    def __init__(self, tokenizer):
        self.batches = [batch_of(tokenizer, LINES[at : at + 4]) for at in (0, 4)]

    def prepare_data(self): ...

    def setup(self, stage): ...

    def state_dict(self):
        return {}

    def load_state_dict(self, state): ...

    def train_dataloader(self):
        return self.batches

    def val_dataloader(self):
        return self.batches[:1]


def paired(tokenizers):
    return Pairing(*tokenizers).pair(completed(batch_of(tokenizers[0], LINES[:4])))


def slow_likelihoods(model, ids, segments, chunks):
    """Chunk -> log-likelihood, each document read by itself."""
    found: dict[int, float] = {}
    for row in range(len(ids)):
        for segment in sorted(set(segments[row].tolist()) - {0}):
            places = (segments[row] == segment).nonzero().flatten()
            with torch.no_grad():
                logits = model(ids[row][places][None]).logits[0].log_softmax(-1)
            for at, place in enumerate(places.tolist()):
                chunk = int(chunks[row, place])
                if chunk >= 0:
                    found[chunk] = found.get(chunk, 0) + float(logits[at - 1, ids[row, place]])
    return found


def test_both_models_read_each_document_by_itself_and_chunks_sum_their_tokens(tokenizers):
    student, teacher = model_of(tokenizers[0]), model_of(tokenizers[1], "gemma2")
    module = module_of(tokenizers, Alm(), model=student, teacher=teacher)
    batch = paired(tokenizers)
    views = module._views(batch, module.hidden_states(batch))
    mine, theirs, _ = flat_chunks(batch["chunks"], batch["teacher_chunks"])
    for view, model, ids, segments, chunks in (
        (views[0], student, batch["input_ids"], batch["segment_ids"], mine),
        (views[1], teacher, batch["teacher_ids"], batch["teacher_segments"], theirs),
    ):
        expected = slow_likelihoods(model, ids, segments, chunks)
        assert len(expected) > 30
        found = view.log_likelihoods()
        for chunk, value in expected.items():
            assert float(found[chunk].detach()) == pytest.approx(value, abs=1e-3)


def test_fixed_factors_weigh_the_next_token_and_the_teacher(tokenizers):
    batch = paired(tokenizers)
    losses = {}
    for factors in ((1.0, 0.0), (0.0, 1.0), (2.0, 3.0)):
        options = Alm(balance=Balance.fixed, next_token=factors[0], weight=factors[1])
        losses[factors] = float(module_of(tokenizers, options).summed_loss(batch).detach())
    total = 2 * losses[1.0, 0.0] + 3 * losses[0.0, 1.0]
    assert losses[2.0, 3.0] == pytest.approx(total, rel=1e-5)
    plain = {key: value for key, value in batch.items() if "teacher" not in key}
    alone = module_of(tokenizers, Alm()).summed_loss(plain)
    assert float(alone.detach()) == pytest.approx(losses[1.0, 0.0], rel=1e-5)


def test_balanced_gradients_are_of_equal_length(tokenizers):
    module, batch = module_of(tokenizers, Alm()), paired(tokenizers)
    hidden = module.hidden_states(batch)
    views = module._views(batch, hidden)
    plain = module.next_token_loss(hidden, batch["labels"][:, 1:])
    taught, _ = module.distillation.loss(*views)
    factors = module._factors((plain, hidden), (taught, hidden))
    norms = [
        factor * float(torch.autograd.grad(loss, hidden, retain_graph=True)[0].norm())
        for factor, loss in zip(factors, (plain, taught), strict=True)
    ]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    assert sum(factors) == pytest.approx(1.0)


def test_a_teacher_that_says_nothing_leaves_the_next_token_its_weight(tokenizers):
    module, batch = module_of(tokenizers, Alm()), paired(tokenizers)
    hidden = module.hidden_states(batch)
    plain = module.next_token_loss(hidden, batch["labels"][:, 1:])
    assert module._factors((plain, hidden), (hidden.sum() * 0.0, hidden)) == (1.0, 1.0)


def run(tokenizers, work_dir, distillation, *, steps=30):
    student = model_of(tokenizers[0])
    teacher = model_of(tokenizers[1], "gemma2")
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    module = module_of(tokenizers, distillation, teacher=teacher)
    batch = paired(tokenizers)
    start = float(distillation.loss(*module._views(batch, module.hidden_states(batch)))[0].detach())
    report = train_model(
        student, tokenizers[0], Data(tokenizers[0]), TRAINING, Trainable.embeddings, CPU,
        work_dir=work_dir, seed=0, teaching=Teaching(distillation, teacher, tokenizers[1]),
    )  # fmt: skip
    module = module_of(tokenizers, distillation, model=student, teacher=teacher)
    end = float(distillation.loss(*module._views(batch, module.hidden_states(batch)))[0].detach())
    for name, value in teacher.state_dict().items():
        assert torch.equal(value, before[name]), name
    return student, report, start, end


def test_training_comes_nearer_to_the_teacher_and_leaves_it_alone(tokenizers, tmp_path):
    distillation = Alm(next_token=0.0, divergence=Divergence.kl)
    _, report, start, end = run(tokenizers, tmp_path / "first", distillation)
    assert end < 0.9 * start
    assert report.steps == TRAINING.steps
    again, *_ = run(tokenizers, tmp_path / "second", distillation)
    once, *_ = run(tokenizers, tmp_path / "second", distillation)  # all done: read back
    for name, value in again.state_dict().items():
        assert torch.equal(value, once.state_dict()[name]), name


def test_the_models_own_text_is_what_the_teacher_is_asked_about(tokenizers):
    options = Simct(rollout=1.0, rollout_tokens=12, rollout_prompt=4)
    module = module_of(tokenizers, options)
    batch = paired(tokenizers)
    own = module._own_text(batch)
    assert own is not None
    for row in range(len(own["input_ids"])):
        assert torch.equal(own["input_ids"][row, :4], batch["input_ids"][row, :4])
        assert int((own["segment_ids"][row] > 0).sum()) <= 16
        assert (own["chunks"][row, :4] == -1).all()  # what was read is not asked about
    assert int((own["chunks"] >= 0).sum()) > 8
    again = module._own_text(batch)
    assert torch.equal(own["input_ids"], again["input_ids"])
    module._draws += 1
    assert not torch.equal(own["input_ids"], module._own_text(batch)["input_ids"])
    module.summed_loss(batch).backward()
    assert module.measures["simct"] > 0
    assert module_of(tokenizers, Simct())._own_text(batch) is None


def test_rollouts_leave_no_trace_in_the_description_while_they_are_off():
    assert not [key for key in Simct().content() if "rollout" in key]
    assert Simct(rollout=0.5).content()["rollout_tokens"] == Simct().rollout_tokens


def test_several_tables_are_refused(tokenizers):
    with raises(CompatibilityError, "distillation", "tables"):
        module_of(tokenizers, Alm(), teacher=hydra()[0].view("xx", ["en"]).model)
