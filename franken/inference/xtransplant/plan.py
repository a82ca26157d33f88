"""Which pairs are run, and which coincide with one that is."""

from collections.abc import Sequence
from dataclasses import dataclass

from franken.errors import ConfigError
from franken.inference.xtransplant.choices import Op, Steps
from franken.inference.xtransplant.contract import Decoding, Intervention, Pair, Task


@dataclass(frozen=True)
class Plan:
    """Rows to run, ordered by target layer, then source layer."""

    rows: list[Pair]
    answered_by: dict[Pair, Pair]
    """Every pair that was asked for, in the order asked -> the row that answers it."""


def plan_rows(
    pairs: Sequence[Pair],
    depth: int,
    task: Task,
    what: Intervention,
    decoding: Decoding,
    *,
    share: bool,
) -> Plan:
    """Leave out pairs whose outcome is that of another.

    With one prompt on both sides and ``i = j``, the target receives what it would have computed
    itself: all those pairs give the clean output, so one of them is run. With ``steps=every`` that
    holds while the donor, which decodes by its largest logits, writes what the target writes: not
    with a repetition penalty, nor where the target's tokens are given.
    """
    check_pairs(pairs, depth)
    answered_by = {pair: pair for pair in pairs}
    own_way = decoding.repetition_penalty != 1.0 or decoding.leads
    parts = what.steps is Steps.every and own_way
    same = share and task.same_prompts() and what.op is not Op.add and not parts
    diagonal = [pair for pair in pairs if pair[0] == pair[1]]
    if same and what.site != "mid_residual_added" and diagonal:
        answered_by |= dict.fromkeys(diagonal, max(diagonal))
    rows = sorted(set(answered_by.values()), key=lambda pair: (pair[1], pair[0]))
    return Plan(rows, answered_by)


def shares_last_column(what: Intervention) -> bool:
    """Whether runs with the last target layer differ in their first token only.

    All keys and values of the prompt are then the clean ones.
    """
    return what.steps is Steps.prefill


def check_pairs(pairs: Sequence[Pair], depth: int) -> None:
    """Refuse layers that the model does not have, and an empty set.

    Raises:
        ConfigError: naming the first such pair and the valid range.
    """
    if not pairs:
        raise ConfigError("inference.pairs: no pair is left to run")
    for source, target in pairs:
        if not (0 <= source < depth and 0 <= target < depth):
            raise ConfigError(
                f"inference.pairs: [{source}, {target}] is out of range; the model has {depth} "
                f"layers, 0 to {depth - 1} (or -{depth} to -1, counted from the last)"
            )


def pair_set(name: str, depth: int) -> list[Pair]:
    """The pairs of a named set for a model with ``depth`` layers, row by row of the heat map."""
    layers = range(depth)
    match name:
        case "grid":
            return [(i, j) for i in layers for j in layers]
        case "targetfirst":
            return [(i, 0) for i in layers]
        case "sourcelast":
            return [(depth - 1, j) for j in layers]
        case "diagonal":
            return [(i, i) for i in layers]
    raise ConfigError(f"inference.pairs: {name!r} is no set of pairs")


def absolute(pairs: Sequence[Sequence[int]], depth: int) -> list[Pair]:
    """Pairs with negative layers counted from the last; doubled ones dropped.

    Raises:
        ConfigError: for a layer out of range.
    """
    found = [(i + depth if i < 0 else i, j + depth if j < 0 else j) for i, j in pairs]
    check_pairs(found, depth)
    return list(dict.fromkeys(found))
