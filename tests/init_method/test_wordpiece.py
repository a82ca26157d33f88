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
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.parts.table import check_table
from franken.parts.tokenizer_files import save_exported_tokenizer
from franken.tokenizer.pieces import canonical_bytes, vocabulary_overlap
from franken.vocab import VocabTexts, build_vocabulary
from franken.vocab.from_pretrained import FromPretrainedVocab
from tests.faults import raises
from tests.init_method.donor import word_space
from tests.init_method.tiny import CONFIGS, RESOURCES, source_table, target_tokenizer
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


def test_rows_of_a_wordpiece_model_go_to_a_vocabulary_of_another_kind():
    """Piece by piece: what is inside a word is made of what is inside words."""
    old = wordpiece_tokenizer()
    source, target = source_table(KINDS[0], tokenizer=old), target_tokenizer(KINDS[0])
    table, token_map = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    check_table(table)
    ours, theirs = canonical_bytes(target), canonical_bytes(old)
    for row in (token_map.provenance == Provenance.copied).nonzero().flatten().tolist():
        ((partner, _),) = token_map.row(row)
        assert theirs[partner] == ours[row]
    inner = [
        row for row, data in enumerate(ours)
        if token_map.provenance[row] == Provenance.computed and data and data.isalpha()
    ]  # fmt: skip
    assert inner
    for row in inner:
        spelled = [theirs[index] for index, _ in token_map.row(row)]
        if all(part is not None and not part.startswith(b" ") for part in spelled):
            break
    else:
        raise AssertionError("no piece inside a word was made of such pieces")


def test_methods_of_merges_have_none_to_follow():
    with raises(CompatibilityError, "init_method=merge", "WordPiece"):
        initialise(source_table(KINDS[0]), wordpiece_tokenizer(), MergeInit(), RESOURCES, 0)


@pytest.mark.filterwarnings("ignore:init_method=span_align")  # it reads text that keeps its spaces
@pytest.mark.parametrize("method", sorted({*CONFIGS} - {"merge"}))
def test_every_method_moves_the_rows_of_a_wordpiece_model(method):
    old, target = wordpiece_tokenizer(), wordpiece_tokenizer(size=340)
    source = source_table(KINDS[0], tokenizer=old, tied=False)
    table, token_map = initialise(source, target, CONFIGS[method], RESOURCES, 3)
    check_table(table)
    assert sum(token_map.counts().values()) == table.rows == len(target)
    for row, partner in vocabulary_overlap(old, target).items():
        assert token_map.row(row) == [(partner, 1.0)]
        assert torch.equal(table.input[row], source.input[partner])
        assert torch.equal(table.output_bias[row], source.output_bias[partner])
