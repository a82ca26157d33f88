"""Packed documents do not see each other."""

import pytest
import torch

from franken.training.masks import document_blocks, packed_attention_mask
from tests.training.tiny import tiny_model

DOCUMENTS = [[5, 6, 7, 8, 9, 10], [11, 12, 13, 14], [15, 16, 17, 18, 19, 20, 21]]


def pack(documents: list[list[int]], padding: int) -> tuple[torch.Tensor, ...]:
    ids = [token for document in documents for token in document] + [0] * padding
    positions = [i for document in documents for i in range(len(document))] + [0] * padding
    segments = [n for n, document in enumerate(documents, 1) for _ in document] + [0] * padding
    return tuple(torch.tensor([row]) for row in (ids, positions, segments))


CASES = [
    ("gemma2", {}),
    ("gemma2", {"sliding_window": 3}),
    ("gemma3_text", {"sliding_window": 4, "sliding_window_pattern": 2}),
    ("gemma3_text", {"attn_implementation": "eager"}),
    ("llama", {}),
    ("llama", {"attn_implementation": "eager"}),
    ("qwen2", {}),
    ("qwen2", {"use_sliding_window": True, "sliding_window": 3, "max_window_layers": 1}),
    ("mistral", {"sliding_window": 3}),
    ("mistral", {"sliding_window": None}),
    ("mistral", {"sliding_window": 3, "attn_implementation": "eager"}),
    ("cohere", {}),
    ("gpt2", {}),
    ("gpt_neox", {}),
    ("xglm", {}),
]


@pytest.mark.parametrize(("family", "changes"), CASES, ids=str)
def test_packed_logits_equal_those_of_each_document_alone(family, changes):
    model = tiny_model(family, **changes)
    ids, positions, segments = pack(DOCUMENTS, padding=3)
    mask = packed_attention_mask(model.config, segments, torch.float32)
    with torch.no_grad():
        packed = model(
            input_ids=ids, position_ids=positions, attention_mask=mask, use_cache=False
        ).logits[0]
        alone = [
            model(input_ids=torch.tensor([doc]), use_cache=False).logits[0] for doc in DOCUMENTS
        ]
    assert packed.isfinite().all()
    torch.testing.assert_close(packed[:17], torch.cat(alone), rtol=1e-4, atol=2e-5)


def test_without_the_mask_the_documents_do_leak():
    model = tiny_model("llama")
    ids, positions, _ = pack(DOCUMENTS, padding=0)
    ones = torch.ones_like(ids)
    leaking = model(input_ids=ids, position_ids=positions, attention_mask=ones).logits[0, 6:10]
    alone = model(input_ids=torch.tensor([DOCUMENTS[1]])).logits[0]
    assert (leaking - alone).abs().max() > 1e-3


def test_blocks_by_hand():
    found = document_blocks(torch.tensor([[1, 1, 2, 0]]))[0, 0].int().tolist()
    assert found == [[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]


def test_one_document_per_row_needs_no_mask():
    model = tiny_model("llama")
    segments = torch.ones(2, 8, dtype=torch.long)
    assert packed_attention_mask(model.config, segments, torch.float32) is None
