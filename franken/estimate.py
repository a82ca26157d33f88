"""Memory and work of a training before it runs: formulas of a decoder's shape, no torch.

Bytes of weights, gradients and optimiser are exact; what the backward pass keeps is counted for a
decoder of gated layers (docs/memory.md has the formula and measured points). Neither the
interpreter (0.4 GB with all imports) nor the allocator's own waste is in it.
"""

from dataclasses import dataclass, replace
from typing import Any

from franken.config.training import (
    ADDS_LORA,
    BESIDE_BODY,
    CHANGES_TABLE,
    AdapterKind,
    BodyType,
    OptimizerName,
    Trainable,
    TrainingConfig,
)

_BYTES = {BodyType.int8: 1.0, BodyType.nf4: 0.516}
"""Per frozen weight of the body's layers; scales of NF4 are quantised in blocks of 64 and 256."""


@dataclass(frozen=True)
class Shape:
    """What a decoder's cost follows from."""

    rows: int
    """Of the table."""
    width: int
    layers: int
    inner: int
    heads: int
    kv_heads: int
    head_dim: int
    tied: bool

    @classmethod
    def of_config(cls, config: Any) -> "Shape":
        """From a config of transformers with the usual field names.

        Raises:
            AttributeError: where it has others.
        """
        heads, width = config.num_attention_heads, config.hidden_size
        return cls(
            config.vocab_size, width, config.num_hidden_layers, config.intermediate_size, heads,
            getattr(config, "num_key_value_heads", None) or heads,
            getattr(config, "head_dim", None) or width // heads, bool(config.tie_word_embeddings),
        )  # fmt: skip

    def with_rows(self, rows: int) -> "Shape":
        """The same body with another table."""
        return replace(self, rows=rows)

    @property
    def table(self) -> int:
        """Parameters of input and output rows."""
        return self.rows * self.width * (1 if self.tied else 2)

    @property
    def layer(self) -> int:
        """Parameters of one layer."""
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        attention = 2 * self.width * queries + 2 * self.width * keys
        return attention + 3 * self.width * self.inner + 2 * self.width

    @property
    def body(self) -> int:
        """Parameters of all layers and the last norm."""
        return self.layers * self.layer + self.width

    @property
    def kept_per_token(self) -> int:
        """Numbers that the backward pass of one layer keeps for a token.

        Inputs of two norms and their outputs and residuals (6 widths), q, k and v before and after
        the rotation, the attention's result, and four of the inner size: gate, up, the gate's
        activation, the product.
        """
        queries, keys = self.heads * self.head_dim, self.kv_heads * self.head_dim
        return 6 * self.width + 3 * queries + 4 * keys + 4 * self.inner


SHAPES = {
    "1B": Shape(128_256, 2048, 16, 8192, 32, 8, 64, True),
    "8B": Shape(128_256, 4096, 32, 14336, 32, 8, 128, False),
    "27B": Shape(256_000, 4608, 46, 36864, 32, 16, 128, True),
}
"""Llama 3.2 1B, Llama 3.1 8B, Gemma 2 27B."""
KNOWN = {
    "llama3_2_1b": SHAPES["1B"], "gemma2_27b": SHAPES["27B"],
    "gemma2_2b": Shape(256_000, 2304, 26, 9216, 8, 4, 256, True),
    "gemma2_9b": Shape(256_000, 3584, 42, 14336, 16, 8, 256, True),
    "mistral_7b": Shape(32_768, 4096, 32, 14336, 32, 8, 128, False),
    "qwen3_0_6b": Shape(151_936, 1024, 28, 3072, 16, 8, 128, True),
}  # fmt: skip
"""Options of the group ``base_model`` whose files may not be at hand."""


@dataclass(frozen=True)
class Estimate:
    """Bytes and floating-point operations of one training."""

    frozen: int
    trained: int
    """Weights that train, in float32."""
    gradients: int
    optimiser: int
    activations: int
    logits: int
    operations: float
    """Of all steps."""
    tokens: int

    @property
    def peak(self) -> int:
        """All of it at once."""
        return (
            self.frozen + self.trained + self.gradients + self.optimiser + self.activations
            + self.logits
        )  # fmt: skip


def trained_parameters(shape: Shape, trainable: Trainable, training: TrainingConfig) -> int:
    """How many parameters a policy trains."""
    if trainable is Trainable.full:
        return shape.body + shape.table
    if trainable is Trainable.body:
        return shape.body
    if trainable in ADDS_LORA:
        queries, keys = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        others = {"q": queries, "k": keys, "v": keys, "o": queries}
        each = sum(shape.width + others.get(role, shape.inner) for role in training.lora.targets)
        tables = shape.table if trainable is Trainable.lora_and_embeddings else 0
        return tables + shape.layers * training.lora.rank * each
    if trainable is Trainable.adapter:
        config = training.adapter
        sites = 2 if config.kind is AdapterKind.houlsby else 1
        each = 2 * shape.width * max(1, int(shape.width // config.reduction))
        return sites * each * (shape.layers - len(config.leave_out))
    if trainable is Trainable.fusion:  # query, key and value of a place in each layer
        return shape.layers * 3 * shape.width**2
    edges = 2 * training.edge_layers * shape.layer
    return shape.table + (edges if trainable is Trainable.embeddings_and_edge_layers else 0)


def estimate(
    shape: Shape,
    trainable: Trainable,
    training: TrainingConfig,
    *,
    half_precision: bool = False,
    processes: int = 1,
    sharded: bool = False,
    offload: bool = False,
) -> Estimate:
    """What one training takes, per process.

    Args:
        shape: of the model.
        trainable: what changes.
        training: steps, batches, chunks.
        half_precision: the forward pass is in 16 bits (``trainer.precision``).
        processes: that share the rows of a batch.
        sharded: each holds a part of every weight (FSDP2).
        offload: frozen weights of the layers but one are elsewhere (``trainer.offload``).
    """
    checkpointed = training.activation_checkpointing or offload
    share = processes if sharded else 1
    trained = trained_parameters(shape, trainable, training)
    added = trained if trainable in BESIDE_BODY else 0
    if trainable is Trainable.lora_and_embeddings:
        added = trained - shape.table
    frozen = shape.body + shape.table + added - trained
    kind = training.body_dtype
    half = kind is BodyType.bfloat16 or (kind is not BodyType.float32 and half_precision)
    wide = 2.0 if half else 4.0
    each = _BYTES[kind] if training.quantises(trainable) else wide
    in_body = min(frozen, shape.body)
    if offload:
        frozen -= in_body - in_body // shape.layers
        in_body //= shape.layers
    per_pass = training.batch_size * training.sequence_length // training.accumulate
    at_once = max(1, per_pass // processes)
    width = 2 if half_precision else 4
    kept = shape.kept_per_token * shape.layers
    if checkpointed:
        kept = shape.width * shape.layers + shape.kept_per_token
    narrow = OptimizerName.adamw8bit, OptimizerName.adafactor
    chunk = min(at_once, training.loss_chunk_tokens or at_once)
    tokens = training.steps * training.batch_size * training.sequence_length
    # trained parameters enter products: of an input table alone none do
    in_products = trained
    if trainable in CHANGES_TABLE:
        in_products -= 0 if shape.tied else shape.rows * shape.width
    forward = 2 * (shape.body + shape.rows * shape.width)
    passes = 3 if checkpointed else 2
    return Estimate(
        frozen=int(each * in_body + wide * (frozen - in_body)) // share,
        trained=4 * trained // share,
        gradients=4 * trained // share,
        optimiser=(2 if training.optimizer in narrow else 8) * trained // share,
        activations=at_once * kept * width,
        logits=3 * 4 * chunk * shape.rows,
        operations=float(tokens) * (passes * forward + 2 * in_products),
        tokens=tokens,
    )
