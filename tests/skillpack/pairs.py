"""Pairs of a tiny base and its tuned self, and policies for them."""

from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf

from franken.cli.paths import config_dir
from franken.config.pack import ClassRule, PackConfig
from franken.parts.weights import StoredWeights
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer


def policy(name: str = "module_aware", *overrides: str) -> PackConfig:
    """An option of ``conf/pack``, composed without Hydra, which would take a second each time."""
    chain = [OmegaConf.load(config_dir() / "pack" / f"{name}.yaml")]
    for entry in chain[0].get("defaults", []):
        if entry.startswith("/pack"):
            group, _, option = entry.removeprefix("/").partition("@")[0].partition("/")
            parent = OmegaConf.load(config_dir() / group / f"{option}.yaml")
            if group == "pack":
                parent = OmegaConf.merge(
                    OmegaConf.load(config_dir() / "pack_parts" / "schedules.yaml"), parent
                )
            chain.insert(0, parent)
    merged = OmegaConf.merge(OmegaConf.structured(PackConfig), *map(_plain, chain))
    dots = [text.removeprefix("pack.") for text in overrides]
    merged = OmegaConf.merge(merged, OmegaConf.from_dotlist(dots))
    return OmegaConf.to_object(merged)  # type: ignore[return-value]


def _plain(node: Any) -> Any:
    return {key: value for key, value in node.items() if key != "defaults"}


def exact_policy() -> PackConfig:
    return PackConfig(name="dense", classes={"rest": ClassRule(op="dense", bits=0)})


def tuned_copy(model: Any, *, size: float = 1e-3, seed: int = 1, only: str = "") -> Any:
    """The model after small random changes, in its own number format."""
    other = type(model)(model.config)
    other.load_state_dict(model.state_dict())
    other.to(model.dtype).eval()
    if model.get_input_embeddings().weight is model.get_output_embeddings().weight:
        other.tie_weights()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in other.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator) * size
            if only in name:
                parameter.copy_((parameter.float() + noise).to(parameter.dtype))
    return other


def checkpoints(
    directory: Path, family: str = "llama", *, dtype: torch.dtype = torch.float32,
    tied: bool = True, shard: str | None = None, size: float = 1e-3, only: str = "",
    **settings: Any,
) -> tuple[Path, Path]:  # fmt: skip
    """Directories of a base and of its tuned self."""
    base = tiny_model(family, tied=tied, dtype=dtype, **settings)
    tuned = tuned_copy(base, size=size, only=only)
    tokenizer = tiny_tokenizer()
    options = {} if shard is None else {"max_shard_size": shard}
    save_checkpoint(base, tokenizer, directory / "base", **options)
    save_checkpoint(tuned, tokenizer, directory / "tuned", **options)
    return directory / "base", directory / "tuned"


def stored(directory: Path) -> StoredWeights:
    return StoredWeights.of_checkpoint(directory)


def lowrank_noise(rows: int, columns: int, *, decay: float = 1.0, seed: int = 0) -> torch.Tensor:
    """A matrix with singular values ``i ** -decay``."""
    generator = torch.Generator().manual_seed(seed)
    limit = min(rows, columns)
    left = torch.linalg.qr(torch.randn(rows, limit, generator=generator)).Q
    right = torch.linalg.qr(torch.randn(columns, limit, generator=generator)).Q
    sigma = torch.arange(1, limit + 1).float() ** -decay
    return (left * sigma) @ right.T
