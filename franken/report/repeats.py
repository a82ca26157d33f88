"""What several runs of a grid computed once and wrote down several times."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace

from franken.report.records import Record


def without_repeats(records: Iterable[Record]) -> list[Record]:
    """Drop records that stand for one result twice: equal key, or equal in everything."""
    seen: set[tuple[object, ...]] = set()
    kept = []
    for record in records:
        score = (record.experiment, record.recipe, record.model, record.task, record.metric)
        own = record.key or (record.variant, record.seed)
        mark = (*score, record.lang, own, record.variant)
        if mark not in seen:
            seen.add(mark)
            kept.append(record)
    return kept


def share_variants(records: list[Record]) -> list[Record]:
    """Show what does not depend on the variant once.

    Variants of a model that have the same keys for the same seeds are one system: all of them
    together lose the variant's name, some of them share their names.
    """
    keys: dict[tuple[str, str, str], dict[str, dict[int, str]]] = defaultdict(
        lambda: defaultdict(dict)
    )
    for record in records:
        own = keys[record.experiment, record.recipe, record.model][record.variant]
        own[record.seed] = record.key
    names: dict[tuple[str, str, str, str], str] = {}
    for model, variants in keys.items():
        for group in _equal_groups(variants):
            whole = len(group) == len(variants) and len(group) > 1
            for variant in group:
                names[*model, variant] = "" if whole else " = ".join(group)
    shared = []
    seen: set[tuple[object, ...]] = set()
    for record in records:
        name = names[record.experiment, record.recipe, record.model, record.variant]
        system = (record.experiment, record.recipe, record.model, name, record.key, record.seed)
        mark = (*system, record.task, record.metric, record.lang)
        if mark not in seen:
            seen.add(mark)
            shared.append(replace(record, variant=name))
    return shared


def _equal_groups(variants: Mapping[str, Mapping[int, str]]) -> list[list[str]]:
    """Variants whose keys agree on every seed that they have in common (at least one)."""
    groups: list[tuple[dict[int, str], list[str]]] = []
    for variant, keys in variants.items():
        for merged, members in groups:
            common = merged.keys() & keys.keys()
            if common and all(merged[seed] == keys[seed] != "" for seed in common):
                merged.update(keys)
                members.append(variant)
                break
        else:
            groups.append((dict(keys), [variant]))
    return [members for _, members in groups]
