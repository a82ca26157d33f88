"""What both transfers share: rows fitted for a tokenizer, and what is given back of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from franken.files import write_json
from franken.init_method import initialise
from franken.library.given import Given
from franken.library.resources import fit_resources
from franken.parts.table import Table
from franken.seeds import derive_seed
from franken.token_map.resources import InitResources
from franken.token_map.storage import save_map
from franken.token_map.token_map import TokenMap


@dataclass
class FittedRows:
    """Rows of a tokenizer and how they came about."""

    tokenizer: PreTrainedTokenizerBase
    """The target tokenizer."""
    map: TokenMap
    """Where every row came from: ``map.row(id)``, ``map.counts()``."""
    table: Table
    """The new rows, on the CPU."""
    resources: InitResources = field(repr=False)
    """Alignments, vectors or helper that were fitted; they may be handed to another method."""

    @property
    def report(self) -> dict[str, Any]:
        """Routes, examples, doubled rows and norms; plain JSON."""
        return self.table.provenance


def fit_rows(
    config: Any, source: Table, target: PreTrainedTokenizerBase, given: Given, seed: int, *,
    call: str, helper: Any, vectors: Any, makers: Mapping[str, Any], device: str,
) -> tuple[Table, TokenMap, InitResources]:  # fmt: skip
    """The rows of a method's options, and what they were made from.

    Args:
        config: options of the method.
        source: the old table; its lineage is the new one's.
        target: the new tokenizer.
        given: texts, pairs and lexicons.
        seed: of the call.
        call: what the caller called, for messages.
        helper: as of ``fit_resources``, like ``vectors`` and ``makers``.
        vectors: see there.
        makers: see there.
        device: where neighbours and products are computed.
    """
    resources = fit_resources(
        config, source, target, given, seed, call=call, helper=helper, vectors=vectors,
        makers=makers,
    )  # fmt: skip
    resources.device = device
    own_seed = derive_seed(seed, "init_method", config.name)
    table, token_map = initialise(source, target, config, resources, own_seed)
    return table, token_map, resources


def save_origins(token_map: TokenMap, report: dict[str, Any], directory: Path) -> None:
    """Map and report of a transfer, in ``token_map`` of the model's directory."""
    place = directory / "token_map"
    save_map(token_map, place)
    write_json(place / "report.json", report)
