"""What franken can do with a model, told from its config alone."""

from dataclasses import asdict, dataclass

from transformers import PretrainedConfig

from franken.errors import CompatibilityError
from franken.families.discovery import skeleton
from franken.parts.anatomy import Anatomy, anatomy_of, text_config

NAMES = ("tables", "edge_layers", "lora", "packs", "layer_grids")
_PLAIN_LAYERS = frozenset(("full_attention", "sliding_attention", "attention"))


@dataclass(frozen=True)
class Capabilities:
    """``None`` where something works, else what is missing."""

    tables: str | None
    """Taking the vocabulary out and putting another in: all vocabulary work, and export."""
    edge_layers: str | None
    """``trainable=embeddings_and_edge_layers``."""
    lora: str | None
    packs: str | None
    """SkillPacks."""
    layer_grids: str | None
    """XTransplant."""

    def to_json(self) -> dict[str, str | None]:
        """Plain data."""
        return asdict(self)


def capabilities_of(config: PretrainedConfig) -> Capabilities:
    """What works on a model with this config, and what is missing for the rest."""
    try:
        anatomy = anatomy_of(config)
    except CompatibilityError as error:
        return Capabilities(str(error), *["it has no table"] * (len(NAMES) - 1))
    return Capabilities(
        tables=None,
        edge_layers=None if anatomy.layers else "no list of layers was found",
        lora=None if anatomy.attention else "no projections q, k, v, o were recognised in a layer",
        packs=_packs(config),
        layer_grids=_layer_grids(config, anatomy),
    )


def _packs(config: PretrainedConfig) -> str | None:
    """Packs go by tensor names, so a file must call tensors as the model does."""
    try:
        from transformers.conversion_mapping import get_model_conversion_mapping
        from transformers.core_model_loading import WeightConverter
    except ImportError:  # an earlier 5.x, which converts nothing
        return None
    model = skeleton(config)
    conversions = get_model_conversion_mapping(model, add_legacy=False)
    merged = [item for item in conversions if isinstance(item, WeightConverter)]
    if merged:
        return "files store tensors apart that the model joins (experts)"
    return None


def _layer_grids(config: PretrainedConfig, anatomy: Anatomy) -> str | None:
    if anatomy.masked:
        return "it guesses hidden tokens; grids are of models that write"
    if not anatomy.layers:
        return "no list of layers was found"
    kinds = set(getattr(text_config(config), "layer_types", None) or ())
    if foreign := sorted(kinds - _PLAIN_LAYERS):
        return f"layers of kind {', '.join(foreign)} keep no key-value cache"
    if "o" not in anatomy.attention:
        return "no attention output was recognised in a layer"
    if anatomy.mlp is None and "down" not in anatomy.feed_forward:
        return "no feed-forward output was recognised in a layer"
    return None
