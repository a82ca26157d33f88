"""A tiny world in two scripts, tokenizers of both families, random models: all made here."""

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)
from tokenizers.trainers import BpeTrainer
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from franken.config.data import DataConfig
from franken.data.source import Pair
from franken.errors import DataError

ENGLISH = [
    "the cat sees the red house",
    "a teacher reads a long book about travel",
    "seven birds eat bread near the river",
    "the doctor gives medicine to the old king",
    "science and sport are on the news today",
]
RUSSIAN = [
    "кошка видит красный дом",
    "учитель читает длинную книгу",
    "семь птиц едят хлеб у реки",
    "врач даёт лекарство старому королю",
    "наука и спорт сегодня в новостях",
]
SPECIALS = ["<pad>", "<eos>", "<bos>", "<unk>"]


class TinyData:
    """A data source held in memory."""

    def __init__(self) -> None:
        self.config = DataConfig(name="tiny", source_language="en", languages=["ru", "th"])
        self.lines = {"en": ENGLISH, "ru": RUSSIAN}

    def texts(self, role: str, lang: str, split: str = "train") -> Iterator[str]:
        return iter(self.lines[lang])

    def pairs(self, lang: str, split: str = "train") -> Iterator[Pair]:
        return iter([Pair(a, b) for a, b in zip(ENGLISH, self.lines[lang], strict=True)])

    def has(self, role: str, lang: str | None = None) -> bool:
        return role in ("monolingual", "parallel") and (lang is None or lang in self.lines)

    def tasks(self) -> list[str]:
        return ["arithmetic", "topic", "translation"]

    def task_schema(self, task: str) -> str:
        return {"topic": "sib200", "translation": "flores", "arithmetic": "mgsm"}[task]

    def task_languages(self, task: str) -> list[str]:
        return ["en", "ru"]

    def task_rows(self, task: str, lang: str, split: str = "test") -> list[dict[str, Any]]:
        if split not in ("train", "valid", "test"):
            raise DataError(f"no split {split!r}")
        topics = ["science/technology", "travel", "politics", "sports", "health"]
        lines = self.lines[lang]
        if task == "topic":
            return [
                {"index_id": i, "category": topics[(i + 1) % 5], "text": line}
                for i, line in enumerate(lines * (2 if split == "test" else 1))
            ]
        if task == "translation":
            return [
                {"id": i, "sentence_en": ENGLISH[i], f"sentence_{lang}": line}
                for i, line in enumerate(lines)
            ]
        return [
            {"question": line, "answer": None, "answer_number": i, "equation_solution": None}
            for i, line in enumerate(lines)
        ]


@pytest.fixture
def data() -> TinyData:
    return TinyData()


def gemma_tokenizer() -> PreTrainedTokenizerFast:
    """SentencePiece style: spaces as a marker, byte fallback, no automatic word start."""
    core = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    core.normalizer = normalizers.Replace(" ", "\u2581")
    core.pre_tokenizer = pre_tokenizers.Split("\u2581", "merged_with_next")
    core.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    byte_pieces = [AddedToken(f"<0x{value:02X}>", normalized=False) for value in range(256)]
    trainer = BpeTrainer(
        vocab_size=420,
        special_tokens=[*SPECIALS, *(piece.content for piece in byte_pieces)],
        show_progress=False,
    )
    core.train_from_iterator(ENGLISH, trainer)
    state = json.loads(core.to_str())
    state["added_tokens"] = [t for t in state["added_tokens"] if t["content"] in SPECIALS]
    core = Tokenizer.from_str(json.dumps(state))
    return _wrap(core)


def llama_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIALS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(ENGLISH, trainer)
    return _wrap(core)


def _wrap(core: Tokenizer) -> PreTrainedTokenizerFast:
    core.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", core.token_to_id("<bos>"))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token="<pad>",
        eos_token="<eos>",
        bos_token="<bos>",
        unk_token="<unk>",
        clean_up_tokenization_spaces=False,
    )


def gemma_model(rows: int) -> Gemma2ForCausalLM:
    config = Gemma2Config(
        vocab_size=rows, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=1, head_dim=8, max_position_embeddings=128,
        sliding_window=16, final_logit_softcapping=5.0, query_pre_attn_scalar=8,
        attn_implementation="eager",
    )  # fmt: skip
    return Gemma2ForCausalLM(config)


def llama_model(rows: int) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=rows, hidden_size=16, intermediate_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, max_position_embeddings=128,
        tie_word_embeddings=False,
    )  # fmt: skip
    return LlamaForCausalLM(config)


@pytest.fixture(params=["gemma2", "llama"])
def case(request: pytest.FixtureRequest) -> SimpleNamespace:
    """A random model with its tokenizer, weights large enough for distinct predictions."""
    tokenizer = gemma_tokenizer() if request.param == "gemma2" else llama_tokenizer()
    make: Callable[[int], Any] = gemma_model if request.param == "gemma2" else llama_model
    with torch.random.fork_rng():
        torch.manual_seed(7)
        model = make(len(tokenizer) + 3).eval()
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.4)
    torch.set_num_threads(1)
    return SimpleNamespace(name=request.param, model=model, tokenizer=tokenizer)
