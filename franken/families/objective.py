"""Which head a checkpoint has: next token (causal) or masked token."""

from enum import StrEnum
from typing import Any

from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, PretrainedConfig
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
)

from franken.errors import CompatibilityError

_MASKED_ENDS = ("ForMaskedLM", "ForPreTraining")
_CAUSAL_ENDS = ("ForCausalLM", "LMHeadModel")


class Objective(StrEnum):
    """What a language model was trained to guess."""

    causal = "causal"
    """The next token."""
    masked = "masked"
    """Hidden tokens, from both sides (BERT, RoBERTa, XLM-R, DeBERTa)."""


def objective_of(config: PretrainedConfig) -> Objective:
    """Whether a config describes a masked or a causal language model.

    Types with both heads (BERT, XLM-R, ...) are what ``architectures`` names, else masked unless
    ``is_decoder`` is set. The decoders of translation models (BART) stay causal.
    """
    family = config.model_type
    if family not in MODEL_FOR_MASKED_LM_MAPPING_NAMES or config.is_encoder_decoder:
        return Objective.causal
    if family not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        return Objective.masked
    if MODEL_FOR_MASKED_LM_MAPPING_NAMES[family].endswith("ForConditionalGeneration"):
        return Objective.causal
    named = [str(name) for name in config.architectures or ()]
    if any(name.endswith(_MASKED_ENDS) for name in named):
        return Objective.masked
    if any(name.endswith(_CAUSAL_ENDS) for name in named):
        return Objective.causal
    return Objective.causal if getattr(config, "is_decoder", False) else Objective.masked


def language_model_types() -> list[str]:
    """Every ``model_type`` with a head of either kind."""
    return sorted({*MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, *MODEL_FOR_MASKED_LM_MAPPING_NAMES})


def model_classes(family: str) -> list[str]:
    """Names of the classes of models with a head of either kind that a type has."""
    mappings = (MODEL_FOR_CAUSAL_LM_MAPPING_NAMES, MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    return sorted({str(names[family]) for names in mappings if family in names})


def is_masked(config: PretrainedConfig) -> bool:
    """Whether the model guesses hidden tokens instead of next ones."""
    return objective_of(config) is Objective.masked


def auto_class(config: PretrainedConfig) -> Any:
    """The class of transformers by which anyone loads such a model."""
    return AutoModelForMaskedLM if is_masked(config) else AutoModelForCausalLM


def model_class(config: PretrainedConfig) -> Any:
    """The class of the model itself.

    Raises:
        CompatibilityError: where transformers has neither head for the type.
    """
    mapping: Any = MODEL_FOR_MASKED_LM_MAPPING if is_masked(config) else MODEL_FOR_CAUSAL_LM_MAPPING
    if type(config) not in mapping:
        raise CompatibilityError(
            f"transformers has no causal or masked language model of type {config.model_type!r}; "
            "franken works on what AutoModelForCausalLM and AutoModelForMaskedLM load"
        )
    found: Any = mapping[type(config)]
    return found
