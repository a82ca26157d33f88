"""Pico models of every family, and tokenizers that fit them."""

from typing import Any

import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from tests.bounds import sum_error

TEXT_FAMILIES = [
    *("cohere", "cohere2", "gemma", "gemma2", "gemma3_text", "gpt2", "gpt_neox", "gptj", "llama"),
    *("mistral", "olmo2", "phi", "phi3", "qwen2", "qwen3", "xglm"),
]
LINES = [
    "the cat sat on the mat and the dog ate the bread",
    "water runs down the hill to the river",
    "mto unapita chini ya mlima",
    "paka alikaa juu ya mkeka na mbwa akala mkate",
]
SPECIALS = {
    "pad_token": "<pad>",
    "eos_token": "<eos>",
    "bos_token": "<bos>",
    "unk_token": "<unk>",
}
TURNS = ["<start_of_turn>", "<end_of_turn>", "<unused0>"]
_IDS = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2}
_COMMON: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 4,
    "max_position_embeddings": 64,
}
_GPT: dict[str, Any] = {"n_embd": 16, "n_layer": 2, "n_head": 4, "n_positions": 64}
_SETTINGS: dict[str, dict[str, Any]] = {
    "cohere": {**_COMMON, "logit_scale": 0.25},
    "cohere2": {**_COMMON, "logit_scale": 0.25},
    "gemma2": {**_COMMON, "query_pre_attn_scalar": 4, "final_logit_softcapping": 0.5},
    "gpt2": _GPT,
    "gptj": {**_GPT, "rotary_dim": 4},
    "xglm": {
        "d_model": 16,
        "ffn_dim": 32,
        "num_layers": 2,
        "attention_heads": 4,
        "max_position_embeddings": 64,
    },
}


def tiny_config(family: str, *, tied: bool, rows: int, **settings: Any) -> Any:
    own = _SETTINGS.get(family, _COMMON)
    return AutoConfig.for_model(
        family, **{"vocab_size": rows, **own, **_IDS, "tie_word_embeddings": tied, **settings}
    )


def tiny_model(
    family: str = "llama",
    *,
    tied: bool = True,
    rows: int = 96,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    **settings: Any,
) -> PreTrainedModel:
    """A random model whose biases and norms are random too, so that none can be forgotten."""
    config = tiny_config(family, tied=tied, rows=rows, **settings)
    with torch.random.fork_rng(devices=[]):
        model = AutoModelForCausalLM.from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model.to(dtype).eval()


def tiny_gemma3(*, rows: int) -> PreTrainedModel:
    """The multimodal wrapper around a text tower."""
    text = tiny_config("gemma3_text", tied=True, rows=rows).to_dict()
    vision = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": 28,
        "patch_size": 14,
    }
    config = AutoConfig.for_model("gemma3", text_config=text, vision_config=vision, **_IDS)
    with torch.random.fork_rng(devices=[]):
        return AutoModelForCausalLM.from_config(config).eval()


def tiny_tokenizer(
    kind: str = "sentencepiece", *, size: int = 96, specials: dict[str, str] = SPECIALS
) -> PreTrainedTokenizerFast:
    """A BPE tokenizer with byte fallback (or byte-level), ids 0-3 pad, eos, bos, unk."""
    first = [*specials.values(), *TURNS]
    if kind == "sentencepiece":
        tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        tokenizer.normalizer = normalizers.Replace(" ", "▁")
        tokenizer.pre_tokenizer = pre_tokenizers.Split("▁", "merged_with_next")
        tokenizer.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
        )
        alphabet = []
    else:
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        LINES,
        trainers.BpeTrainer(
            vocab_size=size,
            special_tokens=[AddedToken(token, special=True) for token in first],
            initial_alphabet=alphabet,
            show_progress=False,
        ),
    )
    bos = specials["bos_token"]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A", special_tokens=[(bos, tokenizer.token_to_id(bos))]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **specials)


def some_ids(rows: int, *, batch: int = 2, length: int = 9) -> torch.Tensor:
    generator = torch.Generator().manual_seed(7)
    return torch.randint(3, rows, (batch, length), generator=generator)


def logits_of(model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=ids).logits


def same_logits(
    one: PreTrainedModel, ids: torch.Tensor, rows: list[int],
    other: PreTrainedModel, other_ids: torch.Tensor, other_rows: list[int],
) -> bool:  # fmt: skip
    """Whether some logits of models with tables of different size are the same.

    What makes them is, to the bit: states and rows. Logits themselves may be summed in another
    order, as a product of another width is.
    """
    states, weight, bias, logits = _at_the_head(one, ids, rows)
    same_states, same_weight, same_bias, same = _at_the_head(other, other_ids, other_rows)
    magnitude = (states.abs() @ weight.abs().T + bias.abs()).max()
    return bool(
        torch.equal(states, same_states)
        and torch.equal(weight, same_weight)
        and torch.equal(bias, same_bias)
        and (logits - same).abs().max() <= 2 * sum_error(states.shape[-1] + 1, magnitude)
    )


def _at_the_head(
    model: PreTrainedModel, ids: torch.Tensor, rows: list[int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """States that the head reads, its rows and biases, and their logits."""
    head, read = model.get_output_embeddings(), []
    hook = head.register_forward_pre_hook(lambda _, inputs: read.append(inputs[0].detach()))
    logits = logits_of(model, ids)[..., rows]
    hook.remove()
    weight = head.weight.detach()[rows]
    bias = torch.zeros(len(rows)) if head.bias is None else head.bias.detach()[rows]
    return read[0], weight, bias, logits


def save_checkpoint(model: PreTrainedModel, tokenizer: Any, directory: Any, **kwargs: Any) -> Any:
    """What a user has: a plain transformers directory."""
    model.save_pretrained(str(directory), **kwargs)
    if tokenizer is not None:
        tokenizer.save_pretrained(str(directory))
    return directory
