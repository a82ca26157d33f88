"""Masked language models are taken apart and put together like causal ones."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForMaskedLM, AutoTokenizer

from franken.config.base_model import LoadedModel, TensorType
from franken.errors import CompatibilityError
from franken.families.objective import Objective, objective_of
from franken.init_method import initialise
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.parts.export import export_model
from franken.parts.model import ModelRef, assemble
from franken.parts.surgery import put_table, take_table
from franken.parts.table import load_table, save_table
from franken.tokenizer.pieces import vocabulary_overlap
from tests.faults import raises
from tests.init_method.tiny import RESOURCES
from tests.parts.encoders import KINDS, encoder_tokenizer, target_tokenizer, tiny_encoder
from tests.parts.steps import run_load
from tests.parts.tiny import logits_of, same_logits, save_checkpoint, some_ids


@pytest.fixture(params=sorted(KINDS))
def family(request):
    return request.param


@pytest.fixture
def tokenizer(family):
    return encoder_tokenizer(family)


@pytest.fixture
def model(family, tokenizer):
    return tiny_encoder(family, tokenizer)


def test_a_checkpoint_is_loaded_and_exported_with_its_logits_to_the_bit(model, tokenizer, tmp_path):
    source = save_checkpoint(model, tokenizer, tmp_path / "source")
    loaded = run_load(LoadedModel(path=str(source)), tmp_path)
    ids = some_ids(len(tokenizer))
    assembled, _ = assemble(loaded.ref)
    assert type(assembled) is type(model)
    assert torch.equal(logits_of(assembled, ids), logits_of(model, ids))
    plain = AutoModelForMaskedLM.from_pretrained(loaded.export(tmp_path / "export")).eval()
    assert torch.equal(logits_of(plain, ids), logits_of(model, ids))
    bias = load_table(loaded.ref.table).output_bias
    assert torch.equal(bias, model.get_output_embeddings().bias)


def test_a_new_vocabulary_goes_in_and_shared_tokens_keep_their_logits(
    family, model, tokenizer, tmp_path
):
    source = save_checkpoint(model, tokenizer, tmp_path / "source")
    ref = run_load(LoadedModel(path=str(source)), tmp_path).ref
    target = target_tokenizer(family)
    old = load_table(ref.table)
    table, _ = initialise(old, target, SubtokenMeanInit(), RESOURCES, 0)
    save_table(table, tmp_path / "table")
    changed = ModelRef(ref.body, tmp_path / "table", (), ref.lineage, ref.fingerprint)
    export_model(changed, tmp_path / "export", card="# card\n")
    plain = AutoModelForMaskedLM.from_pretrained(tmp_path / "export").eval()
    shared = vocabulary_overlap(tokenizer, target)
    pad = target.pad_token_id  # it is masked off in no model by itself, but opens no position
    mine = [new for new in shared if new != pad][:40]
    theirs = [shared[new] for new in mine]
    assert len(mine) == 40
    assert plain.config.vocab_size == len(target)
    assert same_logits(
        plain, torch.tensor([mine]), list(shared),
        model, torch.tensor([theirs]), list(shared.values()),
    )  # fmt: skip
    again = AutoTokenizer.from_pretrained(tmp_path / "export")
    assert again.mask_token_id == target.mask_token_id
    put_table(model, table, previous=tokenizer)
    ids = torch.tensor([mine])
    assert torch.equal(logits_of(model, ids), logits_of(plain, ids))
    taken = take_table(model, target, lineage="any")
    assert torch.equal(taken.output_bias, table.output_bias)


def test_files_of_the_hub_carry_heads_of_other_tasks(tmp_path):
    """BERT's hold a pooler and a next-sentence head, beside an older name of the head's bias."""
    tokenizer = encoder_tokenizer("bert")
    model = tiny_encoder("bert", tokenizer)
    source = save_checkpoint(model, tokenizer, tmp_path / "source")
    weights = load_file(source / "model.safetensors")
    weights |= {
        "bert.pooler.dense.weight": torch.ones(16, 16), "bert.pooler.dense.bias": torch.ones(16),
        "cls.seq_relationship.weight": torch.ones(2, 16),
        "bert.embeddings.position_ids": torch.arange(70)[None],
    }  # fmt: skip
    save_file(weights, source / "model.safetensors", {"format": "pt"})
    loaded = run_load(LoadedModel(path=str(source)), tmp_path)
    ids = some_ids(len(tokenizer))
    assembled, _ = assemble(loaded.ref)
    assert torch.equal(logits_of(assembled, ids), logits_of(model, ids))
    plain = AutoModelForMaskedLM.from_pretrained(loaded.export(tmp_path / "export")).eval()
    assert torch.equal(logits_of(plain, ids), logits_of(model, ids))


def test_another_number_format_is_read_with_the_masked_head(tmp_path):
    tokenizer = encoder_tokenizer("xlm-roberta")
    model = tiny_encoder("xlm-roberta", tokenizer)
    source = save_checkpoint(model, tokenizer, tmp_path / "source")
    loaded = run_load(LoadedModel(path=str(source), dtype=TensorType.bfloat16), tmp_path)
    ids = some_ids(len(tokenizer))
    assembled, _ = assemble(loaded.ref)
    assert torch.equal(logits_of(assembled, ids), logits_of(model.to(torch.bfloat16), ids))


@pytest.mark.parametrize("family", ["roberta", "xlm-roberta"], indirect=True)
def test_a_moved_padding_id_would_shift_every_position(model, tokenizer):
    table = take_table(model, tokenizer, lineage="any")
    other = copy.deepcopy(tokenizer)
    other.pad_token = tokenizer.eos_token
    table = replace(table, tokenizer=other)
    before = model.get_input_embeddings().weight
    with raises(
        CompatibilityError, model.config.model_type, tokenizer.pad_token_id, other.pad_token_id
    ):
        put_table(model, table)
    assert model.get_input_embeddings().weight is before


@pytest.mark.parametrize(
    ("family", "settings", "expected"),
    [
        ("bert", {}, Objective.masked),
        ("bert", {"architectures": ["BertLMHeadModel"]}, Objective.causal),
        ("bert", {"architectures": ["BertForPreTraining"]}, Objective.masked),
        ("bert", {"is_decoder": True}, Objective.causal),
        ("xlm-roberta", {"architectures": ["XLMRobertaForMaskedLM"]}, Objective.masked),
        ("deberta-v2", {}, Objective.masked),
        ("modernbert", {}, Objective.masked),
        ("bart", {}, Objective.causal),
        ("mbart", {"is_encoder_decoder": False}, Objective.causal),
        ("llama", {}, Objective.causal),
    ],
)  # fmt: skip
def test_which_head_a_checkpoint_has_is_in_its_config(family, settings, expected):
    assert objective_of(AutoConfig.for_model(family, **settings)) is expected
