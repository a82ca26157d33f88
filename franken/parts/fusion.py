"""AdapterFusion: attention over several frozen adapters, learnt on a task of its own.

Pfeiffer et al., EACL 2021, arXiv 2005.00247; start, penalty, files and tensor names are those of
AdapterHub's library. At every place of a layer where the N adapters act on x, what is added is

``sum_n softmax_n((Q x + q) . (K z_n + k)) V z_n``,  ``z_n = A_n(x)``.

V begins at the identity (1e-6 beside the diagonal) and is pulled towards it by ``0.01 |V - I|^2``
in every place; without V (``static``) the outputs are mixed as they are.
"""

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from franken.errors import CompatibilityError
from franken.files import read_json, write_json
from franken.parts import safetensors_file
from franken.parts.adapter_files import fill, fill_adapter, fusion_name_of, read_shape
from franken.parts.anatomy import anatomy_of, text_config
from franken.parts.bottleneck import (
    ADAPTER_MARK,
    AdapterShape,
    Bottleneck,
    adapter_names,
    adapter_parameters,
    add_modules,
)

KIND = "fusion"
CONFIG_FILE, WEIGHTS_FILE = "adapter_fusion_config.json", "model_adapter_fusion.safetensors"
MEMBERS = "adapters"
"""Folder of the adapters, one each in AdapterHub's layout; also where a module holds them."""
PENALTY = 0.01
"""Of ``|V - I|^2``."""


class Fusion(nn.Module):
    """What attention over adapters adds; seen from outside it is one adapter."""

    def __init__(self, adapters: Mapping[str, Bottleneck], width: int, *, value: bool) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict(adapters)
        self.query, self.key = nn.Linear(width, width), nn.Linear(width, width)
        self.value = nn.Linear(width, width, bias=False) if value else None
        for drawn in (self.query, self.key):
            nn.init.normal_(drawn.weight, std=0.02)
            nn.init.zeros_(drawn.bias)
        if self.value is not None:
            nn.init.constant_(self.value.weight, 1e-6)
            self.value.weight.data.fill_diagonal_(1.0)

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D)`` to what is added."""
        states = x.to(self.query.weight.dtype)
        found = torch.stack([adapter(states) for adapter in self.adapters.values()], dim=-2)
        scores = (self.query(states).unsqueeze(-2) * self.key(found)).sum(-1)
        values = found if self.value is None else self.value(found)
        added: Tensor = (scores.softmax(-1).unsqueeze(-1) * values).sum(-2)
        return added.to(x.dtype)

    def own_parameters(self) -> list[nn.Parameter]:
        """Query, key and value; the adapters stay as they are."""
        return [p for name, p in self.named_parameters() if not name.startswith(f"{MEMBERS}.")]

    def pull(self) -> None:
        """Add the gradient of ``PENALTY |V - I|^2`` to that of V."""
        if self.value is not None and self.value.weight.grad is not None:
            weight = self.value.weight.detach()
            apart = weight - torch.eye(len(weight), dtype=weight.dtype, device=weight.device)
            self.value.weight.grad += 2 * PENALTY * apart


class Rotation(nn.Module):
    """One of several adapters at a time: another in each step of a training (TLR).

    Parovic et al. (2023): what is trained above has then met the adapters of all languages. Where
    nothing trains, the first one acts.
    """

    def __init__(self, adapters: Mapping[str, Bottleneck]) -> None:
        super().__init__()
        self.adapters = nn.ModuleDict(adapters)
        self.turn = 0

    def forward(self, x: Tensor) -> Tensor:
        """``(..., D)`` to what is added."""
        added: Tensor = list(self.adapters.values())[self.turn % len(self.adapters)](x)
        return added


def turn_adapters(model: nn.Module, step: int) -> None:
    """Let the adapters of this step act wherever a model has some that take turns."""
    for module in model.modules():
        if isinstance(module, Rotation):
            module.turn = step


def add_fusion(
    model: PreTrainedModel, adapters: Mapping[str, AdapterShape], name: str, *,
    value: bool = True, turns: bool = False, seed: int = 0,
) -> None:  # fmt: skip
    """Put adapters side by side into a model, and an untrained attention over them.

    Args:
        model: a language model of a known family.
        adapters: name -> shape; the adapters are fresh, :func:`load_fusion` fills them.
        name: of the whole inside the model.
        value: with a value matrix (dynamic); without: static.
        turns: no attention: they act one at a time.
        seed: of the attention; the global generators stay as they were.

    Raises:
        CompatibilityError: where the adapters act in other places, or on the embeddings.
    """
    first = next(iter(adapters.values()))
    for one, shape in adapters.items():
        apart = (shape.kind, sorted(shape.leave_out)) != (first.kind, sorted(first.leave_out))
        if shape.invertible or apart:
            raise CompatibilityError(
                f"adapter {one!r} is {shape.kind}, leaves out the layers {list(shape.leave_out)} "
                f"and has {'an' if shape.invertible else 'no'} invertible part; adapters that are "
                f"fused act in the same places ({first.kind}, without {list(first.leave_out)}) and "
                "have no invertible part"
            )
    width = text_config(model.config).hidden_size

    def make() -> nn.Module:
        members = {k: Bottleneck(width, s.reduction, s.activation) for k, s in adapters.items()}
        return Rotation(members) if turns else Fusion(members, width, value=value)

    add_modules(model, first, name, make, seed=seed)


def fusions(model: nn.Module, name: str | None = None) -> list[Fusion]:
    """The places of one fusion; of the last one by default.

    Raises:
        CompatibilityError: where the model has none.
    """
    held = {
        path.rpartition(".")[2]: None for path, module in model.named_modules()
        if isinstance(module, Fusion)
    }  # fmt: skip
    ordered = [one for one in adapter_names(model) if one in held]
    wanted = name or (ordered[-1] if ordered else None)
    if wanted is None:
        raise CompatibilityError(
            "the model has no fusion of adapters to train; name the step 'fuse' that makes one"
        )
    return [
        module for path, module in model.named_modules()
        if isinstance(module, Fusion) and path.endswith(f".{wanted}")
    ]  # fmt: skip


def start_fusion(
    directory: Path, adapters: Mapping[str, Path], model: PreTrainedModel, *, value: bool,
    seed: int, body: str | None, turns: bool = False,
) -> None:  # fmt: skip
    """Write a fusion that has learnt nothing, with copies of its adapters.

    Args:
        directory: where to.
        adapters: name -> directory of an adapter.
        model: of the family that they are for; it is given the fusion, too.
        value: with a value matrix.
        seed: of the attention.
        body: fingerprint of the body.
        turns: see :func:`add_fusion`.
    """
    for name, source in adapters.items():
        shutil.copytree(source, directory / MEMBERS / name)
    add_fusion(
        model, {name: read_shape(path) for name, path in adapters.items()}, KIND, value=value,
        turns=turns, seed=seed,
    )  # fmt: skip
    _write(model, directory, list(adapters), name=KIND, value=value, body=body, turns=turns)


def save_fusion(model: PreTrainedModel, directory: Path, source: Path, *, name: str) -> None:
    """Write a trained fusion, with the adapters of the untrained one in ``source``."""
    shutil.copytree(source / MEMBERS, directory / MEMBERS)
    said = read_json(source / "delta.json")
    _write(
        model, directory, said["adapters"], name=name, value=said["value"], body=said["body"]
    )  # fmt: skip


def load_fusion(model: PreTrainedModel, directory: Path, *, name: str) -> PreTrainedModel:
    """Put a saved fusion with its adapters into a model, behind what is there.

    Raises:
        CompatibilityError: where it was made for another shape or family.
    """
    said = read_json(directory / "delta.json")
    folders = {one: directory / MEMBERS / one for one in said["adapters"]}
    shapes = {one: read_shape(folder) for one, folder in folders.items()}
    turns = said.get("turns", False)
    add_fusion(model, shapes, name, value=said["value"], turns=turns)
    for one, folder in folders.items():
        fill_adapter(model, folder, name, inside=f"{MEMBERS}.{one}.")
    stored = {} if turns else load_file(directory / WEIGHTS_FILE)
    own = dict(_own(model, name, said["adapters"]))
    fill(own, stored, f"the fusion in {directory}")
    for parameter in adapter_parameters(model, name).values():
        parameter.requires_grad_(False)
    return model


def _own(
    model: PreTrainedModel, name: str, adapters: list[str]
) -> Iterator[tuple[str, nn.Parameter]]:
    """AdapterHub's name -> parameter of query, key and value."""
    anatomy = anatomy_of(model.config)
    for key, parameter in adapter_parameters(model, name).items():
        if f".{name}.{MEMBERS}." not in key.rpartition(ADAPTER_MARK)[2]:
            yield fusion_name_of(key, anatomy, name, ",".join(adapters)), parameter


def _write(
    model: PreTrainedModel, directory: Path, adapters: list[str], *, name: str, value: bool,
    body: str | None, turns: bool = False,
) -> None:  # fmt: skip
    said = {"kind": KIND, "schema": 1, "body": body, "adapters": adapters, "value": value}
    if turns:
        write_json(directory / "delta.json", {**said, "turns": True})
        return
    own = sorted(_own(model, name, adapters))
    entries = [safetensors_file.tensor_entry(key, p.detach().cpu()) for key, p in own]
    safetensors_file.write_file(directory / WEIGHTS_FILE, entries, {"format": "pt"})
    config: dict[str, Any] = {
        "key": True, "query": True, "value": value, "query_before_ln": False,
        "regularization": value, "residual_before": False, "temperature": False,
        "value_before_softmax": True, "value_initialized": value, "dropout_prob": None,
    }  # fmt: skip
    described = {
        "config": config, "name": ",".join(adapters), "adapter_names": adapters, "model_name": None,
        "hidden_size": text_config(model.config).hidden_size, "model_class": type(model).__name__,
        "model_type": anatomy_of(model.config).family,
    }  # fmt: skip
    write_json(directory / CONFIG_FILE, described)
    write_json(directory / "delta.json", said)
