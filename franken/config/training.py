"""Options of the group ``training``: a set of schedules, one per phase of a recipe."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.util import find_spec
from typing import Any

from franken.config.amounts import bytes_of
from franken.config.checks import at_least, checks_itself, in_range, members_by_name
from franken.declare import schema


class Trainable(StrEnum):
    """What a training step changes."""

    embeddings = "embeddings"
    """Input and output embeddings (and head bias); the body is frozen."""
    body = "body"
    """Everything but the embeddings."""
    full = "full"
    lora = "lora"
    """LoRA (peft) on the projections of ``lora.targets``; body and embeddings are frozen."""
    lora_and_embeddings = "lora_and_embeddings"
    """``lora`` and ``embeddings`` at once, as peft does with ``modules_to_save``."""
    adapter = "adapter"
    """A bottleneck adapter (MAD-X) over those that the model carries; all else is frozen."""
    fusion = "fusion"
    """The attention over adapters that a ``fuse`` step put side by side; all else is frozen."""
    embeddings_and_edge_layers = "embeddings_and_edge_layers"
    """Embeddings plus the first and last ``edge_layers`` transformer layers."""


ADDS_LORA = (Trainable.lora, Trainable.lora_and_embeddings)
"""What puts LoRA into the model."""

BESIDE_BODY = (*ADDS_LORA, Trainable.adapter, Trainable.fusion)
"""What trains modules that are added to a body."""

FROZEN_BODY = (*BESIDE_BODY, Trainable.embeddings)
"""What trains beside a body that stays as it is."""

CHANGES_BODY = (Trainable.body, Trainable.full, Trainable.embeddings_and_edge_layers)
"""What changes weights of the body itself."""

CHANGES_TABLE = (
    Trainable.embeddings, Trainable.lora_and_embeddings, Trainable.full,
    Trainable.embeddings_and_edge_layers,
)  # fmt: skip
"""What changes the rows of embeddings and head."""

LORA_TARGETS = ("q", "k", "v", "o", "gate", "up", "down")
"""Roles of linear layers that LoRA can adapt."""


class EmbeddingSides(StrEnum):
    """For untied models: which embeddings ``embeddings`` means."""

    both = "both"
    input = "input"
    output = "output"


class Schedule(StrEnum):
    """Course of the learning rate after warm-up."""

    constant = "constant"
    cosine = "cosine"
    linear = "linear"
    wsd = "wsd"
    """Warm-up, stable, decay: constant until the last ``decay`` of the steps, then linear."""


class BodyType(StrEnum):
    """Number format of frozen weights."""

    auto = "auto"
    """bfloat16 on a GPU that has it, else float32."""
    float32 = "float32"
    bfloat16 = "bfloat16"
    int8 = "int8"
    """Linear layers by LLM.int8() where nothing of the body trains, the rest as ``auto``: by
    bitsandbytes (pip install 'franken[quantised]')."""
    nf4 = "nf4"
    """As ``int8``, in the 4-bit normal floats of QLoRA."""

    @property
    def quantised(self) -> bool:
        """Whether linear layers have fewer than 16 bits."""
        return self in (BodyType.int8, BodyType.nf4)


@dataclass
class LoraConfig:
    """Low-rank adapters on linear layers (Franken-Adapter 2.7)."""

    rank: int = 64
    """Columns of each factor."""
    alpha: float | None = None
    """``null``: equal to the rank (unstated in the paper)."""
    dropout: float = 0.0
    """Share of the adapter's inputs that a training step leaves out."""
    targets: list[str] = field(default_factory=lambda: ["q", "k", "v", "o"])
    """Layers by role: the attention projections q, k, v, o and the feed-forward layers gate, up,
    down (families without a gate have the other two). Franken-Adapter says self-attention, not
    which."""
    first: int | None = None
    """Adapters in this many first layers, and in ``last`` last ones, alone (LayRA: 10 and 2 of 32);
    ``null`` for both: in all."""
    last: int | None = None
    """Adapters in this many last layers; see ``first``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from at_least("rank", self.rank, 1)
        yield from in_range("dropout", self.dropout, 0.0, 1.0)
        yield from at_least("first", self.first, 0)
        yield from at_least("last", self.last, 0)
        if (self.first, self.last) == (0, 0):
            yield "first", "and last are 0, so no layer has an adapter"
        if not self.targets or not set(self.targets) <= set(LORA_TARGETS):
            names = ", ".join(LORA_TARGETS)
            yield "targets", f"must be a non-empty subset of {names}; got {self.targets}"


class AdapterKind(StrEnum):
    """Where a layer's adapters sit."""

    pfeiffer = "pfeiffer"
    """One behind the feed-forward block and its residual sum."""
    houlsby = "houlsby"
    """One on the output of attention, one on that of the feed-forward block."""


TRAINED_ADAPTER = "trained"
"""Name inside the model of the adapter that a training phase puts in."""

TEXT_TASK = "text"
"""Of a hypernetwork: hidden tokens, so that a language without labels has an embedding."""


@members_by_name
@dataclass
class AdapterConfig:
    """Bottleneck adapters (Houlsby et al. 2019; Pfeiffer et al. 2020, MAD-X)."""

    kind: AdapterKind = AdapterKind.pfeiffer
    reduction: float = 16.0
    """Width of the layers over that of the bottleneck; MAD-X: 2 for languages, 16 for tasks."""
    activation: str = "relu"
    """By transformers' name: relu, gelu, swish, ..."""
    leave_out: list[int] = field(default_factory=lambda: [])
    """Layers without one; -1 is the last, which MAD-X 2.0 leaves out."""
    invertible: bool = False
    """Also a NICE coupling on the embeddings, undone before a head that is tied to them."""
    invertible_reduction: float = 2.0
    """Half a row's width over that of the coupling's inner layer."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("reduction", "invertible_reduction"):
            if not getattr(self, key) > 0:
                yield key, f"must be positive, got {getattr(self, key)}"


@dataclass
class MaskingConfig:
    """Which tokens a masked language model has to guess; drawn anew each time, by the seed."""

    rate: float = 0.15
    """Share of the tokens (or words) of text that are hidden."""
    whole_words: bool = False
    """Hide all tokens of a word, or none; a word begins at a space."""
    masked: float = 0.8
    """Share of the hidden tokens in whose place the mask token stands."""
    random: float = 0.1
    """Share in whose place a token of text stands, drawn evenly; the rest is left as it is."""

    def faults(self) -> Iterator[tuple[str, str]]:
        for key in ("rate", "masked", "random"):
            yield from in_range(key, getattr(self, key), 0.0, 1.0)
        if self.rate <= 0:
            yield "rate", "hides no token, so nothing is learnt; 0.15 is usual"
        if self.masked + self.random > 1:
            yield "random", f"and masked add up to {self.masked + self.random}, more than 1"


class ShieldScore(StrEnum):
    """What says that an input column of a matrix carries what was learnt before."""

    paper = "paper"
    """The sum of its magnitudes times the length of its inputs."""
    released = "released"
    """Its length times its mean squared input: what the authors' code computes."""
    magnitude = "magnitude"
    """The sum of its magnitudes alone; no text is read."""
    random = "random"
    """Nothing: a control."""


class OptimizerName(StrEnum):
    """What moves the weights."""

    adamw = "adamw"
    adamw8bit = "adamw8bit"
    """AdamW with its two moments in 8 bits, by bitsandbytes (pip install 'franken[quantised]')."""
    adafactor = "adafactor"
    """AdamW with Adafactor's second moment, of rows and columns, and the first in bfloat16 (Zhai et
    al. 2022): 2 bytes per weight where AdamW keeps 8, and no package."""
    muon = "muon"
    """Muon (Jordan et al. 2024) for the body's matrices, its steps scaled to AdamW's size (Liu et
    al. 2025, arXiv 2502.16982) so that ``lr`` serves both; AdamW for tables, norms and biases."""


@members_by_name
@dataclass
class ShieldOptions:
    """Source-shielded updates: columns of the body's matrices that do not change (SSU)."""

    share: float = 0.0
    """Of the input columns of every matrix, those that matter most for the step's ``earlier``; 0.5
    in the paper, 0 switches it off. Norms and biases stay too."""
    examples: int = 64
    """Documents of each split under ``earlier`` on which inputs are measured."""
    score: ShieldScore = ShieldScore.paper

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from in_range("share", self.share, 0.0, 1.0)
        yield from at_least("examples", self.examples, 1)

    def reads_text(self) -> bool:
        """Whether splits learnt before are needed."""
        return self.share > 0 and self.score in (ShieldScore.paper, ShieldScore.released)


@checks_itself
@members_by_name
@dataclass
class TrainingConfig:
    """One training phase."""

    steps: int = 1000
    """Optimiser steps."""
    budget: str | None = None
    """Bytes of text to read instead, e.g. ``50MB``: as many steps as that takes, so that models of
    different tokenizers read the same amount. ``null``: ``steps`` counts."""
    batch_size: int = 32
    """Sequences per optimiser step (split over ``accumulate`` forward passes)."""
    sequence_length: int = 128
    """Tokens per packed sequence."""
    accumulate: int = 1
    """Forward passes per optimiser step."""
    optimizer: OptimizerName = OptimizerName.adamw
    lr: float = 1e-3
    """Highest learning rate, reached after the warm-up."""
    schedule: Schedule = Schedule.constant
    warmup: float = 0.0
    """Warm-up as a share of ``steps``."""
    final_lr_ratio: float = 0.0
    """Where cosine and linear schedules end, as a share of ``lr``."""
    decay: float = 0.1
    """Read by the schedule ``wsd``: share of ``steps`` at the end over which the rate falls."""
    betas: list[float] = field(default_factory=lambda: [0.9, 0.95])
    """AdamW's decay of the running means of gradients and of their squares."""
    eps: float = 1e-8
    """AdamW's term that keeps divisions finite."""
    weight_decay: float = 0.0
    """Never applied to embeddings, norms and biases."""
    anchor: float = 0.0
    """Pull towards the weights at the start: ``anchor / 2 * |w - w_0|^2`` is added to the loss, as
    EWC does with all importances equal (L2-SP); 0 switches it off."""
    anchor_l1: float = 0.0
    """Pull by distance: ``anchor_l1 * sum |w - w_0| / N`` over the N trained weights is added to
    the loss. LT-SFT has 0.1 for languages."""
    anchor_examples: int = 0
    """EWC proper: each weight's pull is multiplied by its diagonal Fisher information, measured on
    this many documents of each split under the step's ``earlier``; 0: all weights alike."""
    shield: ShieldOptions = field(default_factory=ShieldOptions)
    grad_clip: float = 1.0
    """Gradient norm limit; 0 switches clipping off."""
    lora: LoraConfig = field(default_factory=LoraConfig)
    """Read when ``trainable`` is ``lora`` or ``lora_and_embeddings``."""
    adapter: AdapterConfig = field(default_factory=AdapterConfig)
    """Read when ``trainable`` is ``adapter``."""
    masking: MaskingConfig = field(default_factory=MaskingConfig)
    """Read for masked language models."""
    edge_layers: int = 1
    """Read when ``trainable`` is ``embeddings_and_edge_layers``: layers at each end."""
    sides: EmbeddingSides = EmbeddingSides.both
    ahead: int = 0
    """Further tokens that are predicted beside the next one (multi-token prediction), each by a
    copy of the head that trains along and is thrown away; a copy takes memory as an untied head."""
    freeze_norms: bool = False
    """Keep weights and biases of normalisation layers at their initial values."""
    freeze_special_rows: bool = False
    """Keep control-token rows at their initial values."""
    body_dtype: BodyType = BodyType.auto
    """Of frozen weights while the others train; they are saved as they were read."""
    loss_chunk_tokens: int = 2048
    """Positions whose logits exist at one time; 0 computes all at once."""
    pack_across_documents: bool = False
    """False: attention and positions restart at document boundaries inside a packed sequence."""
    validate_every: int = 0
    """Steps between validations; 0: only at the end. The best state is kept when > 0."""
    validation_batches: int = 16
    """Batches per validation, drawn once and fixed."""
    checkpoint_every: int = 200
    """Steps between resumable checkpoints."""
    checkpoint_minutes: float = 10.0
    """Minutes after which one is due whatever the steps; 0: only ``checkpoint_every`` counts."""
    activation_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, more time."""
    datamodule: dict[str, Any] | None = None
    """A LightningDataModule of your own in the place of the data's split: its ``_target_`` and
    arguments; of ``tokenizer``, ``training``, ``seed`` and ``work_dir`` it is given what it takes.
    Batches need ``input_ids``; ``labels`` (-100 ignored, not shifted), ``attention_mask``,
    ``position_ids`` and ``segment_ids`` are filled in where they are missing. What its files hold
    is in no key."""

    def quantises(self, trainable: Trainable) -> bool:
        """Whether linear layers of the body have 8 or 4 bits while ``trainable`` trains."""
        return self.body_dtype.quantised and trainable in FROZEN_BODY

    def faults(self) -> Iterator[tuple[str, str]]:
        for key, minimum in (
            ("steps", 1), ("batch_size", 1), ("sequence_length", 8), ("accumulate", 1),
            ("edge_layers", 1), ("checkpoint_every", 1), ("validate_every", 0),
            ("validation_batches", 1), ("loss_chunk_tokens", 0), ("lr", 0.0),
            ("checkpoint_minutes", 0.0), ("grad_clip", 0.0), ("weight_decay", 0.0), ("anchor", 0.0),
            ("anchor_examples", 0), ("anchor_l1", 0.0), ("ahead", 0),
        ):  # fmt: skip
            yield from at_least(key, getattr(self, key), minimum)
        yield from in_range("warmup", self.warmup, 0.0, 1.0)
        if self.ahead and (self.anchor_examples or self.shield.share):
            yield "ahead", "has heads that no earlier text says anything of; set it to 0 here"
        for key, asked in (
            ("body_dtype", self.body_dtype.quantised),
            ("optimizer", self.optimizer is OptimizerName.adamw8bit),
        ):
            if asked and find_spec("bitsandbytes") is None:
                yield key, "needs the package bitsandbytes; pip install 'franken[quantised]'"
        if self.shield.share and self.weight_decay:
            yield "weight_decay", "would shrink what training.shield keeps; set it to 0"
        yield from in_range("decay", self.decay, 0.0, 1.0)
        if self.schedule is Schedule.wsd and self.warmup + self.decay > 1:
            yield (
                "decay",
                f"and warmup add up to {self.warmup + self.decay:g} of the steps; at most 1",
            )
        if self.datamodule is not None and not self.datamodule.get("_target_"):
            yield "datamodule", f"needs _target_, the path of its class; got {self.datamodule}"
        if self.datamodule is not None and self.budget is not None:
            yield "budget", "counts franken's own data, but datamodule brings its own; set steps"
        if self.budget is not None:
            try:
                bytes_of(self.budget)
            except ValueError as error:
                yield "budget", str(error)
        if len(self.betas) != 2:
            yield "betas", f"must hold two numbers, got {self.betas}"
        if self.accumulate >= 1 and self.batch_size % self.accumulate:
            yield (
                "batch_size",
                f"{self.batch_size} is not divisible by accumulate={self.accumulate}",
            )


@schema("set")
class TrainingSet:
    """Schedules of a recipe's phases, by name."""

    name: str = "tiny"
    """The option, as results name it."""
    pretraining: TrainingConfig = field(default_factory=TrainingConfig)
    """Making a base model on the spot."""
    instructions: TrainingConfig = field(default_factory=TrainingConfig)
    """Step 1-a: instruction tuning of the body."""
    adaptation: TrainingConfig = field(default_factory=TrainingConfig)
    """Step 1-b: embedding tuning on target-language text."""
    repair: TrainingConfig = field(default_factory=TrainingConfig)
    """Step 2': LoRA after the swap."""
    skill: TrainingConfig = field(default_factory=TrainingConfig)
    """GraftLLM: teaching a model one skill, whose change becomes a SkillPack."""
    preference: TrainingConfig = field(default_factory=TrainingConfig)
    """GraftLLM: tuning on pairs of a preferred and a rejected answer after ``skill``."""
    paired: TrainingConfig = field(default_factory=TrainingConfig)
    """A phase that reads sentence pairs (``pair_loss``) in some of its steps."""
    easy_skill: TrainingConfig = field(default_factory=TrainingConfig)
    """As ``skill``, for one that is learnt sooner."""
    anchored: TrainingConfig = field(default_factory=TrainingConfig)
    """As ``easy_skill``, pulled towards the starting weights: a baseline of continual learning."""
    ewc: TrainingConfig = field(default_factory=TrainingConfig)
    """As ``anchored``, the pull weighted by Fisher information (EWC)."""
    edges: TrainingConfig = field(default_factory=TrainingConfig)
    """Trans-Tokenization's second phase: embeddings and the first and last layers."""
