"""A transformers directory of safetensors, read lazily: one tensor, or a few of its rows."""

from __future__ import annotations

import logging
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franken.errors import ArtifactError, CompatibilityError
from franken.families.anatomy import Anatomy
from franken.families.layouts import Layout, layout_of
from franken.files import read_json
from franken.lazy import later
from franken.parts import safetensors_file
from franken.parts.anatomy import anatomy_of, is_tied
from franken.parts.plain_config import PlainModelConfig
from franken.parts.safetensors_file import TensorRange

with later():
    import torch
    from torch import Tensor

if TYPE_CHECKING:
    from transformers import PretrainedConfig

logger = logging.getLogger(__name__)

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"


def read_config(directory: Path) -> PretrainedConfig:
    """The config in a directory; code that comes with a checkpoint is never run.

    Raises:
        ArtifactError: where there is none, or transformers cannot read it.
        CompatibilityError: where the checkpoint is quantised (4 bit, 8 bit, GPTQ, AWQ, ...).
    """
    if not (directory / "config.json").is_file():
        raise ArtifactError(f"{directory} holds no config.json")
    from transformers import AutoConfig

    try:
        config: PretrainedConfig = AutoConfig.from_pretrained(directory, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ArtifactError(
            f"{directory / 'config.json'} is no config that transformers can read: {error}"
        ) from error
    quantised = getattr(config, "quantization_config", None)
    if quantised:
        method = dict(quantised).get("quant_method", "?") if isinstance(quantised, dict) else "?"
        raise CompatibilityError(
            f"{directory} is quantised ({method}); its tables could be exchanged, but its layers "
            "neither trained nor run here. Give the checkpoint it was made from"
        )
    return config


class Checkpoint:
    """What a checkpoint directory holds; headers are read at once, tensors when asked for."""

    def __init__(self, directory: Path) -> None:
        """Read the headers of all shards.

        Args:
            directory: holds ``config.json`` and ``model.safetensors``, or shards with their index.

        Raises:
            ArtifactError: where files are missing, damaged, or in another format.
        """
        self.directory = Path(directory)
        self._shards: dict[str, Path] = {}
        self._ranges: dict[str, TensorRange] = {}
        self.metadata: dict[str, str] = {}
        for path, expected in self._listed_files():
            ranges, metadata = safetensors_file.read_header(path)
            missing = sorted(set(expected or ()) - set(ranges))
            if missing:
                raise ArtifactError(
                    f"{self.directory / INDEX_FILE} says that {path.name} holds {missing[0]!r} "
                    f"({len(missing)} such); it does not. Fetch the checkpoint again"
                )
            self.metadata |= metadata
            for name in expected or ranges:
                self._ranges[name] = ranges[name]
                self._shards[name] = path

    def _listed_files(self) -> list[tuple[Path, list[str] | None]]:
        """Shards with the tensors that the index promises; ``None``: whatever the file has."""
        single, index = self.directory / SINGLE_FILE, self.directory / INDEX_FILE
        if single.is_file():
            return [(single, None)]
        if not index.is_file():
            self._raise_no_weights()
        weight_map = read_json(index).get("weight_map")
        if not isinstance(weight_map, dict) or not weight_map:
            raise ArtifactError(f"{index} has no weight_map; fetch the checkpoint again")
        names: dict[str, list[str]] = {}
        for name, file in weight_map.items():
            if Path(file).name != file:
                raise ArtifactError(f"{index} puts {name!r} into {file!r}, outside the directory")
            names.setdefault(file, []).append(name)
        absent = sorted(file for file in names if not (self.directory / file).is_file())
        if absent:
            raise ArtifactError(
                f"{index} names files that are missing from {self.directory}: {', '.join(absent)}; "
                "the download is incomplete"
            )
        return [(self.directory / file, names[file]) for file in sorted(names)]

    def _raise_no_weights(self) -> None:
        if not self.directory.is_dir():
            raise ArtifactError(f"{self.directory} is no directory; expected a checkpoint")
        pickled = sorted(path.name for path in self.directory.glob("pytorch_model*.bin*"))
        if pickled:
            raise ArtifactError(
                f"{self.directory} holds pickled weights ({pickled[0]}); only safetensors are "
                "read. Convert once: AutoModelForCausalLM.from_pretrained(...).save_pretrained(...)"
            )
        raise ArtifactError(
            f"{self.directory} holds neither {SINGLE_FILE} nor {INDEX_FILE}; expected a "
            "checkpoint in transformers layout"
        )

    def names(self) -> list[str]:
        """Names of all stored tensors, sorted."""
        return sorted(self._ranges)

    def __contains__(self, name: str) -> bool:
        return name in self._ranges

    def range(self, name: str) -> TensorRange:
        """Shape, dtype and bytes of a tensor."""
        if name not in self._ranges:
            raise ArtifactError(f"{self.directory} holds no tensor {name!r}")
        return self._ranges[name]

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor."""
        return self.range(name).shape

    def dtype(self, name: str) -> torch.dtype:
        """Number format of a tensor."""
        return self.range(name).dtype

    def shard_of(self, name: str) -> Path:
        """The file that holds a tensor."""
        self.range(name)
        return self._shards[name]

    def shards(self) -> dict[Path, list[str]]:
        """File -> names of its tensors, both sorted."""
        files: dict[Path, list[str]] = {path: [] for path in sorted(set(self._shards.values()))}
        for name in self.names():
            files[self._shards[name]].append(name)
        return files

    def tensor(self, name: str) -> Tensor:
        """Read one tensor."""
        return safetensors_file.read_tensor(self.shard_of(name), self.range(name))

    def mapped(self, name: str) -> Tensor:
        """One tensor where it lies: the system fetches what is looked at. Read-only."""
        return safetensors_file.map_tensor(self.shard_of(name), self.range(name))

    def rows(self, name: str, start: int, stop: int) -> Tensor:
        """Read rows ``start`` to ``stop`` of one tensor, and nothing else."""
        return safetensors_file.read_rows(self.shard_of(name), self.range(name), start, stop)

    def config(self) -> PretrainedConfig:
        """The model's config; code that comes with a checkpoint is never run."""
        return read_config(self.directory)

    def plain_config(self) -> PlainModelConfig | None:
        """What a vocabulary changes of the config, where a known layout tells all of it."""
        if self.layout is None:
            return None
        return PlainModelConfig(self._raw_config, self.layout.defaults, "config.json")

    @cached_property
    def layout(self) -> Layout | None:
        """What is known of such a model without building it; see ``franken.families.layouts``."""
        shapes = {name: item.shape for name, item in self._ranges.items()}
        return layout_of(self._raw_config, shapes)

    @cached_property
    def _raw_config(self) -> dict[str, Any]:
        """``config.json`` as it stands; empty where it is not there or damaged."""
        try:
            found = read_json(self.directory / "config.json")
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def anatomy(self) -> Anatomy:
        """The anatomy of the model."""
        return self._anatomy

    @cached_property
    def _anatomy(self) -> Anatomy:
        return anatomy_of(self.config()) if self.layout is None else self.layout.anatomy

    def tied(self) -> bool:
        """Whether input and output rows are one matrix: as the config says, unless both are stored.

        Fine-tuning by peft or unsloth can leave two tables under a config that says they are one;
        transformers 5 then unties them, and so do we.
        """
        if not is_tied(self.plain_config() or self.config()):
            return False
        anatomy = self.anatomy()
        pair = [self.stored_name(name) for name in (anatomy.input_embedding, anatomy.output_head)]
        if None in pair or pair[0] == pair[1]:
            return True
        one, other = (self.range(str(name)) for name in pair)
        if self._same(one, other):
            return True
        logger.warning(
            "%s: config.json calls the embeddings tied, but %s and %s differ; they are read as two",
            self.directory, *pair,
        )  # fmt: skip
        return False

    def _same(self, one: TensorRange, other: TensorRange) -> bool:
        """Whether two tensors hold the same numbers, compared in blocks of rows."""
        if one.shape != other.shape:
            return False
        step = 16384
        return all(
            torch.equal(
                self.rows(one.name, start, min(start + step, one.shape[0])),
                self.rows(other.name, start, min(start + step, one.shape[0])),
            )
            for start in range(0, one.shape[0], step)
        )

    def stored_name(self, name: str) -> str | None:
        """How this file spells a tensor of the anatomy; ``None`` where it is not stored."""
        for spelling in self.anatomy().spellings(name):
            if spelling in self._ranges:
                return spelling
        return None
