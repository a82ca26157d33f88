"""GGUF files as ordinary models: unpacked by the reader of transformers, then free of its traces.

transformers loads such a file, but calls the model quantised for ever after and refuses to save
it. And a file names the way in which its tokenizer splits text (``tokenizer.ggml.pre``) without
describing it; transformers knows some of these names and takes GPT-2's way for all others.
"""

import importlib.util
import logging
import re
from pathlib import Path
from typing import Any

import torch
from tokenizers import pre_tokenizers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel
from transformers import PreTrainedTokenizerBase as Tokenizer

from franken.errors import ArtifactError, CompatibilityError
from franken.parts.rowless import set_aside_rowless

logger = logging.getLogger(__name__)

SUFFIX = ".gguf"
_MAGIC = b"GGUF"
_PART = re.compile(r"-\d{5}-of-\d{5}$")

_SINGLE_DIGITS = frozenset(
    ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
)
"""Splits that cut digits apart and then go GPT-2's way (llama.cpp, ``llama-vocab.cpp``)."""

_AS_GPT2 = frozenset(
    ("gpt-2", "phi-2", "jina-es", "jina-de", "jina-v2-code", "roberta-bpe", "gigachat", "mpt",
     "olmo", "jais", "trillion", "granite-docling")
)  # fmt: skip


def is_gguf(path: Path) -> bool:
    """Whether a path names a GGUF file."""
    return path.suffix.lower() == SUFFIX


def read_gguf(file: Path, *, dtype: torch.dtype | None = None) -> tuple[PreTrainedModel, Tokenizer]:
    """Read a GGUF file.

    Args:
        file: one whole file; its family must be one that the reader of transformers knows.
        dtype: of the unpacked weights; default: as stored where all are in one half format, else
            float32.

    Returns:
        The model in evaluation mode, which can be saved as any other, and its tokenizer.

    Raises:
        ArtifactError: where the file is none, or a part of one, or the ``gguf`` package is missing.
        CompatibilityError: for a family or a kind of tokenizer that transformers cannot read.
    """
    file = Path(file)
    _check_file(file)
    place: dict[str, Any] = {"gguf_file": file.name, "trust_remote_code": False}
    fields = _text_fields(file)
    from franken.parts.body import quiet_transformers  # which imports half of this package

    try:
        with quiet_transformers():
            tokenizer: Tokenizer = AutoTokenizer.from_pretrained(str(file.parent), **place)
            model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
                str(file.parent), dtype=dtype or _dtype_of(fields), **place
            )
    except (ValueError, NotImplementedError, KeyError) as error:
        raise CompatibilityError(
            f"{file} (architecture {fields.get('general.architecture')!r}) cannot be read by "
            f"transformers' GGUF reader: {error}. Give the original checkpoint in safetensors"
        ) from error
    _repair_split(tokenizer, fields.get("tokenizer.ggml.pre"), file)
    # GPT-2's class puts its own <|endoftext|> behind a vocabulary that lacks it.
    embedding: Any = model.get_input_embeddings()
    return _plain(model).eval(), set_aside_rowless(tokenizer, embedding.num_embeddings)


def _check_file(file: Path) -> None:
    if importlib.util.find_spec("gguf") is None:
        raise ArtifactError(
            f"reading {file} needs the package gguf, which is not installed; "
            "`pip install 'franken[gguf]'`"
        )
    if _PART.search(file.stem):
        raise ArtifactError(
            f"{file} is one part of several; join them into one file "
            "(llama-gguf-split --merge) first"
        )
    if not file.is_file():
        raise ArtifactError(f"{file} is no file")
    with open(file, "rb") as handle:
        if handle.read(len(_MAGIC)) != _MAGIC:
            raise ArtifactError(f"{file} is no GGUF file: it does not begin with {_MAGIC!r}")


def _text_fields(file: Path) -> dict[str, str]:
    """The fields of the header that are one value, as text."""
    from gguf import GGUFReader, GGUFValueType

    reader = GGUFReader(file)
    plain = {
        name: str(field.contents())
        for name, field in reader.fields.items()
        if field.types and field.types[0] is not GGUFValueType.ARRAY
    }
    kinds = {tensor.tensor_type.name for tensor in reader.tensors if len(tensor.shape) > 1}
    return plain | {"tensor kinds": " ".join(sorted(kinds))}


def _dtype_of(fields: dict[str, str]) -> torch.dtype:
    halves = {"BF16": torch.bfloat16, "F16": torch.float16}
    return halves.get(fields["tensor kinds"], torch.float32)


def _plain(model: PreTrainedModel) -> PreTrainedModel:
    """Take off what says that the weights were once quantised."""
    for owner, names in (
        (model, ("hf_quantizer", "quantization_method", "is_quantized")),
        (model.config, ("quantization_config", "_pre_quantization_dtype")),
    ):
        for name in names:
            if name in vars(owner):
                delattr(owner, name)
    model.config.name_or_path = ""
    return model


def _repair_split(tokenizer: Tokenizer, name: str | None, file: Path) -> None:
    """Split text as the name in the file says, where transformers does not know it."""
    backend: Any = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or not isinstance(backend.pre_tokenizer, pre_tokenizers.ByteLevel):
        return  # a named split, or none at all (SentencePiece)
    if name in _SINGLE_DIGITS:
        backend.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=True), backend.pre_tokenizer]
        )
    elif name not in _AS_GPT2:
        logger.warning(
            "%s splits text in the way %r, which is not known here; GPT-2's is taken, so text may "
            "be cut otherwise than in training. Compare with the original tokenizer",
            file, name,
        )  # fmt: skip
