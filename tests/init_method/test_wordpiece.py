"""A BERT over its own WordPiece tokenizer as the helper of SALT, from files to the new table."""

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError
from franken.helper_model import read_helper
from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.merge import MergeInit
from franken.init_method.salt import AuxKind, SaltInit
from franken.parts.table import check_table
from franken.parts.tokenizer_files import save_exported_tokenizer
from franken.tokenizer.pieces import canonical_bytes
from franken.vocab import VocabTexts, build_vocabulary
from franken.vocab.from_pretrained import FromPretrainedVocab
from tests.init_method.donor import word_space
from tests.init_method.tiny import RESOURCES, source_table
from tests.vocab.wordpiece import wordpiece_tokenizer

KINDS = list(TokenizerKind)


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    tokenizer = wordpiece_tokenizer()
    config = BertConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=16, num_hidden_layers=1,
        num_attention_heads=2,
    )  # fmt: skip
    directory = tmp_path_factory.mktemp("bert")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        BertForMaskedLM(config).save_pretrained(directory)
    save_exported_tokenizer(tokenizer, directory)
    return directory


@pytest.mark.parametrize("aux", [AuxKind.word_vectors, AuxKind.helper], ids=lambda aux: aux.value)
@pytest.mark.parametrize("kind", KINDS, ids=[kind.value for kind in KINDS])
def test_salt_maps_the_rows_of_a_bert(checkpoint, kind, aux):
    source = source_table(kind)
    vocabulary = build_vocabulary(
        source.tokenizer, FromPretrainedVocab(path=str(checkpoint)), VocabTexts(), 0
    )
    target = vocabulary.tokenizer
    helper, _ = read_helper(checkpoint, target)
    resources = InitResources(
        languages=["sw"], helper=helper, word_vectors={"sw": word_space(target)}
    )
    table, token_map = initialise(source, target, SaltInit(aux=aux), resources, 0)
    check_table(table)
    assert table.rows == len(target)
    counts = token_map.counts()
    assert counts["copied"] > 10
    assert counts["computed"] > 50
    old, new = canonical_bytes(source.tokenizer), canonical_bytes(target)
    for row in (token_map.provenance == Provenance.copied).nonzero().flatten().tolist():
        ((partner, _),) = token_map.row(row)
        assert old[partner] == new[row]
        assert torch.equal(table.input[row], source.input[partner])
    for role in ("bos", "eos"):
        index = getattr(target, f"{role}_token_id")
        partner = getattr(source.tokenizer, f"{role}_token_id")
        assert torch.equal(table.input[index], source.input[partner])


def test_a_source_over_wordpiece_is_refused_with_what_to_take_instead():
    source = source_table(KINDS[0], tokenizer=wordpiece_tokenizer())
    with pytest.raises(CompatibilityError, match=r"source table.*WordPiece.*XLM-R, mT5"):
        initialise(source, wordpiece_tokenizer(), SaltInit(), RESOURCES, 0)


def test_methods_of_merges_have_none_to_follow():
    with pytest.raises(CompatibilityError, match="target tokenizer is WordPiece, which has none"):
        initialise(source_table(KINDS[0]), wordpiece_tokenizer(), MergeInit(), RESOURCES, 0)
