"""Special-token ids follow their meaning, not their number."""

import logging

import pytest
import torch
from transformers import AutoConfig, GenerationConfig

from franken.errors import CompatibilityError
from franken.parts.control_tokens import ControlTokens, carry_over, control_tokens_of
from franken.parts.surgery import put_table
from franken.parts.table import Table
from tests.faults import raises, unnamed
from tests.parts.tiny import SPECIALS, tiny_config, tiny_model, tiny_tokenizer


@pytest.fixture
def old():
    return tiny_tokenizer()


@pytest.fixture
def new():
    """Other spellings, another order; eos has id 0."""
    renamed = {
        "eos_token": "</s>",
        "bos_token": "<s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    return tiny_tokenizer(specials=renamed)


def test_roles_go_by_role_even_to_id_zero(old, new):
    config = tiny_config("llama", tied=True, rows=96)
    carry_over([config], new, control_tokens_of([config], old))
    assert (config.eos_token_id, config.bos_token_id, config.pad_token_id) == (0, 1, 2)


def test_every_end_token_of_a_list_is_carried_over(old, new):
    generation = GenerationConfig(eos_token_id=[1, 5], pad_token_id=0, bos_token_id=2)
    assert old.convert_ids_to_tokens(5) == "<end_of_turn>"
    carry_over([generation], new, control_tokens_of([generation], old))
    assert generation.eos_token_id == [0, new.convert_tokens_to_ids("<end_of_turn>")]


def test_the_same_tokenizer_changes_nothing(old):
    config = tiny_config("llama", tied=True, rows=96, eos_token_id=[5, 1], pad_token_id=None)
    generation = GenerationConfig(eos_token_id=7, forced_eos_token_id=5)
    before = config.to_dict(), generation.to_dict()
    carry_over([config, generation], old, control_tokens_of([config, generation], old))
    assert (config.to_dict(), generation.to_dict()) == before


def test_a_token_without_counterpart_is_dropped_with_a_warning(old, new, caplog):
    old.add_tokens(["<stop>"])
    ordinary = old.convert_tokens_to_ids("<stop>")
    generation = GenerationConfig(eos_token_id=[1, ordinary])
    with caplog.at_level(logging.WARNING):
        carry_over([generation], new, control_tokens_of([generation], old))
    assert generation.eos_token_id == [0]
    assert not unnamed(caplog.text, "eos_token_id", ordinary)


def test_a_role_that_is_new_is_set_and_one_that_vanished_is_unset(new):
    old = tiny_tokenizer()
    old.pad_token = None
    config = tiny_config("llama", tied=True, rows=96, pad_token_id=None)
    previous = control_tokens_of([config], old)
    carry_over([config], new, previous)
    assert config.pad_token_id == 2
    new.pad_token = None
    carry_over([config], new, ControlTokens(roles={"pad": "<gone>"}, names={2: "<gone>"}))
    assert config.pad_token_id is None


def test_without_the_old_meaning_roles_come_from_the_tokenizer(new, caplog):
    generation = GenerationConfig(eos_token_id=[1, 107])
    with caplog.at_level(logging.WARNING):
        carry_over([generation], new, None)
    assert generation.eos_token_id == [0]
    assert generation.pad_token_id == 2
    assert "[1, 107]" in caplog.text


def test_one_string_with_two_roles_follows_the_fields_own(new):
    old = tiny_tokenizer()
    old.pad_token = "<eos>"
    config = tiny_config("llama", tied=True, rows=96, pad_token_id=1)
    carry_over([config], new, control_tokens_of([config], old))
    assert (config.pad_token_id, config.eos_token_id) == (2, 0)


def test_control_tokens_survive_json(old):
    config = tiny_config("llama", tied=True, rows=96)
    tokens = control_tokens_of([config], old)
    assert tokens.names == {0: "<pad>", 1: "<eos>", 2: "<bos>"}
    assert tokens.roles == {name.removesuffix("_token"): token for name, token in SPECIALS.items()}
    assert ControlTokens.from_json(tokens.to_json()) == tokens


class TestTokensOfImages:
    """As Gemma 3's ``image_token_index``: a config may hold ids that have no role."""

    @staticmethod
    def config(**ids):
        config = AutoConfig.for_model("llama", **ids)
        config.inner = AutoConfig.for_model("llama")
        config.inner.boi_token_index = ids["image_token_index"]
        return config

    def test_they_follow_their_token_in_nested_configs_too(self):
        old, new = tiny_tokenizer(size=96), tiny_tokenizer(size=110)
        new.add_tokens(["<image>"], special_tokens=True)
        old.add_tokens(["<image>"], special_tokens=True)
        config = self.config(image_token_index=96, audio_token_id=5000)
        carry_over([config], new, control_tokens_of([config], old))
        assert config.image_token_index == config.inner.boi_token_index == 110
        assert config.audio_token_id == 5000  # no token of the old vocabulary either

    def test_a_vocabulary_without_the_token_is_refused(self):
        old, new = tiny_tokenizer(size=96), tiny_tokenizer(size=110)
        old.add_tokens(["<image>"], special_tokens=True)
        config = self.config(image_token_index=96)
        with raises(CompatibilityError, "LlamaConfig.image_token_index", 96, "'<image>'"):
            carry_over([config], new, control_tokens_of([config], old))
        assert config.image_token_index == 96

    def test_an_id_that_was_no_token_is_not_given_to_text(self):
        """Gemma 3's text models name an id beyond their table, which an extension would fill."""
        old, new = tiny_tokenizer(size=96), tiny_tokenizer(size=110)
        config = self.config(image_token_index=96)
        with raises(
            CompatibilityError,
            "LlamaConfig.image_token_index",
            96,
            repr(new.convert_ids_to_tokens(96)),
        ):
            carry_over([config], new, control_tokens_of([config], old))

    def test_what_an_id_meant_must_be_known(self):
        config = self.config(image_token_index=90)
        with raises(CompatibilityError, "LlamaConfig.image_token_index", 90, "previous"):
            carry_over([config], tiny_tokenizer(size=110), None)

    def test_a_table_that_lacks_the_token_leaves_the_model_as_it_was(self):
        old, model = tiny_tokenizer(size=96), tiny_model("llama", rows=97)
        old.add_tokens(["<image>"], special_tokens=True)
        model.config.image_token_index = 96
        before = model.get_input_embeddings().weight
        table = Table(tiny_tokenizer(size=110), torch.zeros(110, before.shape[1]), None, None, "")
        with raises(CompatibilityError, "LlamaConfig.image_token_index", 96, "'<image>'"):
            put_table(model, table, previous=old)
        assert model.get_input_embeddings().weight is before
        assert model.config.vocab_size == 97


def test_configs_inside_follow_where_they_share_the_vocabulary(old, new):
    config = AutoConfig.for_model("llama", vocab_size=96)
    end = old.eos_token_id
    config.shared = AutoConfig.for_model("llama", vocab_size=96, eos_token_id=end)
    config.foreign = AutoConfig.for_model("llama", vocab_size=7, eos_token_id=end)
    carry_over([config], new, control_tokens_of([config], old))
    assert config.shared.eos_token_id == new.eos_token_id != end
    assert config.foreign.eos_token_id == end


def test_lists_of_forbidden_and_weighted_tokens_follow(old, new):
    ids = [old.bos_token_id, old.eos_token_id]
    old.add_tokens(["<stop>"])
    gone = old.convert_tokens_to_ids("<stop>")
    generation = GenerationConfig(
        suppress_tokens=[*ids, gone], bad_words_ids=[ids, [gone]],
        sequence_bias=[[[ids[0]], -1.0]],
    )  # fmt: skip
    carry_over([generation], new, control_tokens_of([generation], old))
    moved = [new.bos_token_id, new.eos_token_id]
    assert generation.suppress_tokens == moved != ids
    assert generation.bad_words_ids == [moved]
    assert generation.sequence_bias == [[[moved[0]], -1.0]]
