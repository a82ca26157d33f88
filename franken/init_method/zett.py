"""ZeTT (Minixhofer et al. 2024, arXiv 2405.07883): rows that a trained hypernetwork predicts.

``init_method.path`` is a hypernetwork of this very base model, with its tokenizer, in the release's
PyTorch layout (``franken/token_map/hypernetwork.py``). A new piece is cut into source pieces by
that tokenizer, its bytes as they would stand in running text; pieces longer than the network reads
lose their tail, as in the release, and are counted. Departures: the source's own pieces keep their
rows unless ``copy_overlap`` is false; a piece that needs tokens beyond the source's table (bytes
that the release adds) follows ``fallback``; a head's bias follows the map.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.errors import CompatibilityError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.token_map.builder import MapBuilder, texts_of
    from franken.token_map.engine import apply_map
    from franken.token_map.hypernetwork import Hypernetwork, load_hypernetwork
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import Provenance, TokenMap
    from franken.tokenizer.pieces import encode_pieces

_BATCH = 1024
_PARTS = ("input", "output")


@option
class ZettInit(InitMethod):
    """Rows that a hypernetwork trained for the base predicts from source pieces (ZeTT); set
    init_method.path.
    """

    paper: ClassVar[str] = "ZeTT, arXiv 2405.07883"
    map_says_all: ClassVar[bool] = False

    path: str = ""
    """The hypernetwork's directory: config.json, model.safetensors, tokenizer."""
    language: int | None = None
    """Number of the language, of networks that know several."""
    fallback: Fallback = Fallback.subtoken_mean
    """Rule for pieces that the network cannot read."""

    def paths(self) -> dict[str, str]:
        return {"path": self.path}

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("language", self.language, 0)
        if self.noise_std or self.norm_match:
            yield (
                "noise_std",
                "and norm_match would leave rows as the network says them; unset them",
            )

    def fit(
        self, source: Table, target: PreTrainedTokenizerBase, resources: InitResources, seed: int
    ) -> TokenMap:
        """Say which rows are predicted; the map holds their source pieces, in order.

        Raises:
            CompatibilityError: where the network is another model's.
        """
        directory = Path(self.path).expanduser()
        network = load_hypernetwork(directory)
        self._check(network, source)
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        rows = builder.undecided()
        forms = self._forms([builder.target_bytes[row] or b"" for row in rows])
        readable = {
            row: form[: network.longest] for row, form in zip(rows, forms, strict=True)
            if form and all(index < source.rows for index in form)
        }  # fmt: skip
        for row, form in readable.items():
            builder.put(row, form, [1 / len(form)] * len(form))
        builder.notes["zett"] = {
            "predicted": len(readable),
            "truncated": sum(len(form) > network.longest for form in forms),
        }
        return builder.build_with_fallback(self.fallback)

    def own_rows(self, token_map: TokenMap, source: Table, part: str) -> Tensor:
        """The map's rows, those of computed pieces replaced by the network's."""
        table = apply_map(token_map, source.matrices()[part], part=part)
        ids = (token_map.provenance == int(Provenance.computed)).nonzero().flatten()
        network = load_hypernetwork(Path(self.path).expanduser())
        given = torch.cat(
            [source.matrices()[name].float() for name in _PARTS[: 1 + network.twofold]], 1
        )
        texts = texts_of(token_map.keys)
        forms = self._forms([texts[row] or b"" for row in ids.tolist()])
        for at in range(0, len(ids), _BATCH):
            padded = torch.full((len(ids[at : at + _BATCH]), network.longest), network.padding)
            for place, form in enumerate(forms[at : at + _BATCH]):
                kept = form[: network.longest]
                padded[place, : len(kept)] = torch.tensor(kept)
            found = network(padded, given, self.language)
            rows = found.input if part == "input" else found.output
            table[ids[at : at + _BATCH]] = rows.to(table.dtype)
        return table

    def _forms(self, texts: list[bytes]) -> list[list[int]]:
        """Source ids that spell each text; none where its tokenizer has no token for a part."""
        cut = load_tokenizer(Path(self.path).expanduser())
        return [[] if cut.unk_token_id in form else form for form in encode_pieces(cut, texts)]

    def _check(self, network: Hypernetwork, source: Table) -> None:
        several = bool(network.config.get("hn_embed_lang_id"))
        if (network.row, network.twofold) != (source.hidden_size, not source.tied):
            raise CompatibilityError(
                f"init_method.path: the hypernetwork makes rows of {network.row}, "
                f"{'input and output' if network.twofold else 'one for both'}; the model has "
                f"{source.hidden_size}, {'one for both' if source.tied else 'input and output'}"
            )
        if several != (self.language is not None):
            raise CompatibilityError(
                "init_method.language is the number of one of the network's languages"
                if several else "init_method.language: this hypernetwork knows no languages"
            )  # fmt: skip
        if self.language is not None and self.language >= (known := network.config["n_langs"]):
            raise CompatibilityError(
                f"init_method.language={self.language}: the hypernetwork knows {known} languages, "
                "numbered from 0"
            )
