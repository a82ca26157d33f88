"""Bottleneck adapters on disk, in AdapterHub's layout.

``adapter_config.json`` says how they are built, ``adapter.safetensors`` holds one tensor per weight
under the names of AdapterHub's library; ``delta.json`` beside them says whose body they are for.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from franken.errors import ArtifactError, CompatibilityError
from franken.files import read_json, write_json
from franken.parts import safetensors_file
from franken.parts.anatomy import Anatomy, anatomy_of, text_config
from franken.parts.bottleneck import ADAPTER_MARK, AdapterShape, adapter_parameters, add_adapter

KIND = "adapter"
CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter.safetensors"
_OURS = re.compile(
    rf"(?P<path>.*)\.{ADAPTER_MARK}_(?P<site>output|attention|invertible)\.[^.]+\.(?P<rest>.*)"
)
_LAYER = re.compile(
    r"(?:.*\.)?(?:layers?|h|blocks?)\.(?P<index>\d+)\.(?P<site>.*?)(?:^|[._])adapters\.[^.]+\."
    r"(?P<rest>adapter_(?:down\.0|up)\.(?:weight|bias))"
)
_COUPLING = re.compile(
    r"(?:.*\.)?invertible_adapters\.[^.]+\.(?P<rest>[FG]\.[02]\.(?:weight|bias))"
)
_PLAIN = {
    "ln_before": False, "ln_after": False, "use_gating": False, "scaling": 1.0, "phm_layer": False,
    "is_parallel": False, "residual_before_ln": True, "original_ln_after": True,
}  # fmt: skip
"""What AdapterHub's configs must say for an adapter to be of our two kinds."""


def save_adapter(
    model: PreTrainedModel, directory: Path, config: AdapterShape, *, name: str,
    body: str | None = None,
) -> None:  # fmt: skip
    """Write one adapter of a model.

    Args:
        model: holds it.
        directory: where to; created if need be.
        config: as it was made.
        name: inside the model, and in the files.
        body: fingerprint of the body it was trained on.
    """
    anatomy, text = anatomy_of(model.config), text_config(model.config)
    directory.mkdir(parents=True, exist_ok=True)
    entries = [
        safetensors_file.tensor_entry(_hub_name(key, anatomy, name), parameter.detach().cpu())
        for key, parameter in sorted(adapter_parameters(model, name).items())
    ]
    safetensors_file.write_file(directory / WEIGHTS_FILE, entries, {"format": "pt"})
    described = {
        "config": _to_hub(config), "hidden_size": text.hidden_size, "model_class":
        type(model).__name__, "model_name": None, "model_type": anatomy.family, "name": name,
    }  # fmt: skip
    write_json(directory / CONFIG_FILE, described)
    write_json(directory / "delta.json", {"kind": KIND, "schema": 1, "body": body})


def load_adapter(model: PreTrainedModel, directory: Path, *, name: str) -> PreTrainedModel:
    """Put a saved adapter into a model, behind those that are there; AdapterHub's too.

    Args:
        model: of the width and depth that it was made for.
        directory: holds the two files.
        name: inside the model.

    Raises:
        ArtifactError: where a file is missing or damaged.
        CompatibilityError: where it is of a kind that is not built here, or of another shape.
    """
    add_adapter(model, read_shape(directory), name)
    fill_adapter(model, directory, name)
    for parameter in adapter_parameters(model, name).values():
        parameter.requires_grad_(False)
    return model


def read_shape(directory: Path) -> AdapterShape:
    """How a saved adapter is built.

    Raises:
        ArtifactError: where its weights are missing or damaged.
        CompatibilityError: where it is of a kind that is not built here.
    """
    path = directory / WEIGHTS_FILE
    if not path.is_file():
        old = (directory / "pytorch_adapter.bin").is_file()
        raise ArtifactError(
            f"{directory} has no {WEIGHTS_FILE}"
            + (", but pytorch_adapter.bin, which could run code when it is read; save it again "
               "with AdapterHub's use_safetensors=True" if old else "")
        )  # fmt: skip
    safetensors_file.read_header(path)  # a clear error where the file is damaged
    return _from_hub(read_json(directory / CONFIG_FILE), directory)


def fill_adapter(
    model: PreTrainedModel, directory: Path, name: str, *, inside: str = ""
) -> None:  # fmt: skip
    """Copy a saved adapter's weights into one of its shape.

    Args:
        model: holds it.
        directory: of the files.
        name: in the model.
        inside: where it stands in what has this name, if that is more than the adapter.

    Raises:
        CompatibilityError: where the shapes differ.
    """
    mark = f".{name}.{inside}"
    wanted = {
        key: p for key, p in adapter_parameters(model, name).items()
        if mark in key.rpartition(ADAPTER_MARK)[2]
    }  # fmt: skip
    found = dict(_ours(load_file(directory / WEIGHTS_FILE), model, f"{name}.{inside}".rstrip(".")))
    fill(wanted, found, f"the adapter in {directory}")


def fill(wanted: Mapping[str, nn.Parameter], found: Mapping[str, Tensor], what: str) -> None:
    """Copy stored tensors into parameters of the same names and shapes.

    Raises:
        CompatibilityError: where some have no counterpart; names ``what``.
    """
    odd = sorted(wanted.keys() ^ found.keys()) or sorted(
        key for key in wanted if wanted[key].shape != found[key].shape
    )
    if odd:
        raise CompatibilityError(
            f"{what} does not fit the model: {odd[0]!r} has no counterpart of its shape "
            f"({len(odd)} such); it was made for another depth, width or family"
        )
    for key, parameter in wanted.items():
        parameter.data.copy_(found[key])


def fusion_name_of(ours: str, anatomy: Anatomy, name: str, hub: str) -> str:
    """AdapterHub's name of a tensor of the fusion that it calls ``hub``."""
    return _hub_name(ours, anatomy, hub).replace(f"adapters.{hub}.", f"adapter_fusion_layer.{hub}.")


def _hub_name(ours: str, anatomy: Anatomy, name: str) -> str:
    found = _OURS.fullmatch(ours)
    assert found is not None, ours
    path, site, rest = found["path"], found["site"], found["rest"]
    if site == "invertible":
        return f"{path}.invertible_adapters.{name}.{rest}"
    inside = {"output": "output", "attention": "attention.output"}[site]
    place = f"{inside}.adapters" if anatomy.masked else f"{site}_adapters.adapters"
    return f"{path}.{place}.{name}.{rest}"


def _ours(
    stored: dict[str, Tensor], model: PreTrainedModel, name: str
) -> Iterator[tuple[str, Tensor]]:
    """Names in the model for AdapterHub's, whose prefixes differ between its versions."""
    anatomy = anatomy_of(model.config)
    for key, tensor in stored.items():
        if coupling := _COUPLING.fullmatch(key):
            yield f"{anatomy.backbone}.{ADAPTER_MARK}_invertible.{name}.{coupling['rest']}", tensor
        elif found := _LAYER.fullmatch(key):
            site = "attention" if "attention" in found["site"] else "output"
            layer = f"{anatomy.layers}.{found['index']}"
            yield f"{layer}.{ADAPTER_MARK}_{site}.{name}.{found['rest']}", tensor
        else:
            yield key, tensor


def _to_hub(config: AdapterShape) -> dict[str, Any]:
    double = config.kind == "houlsby"
    return {
        "architecture": None, "mh_adapter": double, "output_adapter": True,
        "original_ln_before": not double, "adapter_residual_before_ln": False, **_PLAIN,
        "reduction_factor": config.reduction, "non_linearity": config.activation,
        "leave_out": list(config.leave_out), "inv_adapter": "nice" if config.invertible else None,
        "inv_adapter_reduction_factor": config.invertible_reduction if config.invertible else None,
    }  # fmt: skip


def _from_hub(described: dict[str, Any], directory: Path) -> AdapterShape:
    settings = described.get("config")
    if not isinstance(settings, dict):
        raise CompatibilityError(
            f"{directory / CONFIG_FILE} names no settings under 'config' but {settings!r}; save "
            "the adapter with a full config"
        )
    wanted = {**_PLAIN, "inv_adapter": settings.get("inv_adapter") and "nice"}
    odd = {k: settings[k] for k, v in wanted.items() if k in settings and settings[k] != v}
    double, before = bool(settings.get("mh_adapter")), bool(settings.get("original_ln_before"))
    reduction = settings.get("reduction_factor")
    if odd or not settings.get("output_adapter", True) or double == before:
        raise CompatibilityError(
            f"the adapter in {directory} is of a kind that is not built here ({odd or settings}); "
            "bottlenecks of Pfeiffer's and Houlsby's kind are, with NICE parts"
        )
    if not isinstance(reduction, int | float):
        raise CompatibilityError(
            f"the adapter in {directory} has reduction_factor={reduction!r}; one number is read"
        )
    return AdapterShape(
        kind="houlsby" if double else "pfeiffer", reduction=float(reduction),
        activation=str(settings.get("non_linearity", "relu")),
        leave_out=list(settings.get("leave_out") or []), invertible=bool(wanted["inv_adapter"]),
        invertible_reduction=float(settings.get("inv_adapter_reduction_factor") or 2),
    )  # fmt: skip
