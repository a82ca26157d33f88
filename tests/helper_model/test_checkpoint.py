"""Tables of encoders and decoders: which tensor, how wide, and whose vocabulary."""

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AlbertConfig,
    AlbertForMaskedLM,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    ElectraConfig,
    ElectraForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    RemBertConfig,
    RemBertForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
    XLMRobertaConfig,
    XLMRobertaForMaskedLM,
)

from franken.config.base_model import TokenizerKind
from franken.errors import ArtifactError, CompatibilityError
from franken.helper_model import read_helper
from franken.parts.tokenizer_files import save_exported_tokenizer, vocabulary_difference
from franken.parts.unused_rows import untrained_rows
from tests.faults import raises, unnamed
from tests.init_method.tiny import target_tokenizer

TARGET = target_tokenizer(TokenizerKind.sentencepiece_bpe)
SIZE = len(TARGET)
BERT = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": SIZE,
}  # fmt: skip
MODELS = {
    "bert": lambda: BertForMaskedLM(BertConfig(**BERT)),
    "bare bert": lambda: BertModel(BertConfig(**BERT)),
    "xlm-roberta": lambda: XLMRobertaForMaskedLM(XLMRobertaConfig(**BERT)),
    "albert": lambda: AlbertForMaskedLM(AlbertConfig(**BERT, embedding_size=8)),
    "electra": lambda: ElectraForPreTraining(ElectraConfig(**BERT, embedding_size=8)),
    "gpt2": lambda: GPT2LMHeadModel(
        GPT2Config(vocab_size=SIZE, n_embd=16, n_layer=1, n_head=2, n_positions=8)
    ),
    "t5": lambda: T5ForConditionalGeneration(
        T5Config(vocab_size=SIZE, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8)
    ),
    "untied llama": lambda: LlamaForCausalLM(LlamaConfig(**BERT, tie_word_embeddings=False)),
}  # fmt: skip


def save(model, directory):
    torch.manual_seed(0)
    model.save_pretrained(directory)
    save_exported_tokenizer(TARGET, directory)
    return directory


@pytest.mark.parametrize("name", sorted(MODELS))
def test_the_token_table_of_every_kind_of_model(name, tmp_path) -> None:
    model = MODELS[name]()
    table, counts = read_helper(save(model, tmp_path), TARGET)
    expected = model.get_input_embeddings().weight
    assert torch.equal(table.input, expected)
    assert table.hidden_size == (8 if name in ("albert", "electra") else 16)
    assert counts["without_row"] == 0
    if name.startswith("untied"):
        assert torch.equal(table.output, model.get_output_embeddings().weight)
    else:
        assert table.output is None


def test_a_stored_head_of_t5_is_its_own(tmp_path) -> None:
    """T5 v1.1 and mT5 are untied, whatever transformers 5 makes of their config."""
    directory = save(MODELS["t5"](), tmp_path)
    weights = directory / "model.safetensors"
    head = torch.rand(SIZE, 16)
    save_file({**load_file(weights), "lm_head.weight": head}, weights)
    table, _ = read_helper(directory, TARGET)
    assert torch.equal(table.output, head)


def test_padding_rows_are_cut_and_missing_rows_are_zero_and_counted(tmp_path) -> None:
    for size in (SIZE + 9, SIZE - 9):
        model = BertModel(BertConfig(**{**BERT, "vocab_size": size}))
        directory = save(model, tmp_path / str(size))
        table, counts = read_helper(directory, TARGET)
        assert table.rows == SIZE
        assert counts["without_row"] == max(0, SIZE - size)
        rows = min(size, SIZE)
        assert torch.equal(table.input[:rows], model.embeddings.word_embeddings.weight[:rows])
        assert not table.input[rows:].any()


def test_another_vocabulary_is_refused_with_the_number_of_differing_tokens(tmp_path) -> None:
    directory = save(BertModel(BertConfig(**BERT)), tmp_path)
    other = target_tokenizer(TokenizerKind.byte_level_bpe)
    with raises(
        CompatibilityError,
        f"helper_model.path={directory}",
        427,
        "vocab=from_pretrained",
        "helper_model=trained",
    ):
        read_helper(directory, other)


def test_a_family_whose_table_is_elsewhere_is_named(tmp_path) -> None:
    config = RemBertConfig(**BERT | {"vocab_size": SIZE, "input_embedding_size": 8})
    with raises(CompatibilityError, "'rembert'", 8, 1664):
        read_helper(save(RemBertForCausalLM(config), tmp_path), TARGET)


def test_a_checkpoint_without_its_table_is_named(tmp_path) -> None:
    directory = save(MODELS["t5"](), tmp_path)
    weights = directory / "model.safetensors"
    kept = {k: v for k, v in load_file(weights).items() if "shared" not in k and "embed" not in k}
    save_file(kept, weights)
    with raises(ArtifactError, "t5", "shared.weight"):
        read_helper(directory, TARGET)


def test_vocabularies_differ_by_what_is_lacking_or_moved_not_by_what_is_added() -> None:
    wanted = {"a": 0, "b": 1}
    assert vocabulary_difference(wanted, wanted) is None
    assert vocabulary_difference({**wanted, "c": 2}, wanted) is None
    assert "lacks 1 and has 0" in (vocabulary_difference({"a": 0}, wanted) or "")
    assert "lacks 0 and has 2" in (vocabulary_difference({"a": 1, "b": 0}, wanted) or "")


def with_untrained_rows() -> tuple[BertModel, list[int]]:
    """Rows in all directions, but for those that nobody uses and four tokens near to these."""
    unused = [index for name, index in TARGET.get_vocab().items() if name.startswith("<unused")]
    model = BertModel(BertConfig(**{**BERT, "hidden_size": 64, "vocab_size": SIZE + 9}))
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(SIZE + 9, 64, generator=generator)
    lost, direction = [300, 301, 302, 303], torch.randn(64, generator=generator)
    near = [*lost, *unused, *range(SIZE, SIZE + 9)]
    rows[near] = direction + 0.1 * rows[near]
    model.embeddings.word_embeddings.weight.data = rows
    return model, [*lost, *unused]


@pytest.mark.parametrize("drop", [False, True])
def test_rows_near_to_unused_ones_are_counted_and_dropped_where_asked(
    drop, tmp_path, caplog
) -> None:
    model, lost = with_untrained_rows()
    table, counts = read_helper(save(model, tmp_path), TARGET, drop_untrained=drop)
    assert counts["untrained"] == len(lost)
    expected = model.embeddings.word_embeddings.weight[:SIZE].detach().clone()
    if drop:
        expected[lost] = 0
    assert torch.equal(table.input, expected)
    assert bool(unnamed(caplog.text, len(lost), SIZE)) is drop


def test_unused_tokens_are_known_by_their_names() -> None:
    names = ["<unused7>", "[unused12]", "<|reserved_special_token_3|>", "<reserved_4>", "unused"]
    used = ["reserved seats", "▁unusedness", "house", "[MASK]", "7"]
    vocabulary = {name: index for index, name in enumerate([*names, *used])}
    rows = torch.eye(10, 16)
    found = untrained_rows(rows, vocabulary, torch.empty(0, 16))
    assert found.tolist() == [True] * 5 + [False] * 5
    assert not untrained_rows(rows[5:], {"a": 0}, torch.empty(0, 16)).any()
