"""LoRA of a masked model as a pack: what the merged adapter says, mounted and as an expert."""

import copy

import pytest
import torch

from franken.config.training import LoraConfig, Trainable, TrainingConfig
from franken.parts.delta import merge_lora
from franken.parts.mount import Mounts
from franken.parts.weights import LoadedWeights, StoredWeights
from franken.skillpack.experts import Experts
from franken.skillpack.extract import pack_difference
from franken.training.policy import apply_policy
from tests.parts.encoders import encoder_tokenizer, tiny_encoder
from tests.parts.tiny import logits_of, save_checkpoint, some_ids
from tests.skillpack.pairs import policy


@pytest.mark.parametrize("family", ["bert", "xlm-roberta"])
def test_an_adapter_goes_into_a_pack_and_acts_as_before(family, tmp_path):
    tokenizer = encoder_tokenizer(family)
    base = tiny_encoder(family, tokenizer)
    plain = copy.deepcopy(base)
    stored = StoredWeights.of_checkpoint(save_checkpoint(base, tokenizer, tmp_path / "base"))
    assert LoadedWeights(base).names() == stored.names()
    apply_policy(base, Trainable.lora, TrainingConfig(lora=LoraConfig(rank=2)))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in base.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=3.0, generator=generator)
    ids = some_ids(len(tokenizer))
    adapted = logits_of(base, ids)
    tuned = merge_lora(base)
    torch.testing.assert_close(logits_of(tuned, ids), adapted, rtol=1e-4, atol=1e-4)
    pack = pack_difference(
        LoadedWeights(plain), LoadedWeights(tuned),
        policy("phlora", "classes.attn.rank=2", "classes.mlp.rank=2"), tmp_path / "pack",
        name="language", lineage="",
    )  # fmt: skip
    before = logits_of(plain, ids)
    assert (before - adapted).abs().max() > 0.1  # ten times what is allowed below
    with Mounts(plain).mounted(pack):
        torch.testing.assert_close(logits_of(plain, ids), adapted, rtol=1e-2, atol=1e-2)
    assert torch.equal(logits_of(plain, ids), before)
    experts = Experts(plain, {"language": pack}, check=False)
    with experts.acting(experts.index("language")):
        torch.testing.assert_close(logits_of(plain, ids), adapted, rtol=1e-2, atol=1e-2)
