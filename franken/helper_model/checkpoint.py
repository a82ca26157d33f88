"""``helper_model=checkpoint``: the table of a finished model."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

from franken.config.trainer import TrainerConfig
from franken.declare import option
from franken.errors import CompatibilityError
from franken.helper_model.base import HelperModel, Texts
from franken.lazy import later

with later():
    import torch
    from torch import Tensor
    from transformers import PreTrainedTokenizerBase

    from franken.parts.anatomy import donor_tables
    from franken.parts.checkpoint import Checkpoint
    from franken.parts.hub import resolve_checkpoint
    from franken.parts.table import Table, table_tensors_of
    from franken.parts.tokenizer_files import (
        load_plain_tokenizer,
        token_count,
        vocabulary_difference,
    )
    from franken.parts.unused_rows import untrained_rows

logger = logging.getLogger(__name__)


@option
class CheckpointHelper(HelperModel):
    """The table of a checkpoint (BERT, XLM-R, GPT-2, T5, ...) that owns the target tokenizer."""

    trains: ClassVar[bool] = False

    path: str = ""
    """Directory with ``config.json`` and safetensors, or a hub id."""
    revision: str | None = None
    """Hub revision; a commit hash makes the run repeatable."""
    drop_untrained: bool = False
    """Rows that look untrained (near to those of unused tokens) count as missing. At most one in a
    hundred tokens is suspected, unused ones apart; their number is reported either way."""

    def faults(self) -> Iterator[tuple[str, str]]:
        if not self.path:
            yield "path", "names no checkpoint; give a directory or a hub id"

    def checkpoint(self) -> tuple[str, str | None]:
        return self.path, self.revision

    def table(
        self, tokenizer: PreTrainedTokenizerBase, texts: Texts, trainer: TrainerConfig, seed: int
    ) -> tuple[Table, dict[str, Any]]:
        found = resolve_checkpoint(self.path, self.revision)
        table, counts = read_helper(found, tokenizer, drop_untrained=self.drop_untrained)
        return table, dict(counts)


def read_helper(
    directory: Path, tokenizer: PreTrainedTokenizerBase, *, drop_untrained: bool = False
) -> tuple[Table, dict[str, int]]:
    """Read the token table of an encoder or decoder, and of nothing else.

    Args:
        directory: a checkpoint of safetensors.
        tokenizer: the target tokenizer.
        drop_untrained: whether rows that look untrained become zero rows.

    Returns:
        The table, cut to the target's ids and in the checkpoint's own width (a factorised ALBERT
        or ELECTRA: that of the table, not of the layers); zero rows mean "no vector" to the
        methods. And two counts: ``without_row``, ids past the checkpoint's rows, which get zero
        rows; ``untrained``, rows that look so (see :mod:`franken.parts.unused_rows`).

    Raises:
        CompatibilityError: where the checkpoint's vocabulary is another.
        ArtifactError: where files are missing or hold no token table.
    """
    checkpoint = Checkpoint(directory)
    own = load_plain_tokenizer(Path(directory))
    if fault := vocabulary_difference(own.get_vocab(), tokenizer.get_vocab()):
        raise CompatibilityError(f"helper_model.path={directory}: the checkpoint {fault}")
    layout = checkpoint.layout
    if layout is None or layout.anatomy.masked:
        config = checkpoint.config()
        family, names = config.model_type, donor_tables(config, checkpoint.names())
    else:  # known without what transformers imports for a config
        family, tables = layout.anatomy.family, table_tensors_of(checkpoint)
        names = [tables[part] for part in ("input", "output") if part in tables]
    rows = token_count(tokenizer)
    matrices = []
    for name in names:
        stored = checkpoint.shape(name)[0]
        found = checkpoint.rows(name, 0, min(rows, stored))
        if missing := rows - len(found):
            found = torch.cat([found, found.new_zeros(missing, found.shape[1])])
        matrices.append(found)
    counts = _repaired(checkpoint, names[0], matrices, own.get_vocab(), drop_untrained)
    table = Table(
        tokenizer,
        matrices[0],
        matrices[1] if len(matrices) > 1 else None,
        None,
        lineage=f"helper:{family}",
        provenance={"method": "helper checkpoint", "tensors": list(names), **counts},
    )
    return table, counts


def _repaired(
    checkpoint: Checkpoint,
    name: str,
    matrices: list[Tensor],
    vocabulary: dict[str, int],
    drop: bool,
) -> dict[str, int]:
    """Count rows that are missing or look untrained; zero the latter in place where asked."""
    stored, last = checkpoint.shape(name)[0], max(vocabulary.values()) + 1
    past = checkpoint.rows(name, min(last, stored), stored)
    untrained = untrained_rows(matrices[0], vocabulary, past)
    if drop:
        for matrix in matrices:
            matrix[untrained] = 0
    elif bool(untrained.any()):
        logger.warning(
            "helper_model=checkpoint: %d of %d rows look as if no text had trained them, and are "
            "used; helper_model.drop_untrained=true leaves them out",
            int(untrained.sum()), len(untrained),
        )  # fmt: skip
    return {"without_row": max(0, len(matrices[0]) - stored), "untrained": int(untrained.sum())}
