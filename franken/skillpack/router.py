"""Small networks that say which pack answers, and their training on the packs' own losses.

The paper trains a classifier of prompts on training losses; layer, width and optimiser are not
stated, so all are options. Features are those of the model without packs.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torch.nn import functional as F

from franken.declare import find
from franken.errors import ArtifactError, DataError
from franken.files import read_json, write_json
from franken.parts import safetensors_file
from franken.parts.anatomy import anatomy_of
from franken.router.base import LearnedRouter, RouterFeature, RouterLevel
from franken.seeds import derive_seed
from franken.skillpack.experts import Experts

WEIGHTS_FILE = "router.safetensors"
DESCRIPTION_FILE = "router.json"


class PackRouter(nn.Module):
    """Standardised features ``(N, D)`` to logits over the experts ``(N, E)``."""

    def __init__(self, size: int, experts: list[str], config: LearnedRouter) -> None:
        super().__init__()
        self.experts, self.config, self.size = experts, config, size
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("scale", torch.ones(size))
        self.net = config.network(size, len(experts))

    def forward(self, features: Tensor) -> Tensor:
        """Logits."""
        mean, scale = self.get_buffer("mean"), self.get_buffer("scale")
        found: Tensor = self.net((features.float() - mean) / scale)
        return found

    def gates(self, features: Tensor) -> Tensor:
        """``(N, E)`` weights that sum to 1: the ``top_k`` likeliest, or none below ``abstain``."""
        logits = self(features)
        if not self.config.with_base:
            logits = logits.clone()
            logits[..., 0] = -torch.inf
        shares = logits.softmax(dim=-1)
        kept = shares.topk(min(self.config.top_k, shares.shape[-1]), dim=-1)
        gates = torch.zeros_like(shares).scatter(-1, kept.indices, kept.values)
        gates = gates / gates.sum(dim=-1, keepdim=True)
        if self.config.abstain > 0:
            unsure = shares.max(dim=-1).values < self.config.abstain
            gates[unsure] = F.one_hot(torch.tensor(0), shares.shape[-1]).to(gates)
        return gates

    def save(self, directory: Path) -> None:
        """Write weights and description."""
        directory.mkdir(parents=True, exist_ok=True)
        safetensors_file.write_file(
            directory / WEIGHTS_FILE,
            [safetensors_file.tensor_entry(k, v) for k, v in self.state_dict().items()],
            {"format": "pt"},
        )
        write_json(
            directory / DESCRIPTION_FILE,
            {"experts": self.experts, "size": self.size, "config": asdict(self.config)},
        )

    @classmethod
    def load(cls, directory: Path) -> "PackRouter":
        """The inverse of ``save``.

        Raises:
            ArtifactError: where a file is missing or damaged.
        """
        path = directory / DESCRIPTION_FILE
        if not path.is_file():
            raise ArtifactError(f"{directory} holds no router: {DESCRIPTION_FILE} is missing")
        content = read_json(path)
        settings: dict[str, Any] = content["config"]
        schema = OmegaConf.structured(find("router", settings["name"]))
        config: Any = OmegaConf.to_object(OmegaConf.merge(schema, settings))
        router = cls(content["size"], content["experts"], config)
        ranges, _ = safetensors_file.read_header(directory / WEIGHTS_FILE)
        router.load_state_dict({
            name: safetensors_file.read_tensor(directory / WEIGHTS_FILE, item)
            for name, item in ranges.items()
        })  # fmt: skip
        return router.eval()


def features_of(
    model: Any, config: LearnedRouter, *, past: Any = None, **inputs: Any
) -> tuple[Tensor, Any]:
    """``(B, L, D)`` features of every token, and the key-value cache behind them.

    Args:
        model: without a pack.
        config: which features.
        past: cache of the tokens before.
        inputs: input_ids and what else the backbone takes.
    """
    if config.feature is RouterFeature.embedding:
        return model.get_input_embeddings()(inputs["input_ids"]), None
    anatomy = anatomy_of(model.config)
    layers = list(model.get_submodule(anatomy.layers).children())
    caught: list[Tensor] = []
    place = layers[max(0, min(len(layers), round(config.depth * len(layers))) - 1)]

    def catch(module: Any, arguments: Any, output: Any) -> None:
        caught.append(output[0] if isinstance(output, tuple) else output)

    handle = place.register_forward_hook(catch)
    try:
        output = model.get_submodule(anatomy.backbone)(past_key_values=past, **inputs)
    finally:
        handle.remove()
    return caught[0], output.past_key_values


def pooled(states: Tensor, mask: Tensor) -> Tensor:
    """``(B, D)`` mean over the tokens that the mask ``(B, L)`` counts."""
    weights = mask.to(states.dtype)[..., None]
    return (states * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


@dataclass
class RouterReport:
    """How well the router does on examples it was not trained on."""

    accuracy: float
    """Share of held-out requests (tokens) for which it names the expert of least loss."""
    regret: float
    """Mean loss (nats per token) of its choice above that of the best expert."""
    confusion: list[list[int]]
    """Rows: best expert; columns: chosen one."""
    experts: list[str]


@torch.no_grad()
def losses_and_features(
    experts: Experts, examples: list[tuple[list[int], int]], config: LearnedRouter,
    device: Any = "cpu",
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Features ``(N, D)`` and losses ``(N, E)`` of requests, or of response tokens.

    Args:
        experts: the model and its packs.
        examples: token ids of prompt and response, and how many of them are the prompt.
        config: level and feature.
        device: of the model.
    """
    found, losses = [], []
    model = experts.model
    for ids, silent in examples:
        if silent >= len(ids):
            continue
        tokens = torch.tensor([ids], device=device)
        states, _ = features_of(
            model, config, input_ids=tokens[:, :-1], use_cache=False
        ) if config.feature is RouterFeature.hidden else features_of(
            model, config, input_ids=tokens[:, :-1]
        )  # fmt: skip
        own = []
        for expert in range(len(experts)):
            with experts.acting(expert):
                logits = model(input_ids=tokens[:, :-1], use_cache=False).logits[0].float()
            nll = F.cross_entropy(logits[silent - 1 :], tokens[0, silent:], reduction="none")
            own.append(nll)
        stacked = torch.stack(own, dim=1)
        if config.level is RouterLevel.token:
            found.append(states[0, silent - 1 :].float().cpu())
            losses.append(stacked.cpu())
        else:
            found.append(states[0, :silent].float().mean(dim=0, keepdim=True).cpu())
            losses.append(stacked.mean(dim=0, keepdim=True).cpu())
    if not found:
        raise DataError(
            "no example for the router has a response; give it more examples (router.examples), or "
            "a split whose tasks the data have"
        )
    return torch.cat(found), torch.cat(losses)


def train_router(
    experts: Experts, examples: list[tuple[list[int], int]], config: LearnedRouter, *, seed: int,
    device: Any = "cpu",
) -> tuple[PackRouter, RouterReport]:  # fmt: skip
    """Fit a router; a tenth of the examples, drawn, is kept out and judged by.

    Labels are ``softmax(-loss / temperature)`` over the experts: soft, so an
    example that all packs answer alike teaches nothing wrong.

    Raises:
        DataError: where there are too few examples to train on some and judge by others.
    """
    if len(examples) < 3:
        raise DataError(
            f"{len(examples)} examples are too few to train a router on; give it more "
            "(router.examples), or a split whose tasks the data have"
        )
    shuffle = torch.Generator().manual_seed(derive_seed(seed, "router", "held out"))
    order = torch.randperm(len(examples), generator=shuffle).tolist()
    kept = max(1, len(examples) // 10)
    held_out, training = ([examples[i] for i in part] for part in (order[:kept], order[kept:]))
    features, losses = losses_and_features(experts, training, config, device)
    if len(features) < 2:
        raise DataError(
            f"of {len(training)} training examples of the router only one has a response, and one "
            "alone has no spread; give it more (router.examples), or a split whose tasks the data "
            "have"
        )
    labels = (-losses / config.temperature).softmax(dim=1)
    if not config.with_base:
        labels[:, 0] = 0
        labels = labels / labels.sum(dim=1, keepdim=True).clamp(min=1e-9)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "router"))
        router = PackRouter(features.shape[1], experts.names, config)
        router.get_buffer("mean").copy_(features.mean(dim=0))
        spread = features.std(dim=0)  # what never varied says nothing, and is left as it is
        router.get_buffer("scale").copy_(torch.where(spread > 1e-6, spread, 1.0))
        optimiser = torch.optim.AdamW(router.parameters(), lr=config.lr, weight_decay=1e-3)
        router.train()
        for _ in range(config.epochs):
            for batch in torch.randperm(len(features)).split(config.batch_size):
                loss = F.cross_entropy(router(features[batch]), labels[batch])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimiser.step()
    router.eval()
    return router, _judge(router, *losses_and_features(experts, held_out, config, device))


@torch.no_grad()
def _judge(router: PackRouter, features: Tensor, losses: Tensor) -> RouterReport:
    chosen = router.gates(features).argmax(dim=1)
    options = losses if router.config.with_base else losses[:, 1:]
    best = options.argmin(dim=1) + (0 if router.config.with_base else 1)
    count = len(router.experts)
    confusion = torch.bincount(best * count + chosen, minlength=count * count)
    own = losses.gather(1, chosen[:, None])[:, 0]
    least = losses.gather(1, best[:, None])[:, 0]
    return RouterReport(
        float((chosen == best).float().mean()), float((own - least).mean()),
        confusion.reshape(count, count).tolist(), router.experts,
    )  # fmt: skip
