"""Toy languages and small tokenizers built like the published ones."""

import json
import random
from collections.abc import Sequence
from functools import cache
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from franken.config.base_model import TokenizerKind
from franken.tokenizer.compose import all_splits
from franken.tokenizer.pipeline import pipeline_of
from franken.vocab import VocabTexts, train_tokenizer

KINDS = list(TokenizerKind)
BPE_KINDS = [TokenizerKind.byte_level_bpe, TokenizerKind.sentencepiece_bpe]


def words(text: str) -> list[str]:
    return text.split()


ENGLISH_WORDS = words("""
    the a house home water bread book child children mother father school teacher market river
    mountain village morning evening night winter summer green yellow white black little great
    strong quick reads read reading writes write writing walks walk walking speaks speak
    speaking buys bought sells sold opens opened closes closed under over between near behind
    never always often today tomorrow yesterday because before after with without question
    answer friend friends letter letters window windows garden station number numbers country
    countries language languages
""")
GERMAN_WORDS = words("""
    das haus wasser brot buch kind kinder mutter vater schule lehrer markt fluss berg dorf
    morgen abend nacht winter sommer strasse gross schnell lesen schreiben gehen sprechen kaufen
    verkaufen immer niemals heute freund brief fenster garten bahnhof zahl land sprache
""")
RUSSIAN_WORDS = words("""
    дом вода хлеб книга ребенок мать отец школа учитель рынок река гора деревня утро вечер ночь
    зима лето большой быстро читать писать идти говорить всегда никогда сегодня друг
""")
SWAHILI_WORDS = words("""
    nyumba maji mkate kitabu watoto mama baba shule mwalimu soko mto mlima kijiji asubuhi jioni
    usiku kubwa haraka kusoma kuandika kutembea kuzungumza kununua kuuza kila leo rafiki barua
    dirisha bustani namba nchi lugha anasoma anaandika wanasoma wanaandika wanazungumza
""")
TAMIL_WORDS = words("""
    வீடு தண்ணீர் ரொட்டி புத்தகம் குழந்தை அம்மா அப்பா பள்ளி ஆசிரியர் சந்தை ஆறு மலை கிராமம் காலை
    மாலை இரவு பெரிய வேகமாக படிக்கிறார் எழுதுகிறார் நடக்கிறார் பேசுகிறார் வாங்குகிறார் இன்று
    நண்பர்
""")
AMHARIC_WORDS = words("""
    ቤት ውሃ ዳቦ መጽሐፍ ልጅ እናት አባት ትምህርት መምህር ገበያ ወንዝ ተራራ መንደር ጠዋት ማታ ሌሊት ትልቅ ፈጣን ያነባል ይጽፋል ይሄዳል ይናገራል
    ይገዛል ዛሬ ጓደኛ
""")


def sentences(vocabulary: Sequence[str], count: int, seed: int = 0) -> list[str]:
    """Sentences with commas, digits and capitals; frequent words come first in the list."""
    draw = random.Random(seed)
    weights = [1.0 / (rank + 3) for rank in range(len(vocabulary))]
    lines = []
    for _ in range(count):
        chosen = draw.choices(vocabulary, weights, k=draw.randint(4, 11))
        if draw.random() < 0.3:
            chosen.insert(draw.randrange(len(chosen)), str(draw.randint(1, 999)))
        if draw.random() < 0.3:
            chosen[len(chosen) // 2] += ","
        line = " ".join(chosen) + draw.choice([".", ".", "?", "!"])
        lines.append(line[0].upper() + line[1:])
    return lines


ENGLISH = sentences(ENGLISH_WORDS, 1200)
OTHERS = sentences(GERMAN_WORDS, 400, 1) + sentences(RUSSIAN_WORDS, 400, 2)
TARGETS = {
    "sw": sentences(SWAHILI_WORDS, 400, 3),
    "ta": sentences(TAMIL_WORDS, 400, 4),
    "am": sentences(AMHARIC_WORDS, 400, 5),
}
HARD = [
    "",
    " ",
    "  two  spaces ",
    "a\nb\n\nc\td",
    "naïve café Ωmega 你好 🙂🏽 \u200dx",
    "0 1 22 333",
    "<bos> </s> <0x41> <unused0> ▁",
    "e\u0301 \u0b95\u0bcd",
]


def vocab_texts() -> VocabTexts:
    """English as the source, three target languages."""
    targets = {name: (lambda lines=lines: lines) for name, lines in TARGETS.items()}
    return VocabTexts(source=lambda: ENGLISH, targets=targets)


@cache
def base_tokenizer(kind: TokenizerKind, size: int = 1100) -> PreTrainedTokenizerFast:
    """The multilingual tokenizer of a base model; never change it."""
    return train_tokenizer(kind, [*ENGLISH, *OTHERS], size)


def spec_of(tokenizer: PreTrainedTokenizerFast) -> dict[str, Any]:
    return json.loads(tokenizer.backend_tokenizer.to_str())


def wrap(spec: dict[str, Any], **roles: Any) -> PreTrainedTokenizerFast:
    text = json.dumps(spec, ensure_ascii=False)
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(text), **roles)


def ids_of(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    return tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids


def added(content: str, index: int, *, special: bool, **flags: bool) -> dict[str, Any]:
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": index, "content": content, **plain, "special": special, **flags}


@cache
def gemma_like() -> PreTrainedTokenizerFast:
    """Gemma 2/3: no splits, user-defined newline and space runs inside the model, all pairs."""
    pipeline = pipeline_of(base_tokenizer(TokenizerKind.sentencepiece_bpe))
    specials = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "<unused0>", "<unused1>"]
    turns = ["<start_of_turn>", "<end_of_turn>"]
    runs = ["\n\n", "\n\n\n", "▁▁", "▁▁▁", "<table>"]
    characters = [piece for piece in pipeline.normal() if len(piece) == 1]
    longer = [piece for piece in pipeline.normal() if len(piece) > 1]
    order = [*specials, *turns, *runs, *pipeline.byte_pieces(), *longer, *characters]
    vocab = {piece: index for index, piece in enumerate(order)}
    spec = spec_of(base_tokenizer(TokenizerKind.sentencepiece_bpe))
    spec["pre_tokenizer"] = {
        "type": "Split",
        "pattern": {"String": " "},
        "behavior": "MergedWithPrevious",
        "invert": False,
    }
    spec["model"]["vocab"] = vocab
    merges = all_splits([*runs[:4], *longer], set(order) - set(specials) - set(turns))
    spec["model"]["merges"] = [list(merge) for merge in merges]
    control = {*specials[:4], *turns}
    spec["added_tokens"] = [
        added(name, vocab[name], special=name in control) for name in [*specials, *turns, *runs]
    ]
    spec["post_processor"]["special_tokens"]["<bos>"]["ids"] = [vocab["<bos>"]]
    return wrap(spec, bos_token="<bos>", eos_token="<eos>", pad_token="<pad>", unk_token="<unk>")


@cache
def llama2_like() -> PreTrainedTokenizerFast:
    """Llama 2: a dummy prefix by the normaliser, no splits, bytes right after three specials."""
    return train_tokenizer(
        TokenizerKind.sentencepiece_bpe, [*ENGLISH, *OTHERS], 1100, dummy_prefix=True
    )


@cache
def llama3_like(size: int = 1100) -> PreTrainedTokenizerFast:
    """Llama 3: its own split, specials behind the model's vocabulary, ``ignore_merges``."""
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe, size))
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
        r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )
    spec["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": pattern}
    spec["model"]["ignore_merges"] = True
    names = {"<bos>": "<|begin_of_text|>", "<eos>": "<|end_of_text|>", "<pad>": "<|finetune|>"}
    text = json.dumps(spec, ensure_ascii=False)
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    return wrap(json.loads(text), bos_token=names["<bos>"], eos_token=names["<eos>"])


@cache
def qwen_like() -> PreTrainedTokenizerFast:
    """Qwen 2/3: NFC, no bos, special and literal added tokens behind the vocabulary."""
    spec = spec_of(llama3_like())
    spec["normalizer"] = {"type": "NFC"}
    spec["model"]["ignore_merges"] = False
    spec["post_processor"] = {
        "type": "ByteLevel",
        "add_prefix_space": False,
        "trim_offsets": False,
        "use_regex": False,
    }
    first = len(spec["model"]["vocab"])
    contents = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>"]
    spec["added_tokens"] = [
        added(content, first + rank, special=rank < 3) for rank, content in enumerate(contents)
    ]
    return wrap(spec, eos_token="<|im_end|>", pad_token="<|endoftext|>")


@cache
def xlmr_like() -> PreTrainedTokenizerFast:
    """XLM-R: Unigram without bytes, a prefix on every word, ``<mask>`` last."""
    pipeline = pipeline_of(base_tokenizer(TokenizerKind.sentencepiece_unigram))
    first = ["<s>", "<pad>", "</s>", "<unk>"]
    order = [*first, *pipeline.normal(), "<mask>"]
    vocab = [[piece, pipeline.scores.get(piece, 0.0)] for piece in order]
    marker = {"replacement": "▁", "prepend_scheme": "always", "split": True}
    spec = spec_of(base_tokenizer(TokenizerKind.sentencepiece_unigram)) | {
        "normalizer": {"type": "NFKC"},
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{"type": "WhitespaceSplit"}, {"type": "Metaspace", **marker}],
        },
        "decoder": {"type": "Metaspace", **marker},
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": ["</s>", 2],
            "cls": ["<s>", 0],
            "trim_offsets": True,
            "add_prefix_space": True,
        },
        "model": {"type": "Unigram", "unk_id": 3, "vocab": vocab, "byte_fallback": False},
        "added_tokens": [
            *(added(name, index, special=True) for index, name in enumerate(first)),
            added("<mask>", len(order) - 1, special=True, lstrip=True),
        ],
    }
    names = dict(zip(("bos", "pad", "eos", "unk"), first, strict=True))
    roles = {f"{role}_token": name for role, name in names.items()}
    return wrap(spec, **roles, mask_token="<mask>", cls_token="<s>", sep_token="</s>")


STRUCTURES = {
    "gemma": gemma_like,
    "llama2": llama2_like,
    "llama3": llama3_like,
    "qwen": qwen_like,
    "xlm_r": xlmr_like,
}


def is_reachable(model: Any, piece: str) -> bool:
    """Whether the model of a ``tokenizers`` backend, by itself, writes ``piece`` as one token.

    Normaliser and pre-tokeniser may still keep the piece from it.
    """
    tokens = model.tokenize(piece)
    return len(tokens) == 1 and tokens[0].value == piece
