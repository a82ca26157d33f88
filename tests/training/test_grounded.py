"""Grounded rows: the loss against transformers' own, what moves, and what must not."""

import json

import pytest
import torch

import franken
from franken.config.base_model import TokenizerKind
from franken.errors import DataError
from franken.init_method import InitResources, initialise
from franken.init_method.grounded import GroundedInit
from franken.parts.surgery import take_table
from franken.tokenizer.named_tokens import read_named_tokens
from franken.training.frozen import FrozenModel
from franken.training.learners import LearnTask, learn_rows
from franken.training.learners.grounded import Grounding, pairs_of
from franken.training.learners.token_distillation import NewRows
from franken.vocab import VocabTexts
from franken.vocab.extension import ExtensionVocab
from tests.faults import faults_of, raises
from tests.init_method.tiny import source_tokenizer
from tests.training.test_learners import body, logits_with, make_model
from tests.training.tiny import CPU

KIND = TokenizerKind.byte_level_bpe
NAMED = [
    {"token": " zorvanib", "text": "a drug"}, {"token": " tollerine", "text": "a large ship"},
    {"token": "<tool>", "special": True}, {"token": " quorbel", "text": "bread"},
]  # fmt: skip


@pytest.fixture
def tokens(tmp_path):
    path = tmp_path / "tokens.jsonl"
    path.write_text("\n".join(map(json.dumps, NAMED)), encoding="utf-8")
    return str(path)


def task_of(tokens, tmp_path, *, tied=True, **options):
    method = GroundedInit(tokens=tokens, **options)
    model, base = make_model(tied), source_tokenizer(KIND)
    target = ExtensionVocab(tokens=tokens).build(base, VocabTexts()).tokenizer
    source = take_table(model, base, lineage="body")
    start, token_map = initialise(source, target, method, InitResources(), 0)
    return LearnTask(
        method=method, model=model, source=source, start=start, token_map=token_map,
        data=lambda training: None, texts=lambda: iter(()), trainer=CPU, work_dir=tmp_path, seed=5,
    )  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
def test_the_loss_is_that_of_the_whole_model(tokens, tmp_path, tied):
    task = task_of(tokens, tmp_path, tied=tied)
    named = [token for token in read_named_tokens(tokens) if token.text]
    ids = [task.start.tokenizer.get_vocab()[token.token] for token in named]
    pairs = pairs_of(named, task.start.tokenizer, task.method)
    rows = NewRows(task.start, ids, head=True)
    found = float(Grounding(FrozenModel(task.model, CPU), task.start, rows).loss(pairs).detach())
    assert len(pairs) == 6
    total = 0.0
    for pair in pairs:
        sequence = torch.tensor([pair.ids])
        scores = logits_with(task.model, task.start, sequence)[0, :-1].log_softmax(-1)
        chosen = scores.gather(1, sequence[0, 1:, None])[-pair.learnt :]
        total -= float(chosen.mean())
    assert found == pytest.approx(total / len(pairs), rel=1e-4)


def test_described_rows_alone_move_and_tell_each_other_apart(tokens, tmp_path):
    task = task_of(tokens, tmp_path, from_mean=True, lr=1e-2, epochs=10)
    before = body(task.model)
    learnt = learn_rows(task)
    assert all(torch.equal(before[name], tensor) for name, tensor in body(task.model).items())
    vocab = task.start.tokenizer.get_vocab()
    moved = [vocab[entry["token"]] for entry in NAMED if "text" in entry]
    kept = [row for row in range(task.start.rows) if row not in moved]
    assert torch.equal(learnt.table.input[kept], task.start.input[kept])
    assert torch.linalg.matrix_rank(task.start.input[moved]) == 1
    assert torch.linalg.matrix_rank(learnt.table.input[moved]) == 3
    assert learnt.report["last_loss"] < learnt.report["first_loss"]
    assert torch.equal(learn_rows(task_of(tokens, tmp_path, from_mean=True, lr=1e-2, epochs=10))
                       .table.input, learnt.table.input)  # fmt: skip


def test_a_model_is_transferred_without_text(tokens):
    model, base = make_model(), source_tokenizer(KIND)
    target = ExtensionVocab(tokens=tokens).build(base, VocabTexts()).tokenizer
    found = franken.transfer(model, base, target, method="grounded", tokens=tokens, epochs=2)
    assert found.report["trained"]["grounded"] == 3
    assert len(found.model.get_input_embeddings().weight) == len(target)


def test_one_way_teaches_a_row_to_be_written_alone(tokens, tmp_path):
    task = task_of(tokens, tmp_path, both_ways=False)
    named = [token for token in read_named_tokens(tokens) if token.text]
    pairs = pairs_of(named, task.start.tokenizer, task.method)
    assert [pair.learnt for pair in pairs] == [1, 1, 1]


def test_what_cannot_be_is_named(tokens, tmp_path):
    assert set(faults_of(GroundedInit, ask="x", tell="y", epochs=0)) == {
        "tokens", "ask", "tell", "epochs",
    }  # fmt: skip
    bare = tmp_path / "bare.txt"
    bare.write_text(" zorvanib\n", encoding="utf-8")
    with raises(DataError, "init_method=grounded", str(bare)):
        learn_rows(task_of(str(bare), tmp_path))
