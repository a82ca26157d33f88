"""What a mixed sequence is: equal to the plain model, and to rows put in by hand."""

import copy
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from franken.composition.hydra import HydraModel
from franken.errors import CompatibilityError, DataError
from franken.parts.anatomy import embedding_scale, logit_scale, logit_softcap
from franken.parts.segmented import SegmentedEmbedding, TableModule, view_of
from franken.parts.surgery import put_table
from tests.bounds import sum_error
from tests.faults import raises
from tests.parts.tiny import tiny_tokenizer

from .hydras import FAMILIES, LINEAGE, base, hydra, other_table

MIXED = [("en", "the cat sat"), ("xx", " juu ya mkeka"), ("en", " the dog")]


def by_hand(model: Any, made: HydraModel, pieces: list[tuple[str, list[int]]]) -> torch.Tensor:
    """States from rows looked up and scaled here, fed to the plain model as embeddings."""
    scale = embedding_scale(model.config)
    rows = [
        F.embedding(torch.tensor(ids), made.tables[name].embedding.weight) for name, ids in pieces
    ]
    joined = torch.cat(rows)[None]
    scaled = joined * torch.tensor(scale, dtype=joined.dtype) if scale != 1 else joined
    with torch.inference_mode():
        states: torch.Tensor = model.base_model(inputs_embeds=scaled).last_hidden_state
    return states


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_switching_tables_equals_embeddings_put_in_by_hand(family: str, tied: bool) -> None:
    made, model = hydra(family, tied)
    view = made.view("xx", ["en"])
    ids = view.encode(MIXED)
    pieces = []
    for place, (name, text) in enumerate(MIXED):
        tokenizer = made.tables[name].tokenizer
        own = tokenizer(text, add_special_tokens=False)["input_ids"]
        pieces.append((name, [tokenizer.bos_token_id, *own] if place == 0 else own))
    offsets = {"xx": 0, "en": made.tables["xx"].rows}
    assert ids == [i + offsets[name] for name, own in pieces for i in own]

    head = made.tables["xx"].head
    with torch.inference_mode():
        states = by_hand(model, made, pieces)
        expected = F.linear(states, head.weight, head.bias) * logit_scale(model.config)
        cap = logit_softcap(model.config)
        expected = expected if cap is None else cap * torch.tanh(expected / cap)
    found = view.logits(torch.tensor([ids]))
    assert found.shape == (1, len(ids), made.tables["xx"].rows)
    # both are float32 passes; the longest sums are those of the head
    largest = (states.abs() @ head.weight.abs().T).max() * logit_scale(model.config)
    bound = 2 * sum_error(states.shape[-1] * (2 + model.config.num_hidden_layers), largest)
    torch.testing.assert_close(found, expected, rtol=0, atol=bound)


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_two_identical_tables_equal_the_plain_model(family: str, tied: bool) -> None:
    model, table = base(family, tied)
    made = HydraModel(model, {"a": table, "b": copy.deepcopy(table)}, lineage=LINEAGE)
    ids = torch.randint(
        4, len(table.tokenizer), (2, 11), generator=torch.Generator().manual_seed(1)
    )
    with torch.inference_mode():
        expected = model(input_ids=ids).logits
    assert torch.equal(made.view("a").logits(ids), expected)
    view = made.view("a", ["b"])
    shifted = ids.clone()
    shifted[:, 3:7] += view.layout.offsets["b"]
    assert torch.equal(view.logits(shifted), expected)
    assert torch.equal(view.logits(ids + view.layout.offsets["b"]), expected)


def test_a_view_of_one_table_is_the_model_that_surgery_makes() -> None:
    made, model = hydra("gemma2", True)
    ids = torch.tensor([[2, 20, 30, 150]])
    found = made.view("xx").logits(ids)
    put_table(model, made.tables["xx"].table())
    with torch.inference_mode():
        assert torch.equal(found, model(input_ids=ids).logits)
    assert made.view("xx").model.config.vocab_size == made.tables["xx"].rows


def test_views_share_all_weights_and_leave_each_other_alone() -> None:
    made, _ = hydra("llama", False)
    one, two = made.view("xx", ["en"]), made.view("en", ["xx"])
    layers = [view.model.get_submodule("model.layers.0.mlp.up_proj").weight for view in (one, two)]
    assert layers[0] is layers[1] is made.body.get_submodule("model.layers.0.mlp.up_proj").weight
    assert one.model.lm_head is made.tables["xx"].head
    assert two.model.lm_head is made.tables["en"].head
    assert (one.model.config.vocab_size, two.model.config.vocab_size) == (
        made.tables["xx"].rows,
        made.tables["en"].rows,
    )
    expected = sum(p.numel() for p in made.body.parameters()) + sum(
        p.numel() for p in made.rows.parameters()
    )
    placeholder = sum(
        p.numel()
        for p in {made.body.get_input_embeddings().weight, made.body.get_output_embeddings().weight}
    )
    assert sum(p.numel() for p in one.model.parameters()) == expected - placeholder


def test_the_common_space_has_the_published_sizes() -> None:
    """32000 own ids first, then the 32007 of TowerInstruct: 64007 inputs."""
    from franken.parts.segmented import Layout

    layout = Layout(("tt", "en"), (32000, 32007))
    assert layout.total == 64007
    assert layout.shift("en", [0, 32006]) == [32000, 64006]
    labels = layout.labels(torch.tensor([5, 31999, 32000, 64006]))
    assert labels.tolist() == [5, 31999, -100, -100]
    with raises(CompatibilityError, 32000, "'tt'"):
        layout.shift("tt", [32000])


def test_llama_2_with_two_tables_has_the_published_parameters() -> None:
    """The inputs of both tables, and the head of the written one."""
    config = LlamaConfig(
        vocab_size=1, hidden_size=4096, intermediate_size=11008, num_hidden_layers=32,
        num_attention_heads=32, max_position_embeddings=4096, tie_word_embeddings=False,
    )  # fmt: skip
    with torch.device("meta"):
        body = LlamaForCausalLM(config)
        tables = {
            name: TableModule(
                nn.Embedding(rows, 4096), nn.Linear(4096, rows, bias=False), tiny_tokenizer(),
                LINEAGE, {},
            )
            for name, rows in (("tt", 32000), ("en", 32007))
        }  # fmt: skip
        view = view_of(body, tables)
    assert len(view.get_output_embeddings().weight) == view.config.vocab_size == 32000
    source_head = tables["en"].head.weight.numel()  # for when that table is written
    assert sum(p.numel() for p in view.parameters()) - source_head == 6_869_516_288


def test_a_segment_continues_without_an_automatic_word_start() -> None:
    made, _ = hydra()
    view = made.view("xx", ["en"])
    joined = view.encode([("en", "the cat"), ("en", " sat")])
    assert joined == view.encode([("en", "the cat sat")])


def test_only_tables_of_the_same_base_are_taken() -> None:
    model, table = base("llama", True)
    foreign = other_table(table)
    foreign.lineage = "b" * 64
    with raises(CompatibilityError, "'xx'", "b" * 12, LINEAGE[:12]):
        HydraModel(model, {"en": table, "xx": foreign}, lineage=LINEAGE)
    made = HydraModel(model, {"en": table}, lineage=LINEAGE)
    with raises(CompatibilityError, "'xx'", "b" * 12, LINEAGE[:12]):
        made.add("xx", foreign)
    with raises(CompatibilityError, "tables={}"):
        HydraModel(model, {}, lineage=LINEAGE)


def test_unknown_names_and_empty_segments_are_refused_by_name() -> None:
    made, _ = hydra()
    with raises(CompatibilityError, "'yy'", "en, xx"):
        made.view("yy")
    view = made.view("xx")
    with raises(CompatibilityError, "xx", "'en'"):
        view.encode([("en", "the cat")])
    with raises(DataError, "segment 2 of 2", "'xx'"):
        made.view("xx", ["en"]).encode([("en", "the cat"), ("xx", "")])
    with raises(DataError, "segment"):
        view.encode([])


def test_adding_a_table_changes_nothing_else() -> None:
    made, _ = hydra()
    ids = torch.tensor([made.view("xx", ["en"]).encode(MIXED)])
    before = made.view("xx", ["en"]).logits(ids)
    weights = {name: p.clone() for name, p in made.named_parameters()}
    third = other_table(made.tables["en"].table(), size=310, seed=9)
    made.add("zz", third, languages=["am"], scripts=["Ethiopic"])
    assert torch.equal(made.view("xx", ["en"]).logits(ids), before)
    after = dict(made.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in weights.items())
    assert made.router.by_script("ሰላም") == made.router.by_tag("am") == "zz"
    with raises(CompatibilityError, "'zz'"):
        made.add("zz", third)
    for name, claim, names in (
        ("yy", {"languages": ["am"]}, ["'am'", "'zz'", "'yy'"]),
        ("am", {}, ["'am'", "'zz'"]),
        ("a/b", {}, ["'a/b'"]),
    ):
        with raises(CompatibilityError, *names):
            made.add(name, third, **claim)
    assert set(made.names) == set(made.router.tables) == {"en", "xx", "zz"}


def test_names_with_a_dot_keep_their_tables_apart() -> None:
    model, table = base("llama", True)
    made = HydraModel(model, {"a.b": table, "a_dot_b": other_table(table)}, lineage=LINEAGE)
    owned = {id(p) for p in made.parameters()}
    assert all(id(made.tables[name].embedding.weight) in owned for name in made.names)


def test_gradients_of_a_frozen_table_are_none() -> None:
    made, _ = hydra("llama", False)
    view = made.view("xx", ["en"])
    for parameter in made.tables["xx"].parameters():
        parameter.requires_grad_(True)
    ids = torch.tensor([view.encode(MIXED)])
    labels = view.layout.labels(ids)
    assert (labels == -100).sum() > 3
    logits = view.model(input_ids=ids).logits
    F.cross_entropy(logits[0, :-1], labels[0, 1:], ignore_index=-100).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0
               for p in made.tables["xx"].parameters())  # fmt: skip
    assert all(p.grad is None for p in made.tables["en"].parameters())
    embedding = view.model.get_input_embeddings()
    assert isinstance(embedding, SegmentedEmbedding)
