"""Hyper-X: a network that makes an adapter's weights from a task, a language and a layer.

Ustun et al., EMNLP 2022, arXiv 2205.12148. ``s = MLP([task; language; layer])``, and linear maps of
s are the matrices of a bottleneck in that layer. A pair of task and language that was never seen
together has an adapter as any other has. Not here: the adapter's norm (its scale and shift are made
too in the release) and biases.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedModel

from franken.errors import ConfigError
from franken.files import read_json, write_json
from franken.parts.anatomy import text_config
from franken.parts.bottleneck import AdapterShape, Bottleneck, add_adapter, add_modules

FILE, WEIGHTS = "hyper.json", "hyper.safetensors"
NAME = "hyper"
"""Of the places inside a model."""


class HyperNetwork(nn.Module):
    """Makes ``(b, D)`` and ``(D, b)`` matrices of a layer for what :meth:`choose` named."""

    def __init__(
        self, tasks: Sequence[str], languages: Sequence[str], *, layers: int, width: int,
        reduction: float, embedding: int = 64, hidden: int = 192,
    ) -> None:  # fmt: skip
        """Draws from the global generators.

        Args:
            tasks: names.
            languages: names.
            layers: of the model.
            width: D of its states.
            reduction: D over b, the bottleneck's width.
            embedding: width of the three embeddings.
            hidden: width of the MLP and of s.
        """
        super().__init__()
        self.tasks, self.languages = list(tasks), list(languages)
        self.sizes: dict[str, Any] = {
            "layers": layers, "width": width, "reduction": reduction, "embedding": embedding,
            "hidden": hidden,
        }  # fmt: skip
        self.inner = inner = max(1, int(width // reduction))
        self.task = nn.Embedding(len(self.tasks), embedding)
        self.language = nn.Embedding(len(self.languages), embedding)
        self.layer = nn.Embedding(layers, embedding)
        self.first, self.second = nn.Linear(3 * embedding, hidden), nn.Linear(hidden, hidden)
        self.down = nn.Linear(hidden, inner * width, bias=False)
        self.up = nn.Linear(hidden, width * inner, bias=False)
        nn.init.normal_(self.down.weight, std=hidden**-0.5 / width**0.5)
        nn.init.zeros_(self.up.weight)  # training begins at the model itself
        self._chosen = (0, 0)

    def choose(self, task: str, language: str) -> None:
        """Say whose weights are made from now on.

        Raises:
            ConfigError: for a task or language that has no embedding.
        """
        for what, name, known in (
            ("task", task, self.tasks), ("language", language, self.languages)
        ):  # fmt: skip
            if name not in known:
                raise ConfigError(
                    f"the hypernetwork has no {what} {name!r}; it knows {', '.join(known)}"
                )
        self._chosen = self.tasks.index(task), self.languages.index(language)

    def weights(self, layer: int) -> tuple[Tensor, Tensor]:
        """Down and up matrix of a layer."""
        task, language = self._chosen
        whole = torch.cat(
            [self.task.weight[task], self.language.weight[language], self.layer.weight[layer]]
        )
        source = self.second(F.relu(self.first(whole)))
        inner, width = self.inner, self.sizes["width"]
        return self.down(source).view(inner, width), self.up(source).view(width, inner)


class Generated(nn.Module):
    """A place in a layer whose adapter a hypernetwork makes; the network is no part of it."""

    def __init__(self, network: HyperNetwork, layer: int) -> None:
        super().__init__()
        self._network, self.layer = [network], layer

    def forward(self, x: Tensor) -> Tensor:
        """``U relu(D x)``."""
        down, up = self._network[0].weights(self.layer)
        return F.linear(F.relu(F.linear(x, down)), up)


def network_for(
    model: PreTrainedModel, tasks: Sequence[str], languages: Sequence[str], *, reduction: float,
    embedding: int, hidden: int, seed: int,
) -> HyperNetwork:  # fmt: skip
    """A fresh network of a model's shape; the global generators stay as they were."""
    text = text_config(model.config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return HyperNetwork(
            tasks, languages, layers=int(text.num_hidden_layers), width=int(text.hidden_size),
            reduction=reduction, embedding=embedding, hidden=hidden,
        )  # fmt: skip


def put_network(model: PreTrainedModel, network: HyperNetwork) -> None:
    """Let a network make the adapters behind every layer of a model."""
    numbers = iter(range(network.sizes["layers"]))
    add_modules(
        model, AdapterShape(), NAME, lambda: Generated(network, next(numbers)), seed=0
    )  # fmt: skip


def save_network(network: HyperNetwork, directory: Path) -> None:
    """Write a network."""
    weights = {name: p.detach().cpu().contiguous() for name, p in network.named_parameters()}
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})
    said = {"tasks": network.tasks, "languages": network.languages, "sizes": network.sizes}
    write_json(directory / FILE, {"kind": "hyper", "schema": 1, **said})


def has_network(directory: Path) -> bool:
    """Whether a directory holds one."""
    return (directory / FILE).is_file()


def load_network(directory: Path) -> HyperNetwork:
    """The inverse of :func:`save_network`."""
    said: dict[str, Any] = read_json(directory / FILE)
    network = HyperNetwork(said["tasks"], said["languages"], **said["sizes"])
    network.load_state_dict(load_file(directory / WEIGHTS))
    return network.requires_grad_(False)


def put_plain(model: PreTrainedModel, network: HyperNetwork, name: str) -> AdapterShape:
    """Put what a network makes for its choice into a model, as a plain adapter.

    Returns:
        Its shape.
    """
    shape = AdapterShape(reduction=network.sizes["reduction"])
    add_adapter(model, shape, name)
    places = [
        module for path, module in model.named_modules()
        if isinstance(module, Bottleneck) and path.endswith(f".{name}")
    ]  # fmt: skip
    with torch.no_grad():
        for layer, place in enumerate(places):
            down, up = network.weights(layer)
            lower: Any = place.adapter_down[0]
            lower.weight.copy_(down)
            place.adapter_up.weight.copy_(up)
    return shape
