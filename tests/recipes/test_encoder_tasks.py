"""Heads of masked models from a config to scores and an export, on a tiny world."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from franken.parts.label_head import load_head
from franken.parts.model import assemble
from franken.run import Runner
from franken.steps.common.models import open_model, read_places

from .conftest import compose_config

QUICK = [
    "+experiment=neighbours/encoder_tasks", "training.skill.steps=3", "training.skill.batch_size=4",
    "training.skill.sequence_length=48", "data.evaluation=8", "vocab.added=50",
    "~eval_suite.tasks.pseudo_bits_per_byte", "recipe.evaluate=[topics_untuned]",
    "recipe.export=[topics]", "data.languages=[ka]",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(shared_store: Path, tmp_path_factory) -> Runner:
    made = Runner(
        compose_config(f"store.path={shared_store}", *QUICK), tmp_path_factory.mktemp("labels")
    )
    made.run()
    return made


def test_an_english_head_stands_on_the_new_languages_table(run: Runner) -> None:
    own, swapped = (read_places(run.ensure(name)) for name in ("topics", "topics_untuned"))
    assert (swapped["head"], swapped["body"]) == (own["head"], own["body"])
    _, tokenizer = assemble(open_model(run.ensure("topics_untuned"), run.store))
    _, wanted = assemble(open_model(run.ensure("initial"), run.store))
    assert tokenizer.get_vocab() == wanted.get_vocab()
    scores = run.write_results()
    assert {score["lang"] for score in scores if score["task"] == "topics"} == {"en", "ka"}


def test_the_export_is_a_plain_classifier(run: Runner) -> None:
    directory = run.ensure(run.graph.exports["topics"]).path / "model"
    ref = open_model(run.ensure("topics"), run.store)
    model, _ = assemble(ref)
    ids = AutoTokenizer.from_pretrained(directory)(["the doctor reads ."], return_tensors="pt")
    plain = AutoModelForSequenceClassification.from_pretrained(directory).eval()
    with torch.no_grad():
        wanted = load_head(model, ref.head).logits(ids.input_ids, ids.attention_mask)
        # where weights lie in memory decides the order in which some libraries sum
        torch.testing.assert_close(plain(**ids).logits, wanted, atol=1e-6, rtol=1e-5)


SPARSE = [
    "+experiment=neighbours/lt_sft_labels", *QUICK[1:4], "data.evaluation=8", "data.languages=[ka]",
    "~eval_suite.tasks.pseudo_bits_per_byte", "~eval_suite.tasks.topics",
    "recipe.evaluate=[task_alone]", "+recipe.steps.task_random_phi.bits=32",
    "recipe.steps.task_alone.packs.task=task_random_phi",
    "recipe.steps.task_random_phi.model=base",
]  # fmt: skip


def test_a_sparse_difference_of_a_task_brings_its_head(shared_store: Path, tmp_path) -> None:
    run = Runner(compose_config(f"store.path={shared_store}", *SPARSE), tmp_path)
    run.run()
    made, grafted = run.ensure("task_random_phi"), read_places(run.ensure("task_alone"))
    assert grafted["head"] == [made.kind, made.key, "head"]
    base, body = (
        dict(assemble(open_model(run.ensure(name), run.store))[0].named_parameters())
        for name in ("base", "task_alone")
    )
    moved = sum(int((base[name] != body[name]).sum()) for name in base)
    kept = ("word_embeddings", "lm_head.bias", "lm_head.decoder", "LayerNorm", "layer_norm")
    free = sum(p.numel() for name, p in base.items() if not any(part in name for part in kept))
    assert 0.5 * 0.08 * free < moved <= round(0.08 * free)  # few steps reach few positions
