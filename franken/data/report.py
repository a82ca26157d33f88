"""What a mixture came to: records, tokens, shares and repetitions by stream."""

from collections.abc import Mapping
from typing import Any

from franken.config.training import TrainingConfig
from franken.data.corpus import TokenCorpus
from franken.data.mixing import StreamKey


def mixture_report(
    corpora: Mapping[StreamKey, TokenCorpus],
    valid: Mapping[StreamKey, TokenCorpus],
    probabilities: Mapping[StreamKey, float],
    budget: int,
    training: TrainingConfig,
) -> dict[str, Any]:
    """A table of the streams, as plain JSON values.

    Args:
        corpora: Training streams.
        valid: Validation streams.
        probabilities: Share of the sequences by training stream.
        budget: Tokens of the whole phase.
        training: Batch shape.

    Returns:
        ``streams``: one record per stream with its share, the tokens that training will draw from
        it and how many epochs that makes (of the part that was read, if it is ``capped``);
        ``roles`` and ``languages``: shares summed up; ``budget_tokens``, ``steps``.
    """
    rows = []
    for key, corpus in sorted(corpora.items()):
        size, share = corpus.size, probabilities[key]
        held_out = valid[key].size if key in valid else None
        rows.append(
            {
                "role": key.role,
                "language": key.language,
                "records": size.records,
                "tokens": size.tokens,
                "characters": size.characters,
                "capped": corpus.meta["capped"],
                "truncated": corpus.meta["truncated"],
                "skipped": corpus.meta["skipped"],
                "share": share,
                "drawn_tokens": round(share * budget),
                "epochs": share * budget / size.tokens if size.tokens else 0.0,
                "valid_records": held_out.records if held_out else 0,
                "valid_tokens": held_out.tokens if held_out else 0,
            }
        )
    return {
        "streams": rows,
        "roles": _summed(rows, "role"),
        "languages": _summed(rows, "language"),
        "budget_tokens": budget,
        "steps": training.steps,
        "sequence_length": training.sequence_length,
        "batch_size": training.batch_size,
    }


def _summed(rows: list[dict[str, Any]], column: str) -> dict[str, float]:
    shares: dict[str, float] = {}
    for row in rows:
        shares[row[column]] = shares.get(row[column], 0.0) + row["share"]
    return shares
