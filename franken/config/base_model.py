"""Options of the group ``base_model``: the model that is adapted."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from franken.config.checks import at_least, members_by_name
from franken.declare import schema


class TokenizerKind(StrEnum):
    """Families of tokenizers that franken trains and edits."""

    byte_level_bpe = "byte_level_bpe"
    sentencepiece_bpe = "sentencepiece_bpe"
    sentencepiece_unigram = "sentencepiece_unigram"


class TensorType(StrEnum):
    """Number formats of stored weights."""

    auto = "auto"
    float32 = "float32"
    bfloat16 = "bfloat16"
    float16 = "float16"


@dataclass
class BaseModelConfig:
    """What every base model has."""

    name: str = "tiny_gemma2"
    """The option, as results name it."""
    step: str = "pretrain"
    """Step that yields the model: ``pretrain`` (made on the spot) or ``load`` (a checkpoint)."""


@schema("load", written=True)
class LoadedModel(BaseModelConfig):
    """Any transformers checkpoint or GGUF file, on disk or the hub: base_model.path=PATH_OR_ID."""

    name: str = "checkpoint"
    step: str = "load"
    path: str = ""
    """Directory with ``config.json`` and safetensors, a GGUF file, or a hub id."""
    revision: str | None = None
    """Hub revision; a commit hash makes the run repeatable."""
    dtype: TensorType = TensorType.auto
    """``auto``: as stored."""
    trust_remote_code: bool = False
    """The project's one switch for code that comes with a checkpoint."""

    def faults(self) -> Iterator[tuple[str, str]]:
        place = Path(self.path).expanduser()
        if not self.path:
            yield "path", "names no checkpoint; give a directory, a GGUF file or a hub id"
        elif self.path.lower().endswith(".gguf") and find_spec("gguf") is None:
            yield "path", "reading GGUF needs the package gguf; pip install 'franken[gguf]'"
        elif place.is_dir():
            yield from _directory_faults(place)
        elif self.path.startswith((".", "/", "~")) and not place.exists():
            yield "path", f"{self.path} is not there (looked in {Path.cwd()}); check the path"


@dataclass
class Donor(LoadedModel):
    """A tuning of the base model that others made: instruct, chat, translation.

    Where ``path`` is set, it takes the place of the step that ``recipe.donor`` names, which would
    else be tuned from the base inside the run.
    """

    name: str = "donor"

    def faults(self) -> Iterator[tuple[str, str]]:
        if self.path:
            yield from super().faults()


def _directory_faults(directory: Path) -> Iterator[tuple[str, str]]:
    """What a look at the files tells; :mod:`franken.recipe_checkpoints` looks at the model."""
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        yield "path", f"{directory} holds no readable config.json; give a transformers checkpoint"
        return
    if quantised := config.get("quantization_config"):
        method = quantised.get("quant_method", "?") if isinstance(quantised, dict) else "?"
        yield (
            "path",
            f"{directory} is quantised ({method}), and its layers neither train nor run here; give "
            "the checkpoint that it was made from",
        )
    if not any(directory.glob("*.safetensors")):
        yield "path", f"{directory} holds no safetensors; fetch or convert the weights"


@members_by_name
@dataclass
class TokenizerTraining:
    """The tokenizer of a model that is pre-trained on the spot."""

    kind: TokenizerKind = TokenizerKind.sentencepiece_bpe
    size: int = 4096
    """Vocabulary size in tokens, special and byte tokens included."""
    max_lines_per_language: int = 200_000
    """Lines of text that it is trained on, of each language."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("size", self.size, 300)


@schema("pretrain")
class PretrainedModel(BaseModelConfig):
    """A small model of a known family, pre-trained inside the run."""

    step: str = "pretrain"
    architecture: str = "gemma2"
    """A transformers ``model_type``."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Fields of the architecture's config: ``hidden_size``, ``num_hidden_layers``, ..."""
    tokenizer: TokenizerTraining = field(default_factory=TokenizerTraining)
