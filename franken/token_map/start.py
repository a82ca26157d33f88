"""The map that a learned method starts from: that of another method, under its own name."""

from dataclasses import asdict
from typing import Any

from transformers import PreTrainedTokenizerBase

from franken.config.init_method.learned import LearnedInit
from franken.init_method.registry import load_method
from franken.parts.table import Table
from franken.token_map.resources import InitResources
from franken.token_map.token_map import TokenMap


def fit_start(
    source: Table,
    target: PreTrainedTokenizerBase,
    config: LearnedInit,
    resources: InitResources,
    seed: int,
) -> TokenMap:
    """Fit the map of ``config.start``."""
    fit = load_method(config.start)
    token_map = fit(source, target, config.start_options(), resources, seed)
    own: dict[str, Any] = {"method": config.name, "options": asdict(config), "start": config.start}
    token_map.notes = {**token_map.notes, **own}
    return token_map
