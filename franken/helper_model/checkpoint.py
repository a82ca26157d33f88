"""``helper_model=checkpoint``: the table of a finished model."""

from pathlib import Path

import torch
from transformers import PreTrainedTokenizerBase

from franken.errors import CompatibilityError
from franken.parts.anatomy import donor_tables
from franken.parts.checkpoint import Checkpoint
from franken.parts.table import Table
from franken.parts.tokenizer_files import (
    load_checkpoint_tokenizer,
    token_count,
    vocabulary_difference,
)


def read_helper(directory: Path, tokenizer: PreTrainedTokenizerBase) -> tuple[Table, int]:
    """Read the token table of an encoder or decoder, and of nothing else.

    Args:
        directory: a checkpoint of safetensors.
        tokenizer: the target tokenizer.

    Returns:
        The table, cut to the target's ids and in the checkpoint's own width (a factorised ALBERT
        or ELECTRA: that of the table, not of the layers); and the number of ids past the
        checkpoint's rows, which get zero rows, for the methods "no vector".

    Raises:
        CompatibilityError: where the checkpoint's vocabulary is another.
        ArtifactError: where files are missing or hold no token table.
    """
    checkpoint = Checkpoint(directory)
    own = load_checkpoint_tokenizer(Path(directory))
    if fault := vocabulary_difference(own.get_vocab(), tokenizer.get_vocab()):
        raise CompatibilityError(f"helper_model.path={directory}: the checkpoint {fault}")
    names = donor_tables(checkpoint.config(), checkpoint.names())
    rows = token_count(tokenizer)
    matrices = []
    for name in names:
        stored = checkpoint.shape(name)[0]
        found = checkpoint.rows(name, 0, min(rows, stored))
        missing = torch.zeros(rows - len(found), found.shape[1], dtype=found.dtype)
        matrices.append(torch.cat([found, missing]))
    lacking = max(0, rows - checkpoint.shape(names[0])[0])
    table = Table(
        tokenizer,
        matrices[0],
        matrices[1] if len(matrices) > 1 else None,
        None,
        lineage=f"helper:{checkpoint.config().model_type}",
        provenance={"method": "helper checkpoint", "tensors": list(names), "without_row": lacking},
    )
    return table, lacking
