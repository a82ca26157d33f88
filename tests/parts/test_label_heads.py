"""Heads against transformers' own classes: logits, losses, files."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoModelForTokenClassification

from franken.config.base_model import LoadedModel
from franken.config.training import Trainable, TrainingConfig
from franken.data.labelled import Labelled
from franken.data.labelled_batches import LabelledDataModule
from franken.errors import CompatibilityError
from franken.parts.export import export_model
from franken.parts.label_head import load_head, put_head, read_labels, save_head
from franken.parts.label_set import LabelledUnit, LabelSet
from franken.parts.model import assemble
from franken.training.labels import LabelModule, release_head
from franken.training.policy import apply_policy
from tests.faults import raises
from tests.init_method.texts import ENGLISH
from tests.parts.encoders import encoder_tokenizer, tiny_encoder
from tests.parts.steps import run_load
from tests.parts.tiny import logits_of, save_checkpoint, some_ids, tiny_model

SENTENCE = LabelSet(LabelledUnit.sentence, ("health", "sports", "travel"))
WORDS = LabelSet(LabelledUnit.token, ("O", "B-PER", "I-PER", "B-LOC"))
CLASSES = {"sentence": AutoModelForSequenceClassification, "token": AutoModelForTokenClassification}


@pytest.fixture(params=[SENTENCE, WORDS], ids=["sentence", "token"])
def labels(request):
    return request.param


@pytest.mark.parametrize(
    ("family", "labels"),
    [("bert", SENTENCE), ("deberta-v2", SENTENCE), ("xlm-roberta", WORDS)],
    ids=["bert", "deberta", "xlm-roberta"],
)
def test_an_export_is_what_transformers_loads_with_the_heads_logits_to_the_bit(
    family, labels, tmp_path
):
    tokenizer = encoder_tokenizer(family)
    source = save_checkpoint(tiny_encoder(family, tokenizer), tokenizer, tmp_path / "source")
    ref = run_load(LoadedModel(path=str(source)), tmp_path).ref
    model, _ = assemble(ref)
    before = set(model.state_dict())
    head = put_head(model, labels, seed=3)
    with torch.no_grad():
        for at, parameter in enumerate(head.parameters().values()):
            parameter += 0.1 * torch.randn_like(parameter) + at
    ids = some_ids(len(tokenizer))
    wanted = head.logits(ids, torch.ones_like(ids)).detach()
    save_head(head, tmp_path / "head")
    head.release()
    assert set(model.state_dict()) == before
    export_model(replace(ref, head=tmp_path / "head"), tmp_path / "export", card="")
    plain = CLASSES[labels.unit].from_pretrained(tmp_path / "export").eval()
    with torch.no_grad():
        assert torch.equal(plain(ids).logits, wanted)
    assert plain.config.id2label == dict(enumerate(labels.names))
    assert read_labels(tmp_path / "head") == labels


def test_the_language_model_guesses_as_before_and_the_seed_draws_the_head(labels):
    tokenizer = encoder_tokenizer("bert")
    model, ids = tiny_encoder("bert", tokenizer), some_ids(len(tokenizer))
    before = logits_of(model, ids)
    drawn = []
    for seed in (1, 1, 2):
        head = put_head(model, labels, seed=seed)
        assert torch.equal(logits_of(model, ids), before)
        drawn.append(torch.cat([p.detach().flatten() for p in head.parameters().values()]))
        head.release()
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_heads_of_other_bodies_and_causal_models_are_refused(tmp_path):
    tokenizer = encoder_tokenizer("roberta")
    save_head(put_head(tiny_encoder("roberta", tokenizer), SENTENCE), tmp_path)
    for model in (
        tiny_encoder("roberta", tokenizer, hidden_size=24), tiny_encoder("deberta-v2", tokenizer)
    ):  # fmt: skip
        with raises(CompatibilityError, str(tmp_path)):
            load_head(model, tmp_path)
    with raises(CompatibilityError, "llama"):
        put_head(tiny_model("llama", rows=40), SENTENCE)


def test_the_loss_is_that_of_transformers_and_only_head_and_policy_train(labels):
    tokenizer = encoder_tokenizer("bert")
    model = tiny_encoder("bert", tokenizer)
    whole = labels.unit is LabelledUnit.sentence
    texts = [
        Labelled(str(at), *(((line,), (labels.names[at % 3],)) if whole else tagged(line, labels)))
        for at, line in enumerate(ENGLISH[:6])
    ]
    config = TrainingConfig(batch_size=6, sequence_length=40)
    batch = LabelledDataModule(texts, [], labels, tokenizer, config, 0).batch_of(range(6))
    head = put_head(model, labels)
    with head.held_by(model):
        policy = apply_policy(model, Trainable.adapter, config)
        release_head(head, model, policy)
        module = LabelModule(model, policy, config, head=head, seed=0)
        loss = module.summed_loss(batch)
        loss.backward()
        trained = {name for name, p in model.named_parameters() if p.grad is not None}
    wanted = batch["labels"][:, 0] if whole else batch["labels"]
    mask = (batch["segment_ids"] > 0).long()
    theirs = head.classifier.eval()(batch["input_ids"], attention_mask=mask, labels=wanted).loss
    torch.testing.assert_close(loss / module.counted(batch), theirs)
    assert trained == set(policy.names)
    own = [name for name in policy.names if "franken_adapters" not in name]
    assert len(own) == len(head.names) < len(policy.names)


def tagged(line, labels):
    words = line.split()
    return tuple(words), tuple(labels.names[len(word) % 4] for word in words)
