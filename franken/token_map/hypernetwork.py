"""ZeTT's hypernetwork in PyTorch's layout (bminixhofer/zett, ``hf_hypernet``): pieces to rows.

A token is the few source pieces that spell it. Their rows, input and output side by side where the
model is untied, pass a projection and a RoBERTa encoder; from the first position come the token's
own rows. Names of modules are those of the release, so that its files load; nothing of its code is
run. As there, networks with priors or attention between tokens have no such layout.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.functional import gelu
from transformers import RobertaConfig, RobertaModel

from franken.errors import CompatibilityError, DataError
from franken.files import read_json

_WEIGHTS, _CONFIG = "model.safetensors", "config.json"
_MISSING = ("hn_add_inter_token_attention", "hn_embed_target_priors")


@dataclass
class Predicted:
    """Rows of some tokens."""

    input: Tensor
    output: Tensor | None
    bias: Tensor | None
    """``(n,)``; ``None`` where the network predicts none."""


class Rescaler(nn.Module):
    """``w x + b``, element by element."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.w, self.b = nn.Parameter(torch.ones(1, dim)), nn.Parameter(torch.zeros(1, dim))

    def forward(self, rows: Tensor) -> Tensor:
        """Rows ``(..., D)``."""
        return self.w * rows + self.b


class ProjectorBlock(nn.Module):
    """A residual block of two layers."""

    def __init__(self, dim: int, inner: int) -> None:
        super().__init__()
        self.dense1, self.dense2 = nn.Linear(dim, inner), nn.Linear(inner, dim)
        self.ln = nn.LayerNorm(dim, eps=1e-6)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows ``(..., D)``."""
        inner = gelu(self.dense1(rows), approximate="tanh")
        found: Tensor = self.ln(gelu(self.dense2(inner), approximate="tanh") + rows)
        return found


class Hypernetwork(nn.Module):
    """Modules by the release's config."""

    def __init__(self, config: dict[str, Any], positions: int, words: int) -> None:
        super().__init__()
        self.config = config
        width, inner = config["hn_hidden_size"], config["hn_intermediate_size"]
        self.row = int(config["n_embd"])
        self.twofold = bool(config.get("separate_out_embeddings"))
        self.longest = int(config["hn_surface_maxlen"])
        self.padding = int(config["pad_token_id"])
        given = self.row * (2 if self.twofold else 1)
        single = bool(config.get("hn_single_head"))
        self.model = RobertaModel(
            RobertaConfig(
                vocab_size=words, hidden_size=width, intermediate_size=inner,
                num_hidden_layers=config["hn_n_layers"], type_vocab_size=1, layer_norm_eps=1e-5,
                num_attention_heads=config.get("hn_num_attention_heads") or width // 64,
                max_position_embeddings=positions, pad_token_id=1,
            ),
            add_pooling_layer=False,
        )  # fmt: skip
        self.fallback_embeddings = nn.Embedding(max(config.get("hn_n_extra_tokens") or 0, 1), given)
        if config.get("hn_embed_lang_id"):
            self.lang_embeddings = nn.Embedding(config["n_langs"], width)
        self.input_projection = nn.Sequential(nn.Linear(given, width), ProjectorBlock(width, inner))
        flat = width * (self.longest if config.get("hn_concat_last_hidden_state") else 1)
        if flat != width:
            raise CompatibilityError("a hypernetwork with hn_concat_last_hidden_state is not read")

        def head(size: int) -> nn.Module:
            return nn.Sequential(ProjectorBlock(width, inner), nn.Linear(width, size))

        self.output_projection = head(given if single else self.row)
        if self.twofold and not single:
            self.output_projection_out = head(self.row)
        if config.get("hn_rescale_embeddings"):
            self.in_scaler, self.scaler = Rescaler(given), Rescaler(self.row)
            if self.twofold:
                self.out_scaler = Rescaler(self.row)
        if config.get("hn_predict_bias"):
            self.bias_projection = nn.Linear(width, 1)

    @torch.no_grad()
    def forward(self, forms: Tensor, rows: Tensor, language: int | None = None) -> Predicted:
        """Rows of tokens.

        Args:
            forms: ``(n, longest)`` source ids of each token, padded on the right.
            rows: ``(V, D)`` or ``(V, 2 D)`` source rows, input before output.
            language: of networks that know several.
        """
        given = rows[forms.clamp(max=len(rows) - 1)]
        scaled = bool(self.config.get("hn_rescale_embeddings"))
        states = self.input_projection(self.in_scaler(given) if scaled else given)
        seen = forms != self.padding
        if language is not None:
            states = torch.cat([states, self._language(language, forms)], 1)
            seen = torch.cat([seen, seen.new_ones(len(seen), 1)], 1)
        places = torch.arange(seen.shape[1]).expand_as(seen)
        encoded = self.model(inputs_embeds=states, attention_mask=seen, position_ids=places)
        first = encoded.last_hidden_state[:, 0]
        made = self.output_projection(first)
        inward, outward = made[:, : self.row], None
        if self.twofold:
            single = bool(self.config.get("hn_single_head"))
            outward = made[:, self.row :] if single else self.output_projection_out(first)
        if scaled:
            inward = self.scaler(inward)
            outward = None if outward is None else self.out_scaler(outward)
        biased = bool(self.config.get("hn_predict_bias"))
        return Predicted(inward, outward, self.bias_projection(first)[:, 0] if biased else None)

    def _language(self, language: int, forms: Tensor) -> Tensor:
        """``(n, 1, H)`` the language's vector, less what the encoder adds at its place."""
        added = self.model.embeddings
        place = torch.tensor(forms.shape[1])
        vector: Tensor = self.lang_embeddings(torch.tensor(language)) - (
            added.token_type_embeddings(torch.tensor(0)) + added.position_embeddings(place)
        )
        return vector[None, None].expand(len(forms), -1, -1)


def load_hypernetwork(directory: Path) -> Hypernetwork:
    """Read a network of the release's PyTorch layout.

    Raises:
        DataError: where files are missing.
        CompatibilityError: for a network of another kind, or weights that do not fit its config.
    """
    places = [directory / name for name in (_CONFIG, _WEIGHTS)]
    for place in places:
        if not place.is_file():
            raise DataError(
                f"init_method.path: {place} is missing; a ZeTT hypernetwork is a directory with "
                f"{_CONFIG}, {_WEIGHTS} and its tokenizer (convert other formats first)"
            )
    config: dict[str, Any] = read_json(places[0])
    asked = [name for name in _MISSING if config.get(name)]
    if asked or not config.get("hn_embed_using_source_embeddings"):
        raise CompatibilityError(
            f"{directory}: only hypernetworks over the source model's rows, without priors and "
            f"attention between tokens, have a PyTorch layout; this one has "
            f"{', '.join(asked) or 'no hn_embed_using_source_embeddings'}"
        )
    weights = load_file(places[1])
    tables = [
        weights.get(f"model.embeddings.{name}_embeddings.weight") for name in ("position", "word")
    ]
    if tables[0] is None:
        raise CompatibilityError(f"{places[1]} has no model.embeddings.position_embeddings.weight")
    words = int(config["pad_token_id"]) + 1 if tables[1] is None else len(tables[1])
    network = Hypernetwork(config, len(tables[0]), max(words, 2))
    found = network.load_state_dict({k: v.float() for k, v in weights.items()}, strict=False)
    # word embeddings are never read; position ids are a buffer of older files
    missing = [name for name in found.missing_keys if "word_embeddings" not in name]
    surplus = [name for name in found.unexpected_keys if not name.endswith("position_ids")]
    if missing or surplus:
        raise CompatibilityError(
            f"{places[1]} does not fit its config: missing {', '.join(missing[:4]) or 'nothing'}, "
            f"beyond it {', '.join(surplus[:4]) or 'nothing'}"
        )
    return network.eval()
