"""Heads that label texts or words, on the body of a masked language model.

The classes are those of ``transformers`` (``AutoModelForSequenceClassification``,
``AutoModelForTokenClassification``), so that an export is loaded by anyone. A head *shares* the
body: what is put into the language model (a table, LoRA, adapters) acts under the head, too.
"""

import contextlib
import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
)

from franken.errors import ArtifactError, CompatibilityError
from franken.families.objective import is_masked
from franken.files import read_json, write_json
from franken.parts.label_set import LabelledUnit, LabelSet

FILE, WEIGHTS = "head.json", "head.safetensors"
SCHEMA = 1
_HELD = "label_head"
_CLASSES: dict[LabelledUnit, Any] = {
    LabelledUnit.sentence: MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
    LabelledUnit.token: MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
}


class Labeller(Protocol):
    """What labels texts or words: a head, or several together."""

    @property
    def labels(self) -> LabelSet:
        """What it tells apart."""
        ...

    def logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``(B, C)`` of whole texts, ``(B, L, C)`` of tokens."""
        ...


@dataclass(frozen=True)
class LabelHead:
    """A head on a model's body.

    Attributes:
        classifier: the model of transformers; its body is the language model's own.
        labels: what it tells apart.
        names: of the parameters that are the head's, as the classifier calls them.
        borrowed: children that the body has for the head alone (BERT's pooler).
        teacher: on a model of its own; what it says is learnt in the place of labels.
    """

    classifier: PreTrainedModel
    labels: LabelSet
    names: list[str]
    borrowed: list[str]
    teacher: "LabelHead | None" = None

    def parameters(self) -> dict[str, nn.Parameter]:
        """The head's own, by name."""
        own = dict(self.classifier.named_parameters())
        return {name: own[name] for name in self.names}

    def modules(self) -> list[nn.Module]:
        """The head's own parts."""
        body = getattr(self.classifier, self.classifier.base_model_prefix)
        return [
            *(child for child in self.classifier.children() if child is not body),
            *(getattr(body, name) for name in self.borrowed),
        ]

    def logits(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """``(B, C)`` of whole texts, ``(B, L, C)`` of tokens."""
        found = self.classifier(input_ids=input_ids, attention_mask=attention_mask)
        logits: Tensor = found.logits
        return logits

    @contextlib.contextmanager
    def held_by(self, model: PreTrainedModel) -> Iterator[None]:
        """While open, the head is a part of the model: what goes by its parameters finds it."""
        model.add_module(_HELD, self.classifier)
        try:
            yield
        finally:
            del model._modules[_HELD]

    def release(self) -> None:
        """Take what was put into the body out again."""
        body = getattr(self.classifier, self.classifier.base_model_prefix)
        for name in self.borrowed:
            setattr(body, name, None)


def put_head(model: PreTrainedModel, labels: LabelSet, *, seed: int = 0) -> LabelHead:
    """A fresh head on a model's body, its weights drawn as transformers draws them.

    Args:
        model: a masked language model.
        labels: what is to be told apart, and in what.
        seed: of the weights; the global generators stay as they were.

    Raises:
        CompatibilityError: for a causal model, and where transformers has no such head.
    """
    kind = _class_for(model.config, labels.unit)
    config = copy.deepcopy(model.config)
    config.id2label = dict(enumerate(labels.names))
    config.label2id = labels.index()
    with torch.device("meta"):
        classifier: PreTrainedModel = kind(config)
    prefix = classifier.base_model_prefix
    body, empty = getattr(model, prefix, None), getattr(classifier, prefix, None)
    if body is None or empty is None:
        raise CompatibilityError(
            f"{type(model).__name__} and {kind.__name__} do not share a body called {prefix!r}; "
            "heads are there for families whose models do"
        )
    borrowed = [name for name, _ in empty.named_children() if getattr(body, name, None) is None]
    for name in borrowed:
        setattr(body, name, getattr(empty, name))
    setattr(classifier, prefix, body)
    fresh = [name for name, parameter in classifier.named_parameters() if parameter.is_meta]
    _draw(classifier, model.device, seed)
    classifier.eval()
    return LabelHead(classifier, labels, fresh, borrowed)


def save_head(head: LabelHead, directory: Path) -> None:
    """Write a head's own weights and labels."""
    directory.mkdir(parents=True, exist_ok=True)
    weights = {name: p.detach().cpu().contiguous() for name, p in head.parameters().items()}
    save_file(weights, directory / WEIGHTS, metadata={"format": "pt"})
    write_json(
        directory / FILE,
        {
            "kind": "label_head", "schema": SCHEMA, "unit": str(head.labels.unit),
            "labels": list(head.labels.names), "class": type(head.classifier).__name__,
        },
    )  # fmt: skip


def read_labels(directory: Path) -> LabelSet:
    """What a stored head tells apart."""
    found: Mapping[str, Any] = read_json(directory / FILE)
    if found.get("kind") != "label_head":
        raise ArtifactError(f"{directory / FILE} describes no head; expected kind 'label_head'")
    return LabelSet(LabelledUnit(found["unit"]), tuple(found["labels"]))


def load_head(model: PreTrainedModel, directory: Path) -> LabelHead:
    """Put a stored head on a model's body.

    Raises:
        CompatibilityError: where it was made for a body of another width or family.
    """
    head = put_head(model, read_labels(directory))
    stored, own = load_file(directory / WEIGHTS), head.parameters()
    shapes = {name: tuple(value.shape) for name, value in stored.items()}
    wanted = {name: tuple(value.shape) for name, value in own.items()}
    if shapes != wanted:
        head.release()
        raise CompatibilityError(
            f"the head in {directory} has the tensors {shapes}, a head on this "
            f"{type(model).__name__} has {wanted}; take the head of a model of the same family and "
            "width"
        )
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(stored[name])
    return head


def _class_for(config: PretrainedConfig, unit: LabelledUnit) -> Any:
    if not is_masked(config):
        raise CompatibilityError(
            f"this {config.model_type} guesses next tokens; heads that label are put on masked "
            "language models. A causal one answers: eval_suite=topics asks it"
        )
    mapping = _CLASSES[unit]
    if type(config) not in mapping:
        raise CompatibilityError(
            f"transformers has no model of type {config.model_type!r} that labels a {unit}"
        )
    return mapping[type(config)]


def _draw(classifier: PreTrainedModel, device: torch.device, seed: int) -> None:
    """Give weights to what has none yet, module by module, as the family does."""
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.default_generator.manual_seed(seed)  # manual_seed would set those of GPUs, too
        for module in list(classifier.modules()):
            own = [*module.parameters(recurse=False), *module.buffers(recurse=False)]
            if not any(tensor.is_meta for tensor in own):
                continue
            module.to_empty(device="cpu", recurse=False)
            for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False)):
                tensor.zero_()
            classifier._init_weights(module)
            module.to(device)
