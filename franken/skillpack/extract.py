"""Packing: the difference of two models, tensor by tensor, into a SkillPack."""

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from franken.config.checks import checked
from franken.config.pack import PackConfig, operator_of
from franken.errors import CompatibilityError
from franken.files import hash_json
from franken.memory import keep_freed_memory
from franken.parts.pairs_of_weights import alike
from franken.parts.skillpack import PackWriter, SkillPack
from franken.parts.weights import Weights, base_digests
from franken.skillpack.changes import Change, deviation, encode, squared_norm
from franken.skillpack.policy import allotted, dense_bytes, make_plans

log = logging.getLogger(__name__)


def pack_difference(
    base: Weights,
    tuned: Weights,
    policy: PackConfig,
    directory: Path,
    *,
    name: str,
    lineage: str = "",
    hessians: Mapping[str, Tensor] | None = None,
    notes: Mapping[str, Any] | None = None,
    on_tensor: Callable[[str, int, int], None] = lambda name, done, total: None,
) -> SkillPack:
    """Extract and compress ``tuned - base``; streamed, so memory is that of one tensor.

    The difference is taken in float32, never in the checkpoint's format; tied tables count once;
    what did not change takes no bytes.

    Args:
        base: the model that the pack will be applied to.
        tuned: the same model after training.
        policy: what is done with which tensors.
        directory: where to; must not exist.
        name: what the pack is called.
        lineage: fingerprint of the family's base body; default: the base's own.
        hessians: parameter -> ``(n, n)`` second moments of its input, for GPTQ.
        notes: more entries of the manifest: sources, data, licence.
        on_tensor: is told each tensor that is done.

    Returns:
        The pack, open.

    Raises:
        CompatibilityError: where the two are not the same kind of model.
        ConfigError: where the policy's options are out of range; names all of them.
        ArtifactError: where the directory exists or a file is damaged; nothing is left behind.
    """
    checked(policy, f"pack={policy.name}")
    keep_freed_memory()
    tuned = alike(base, tuned)
    plans = make_plans(base, policy)
    for plan in plans:
        if not (
            base.dtype(plan.name).is_floating_point
            and base.dtype(plan.name) == tuned.dtype(plan.name)
        ):
            raise CompatibilityError(
                f"{plan.name!r} is {base.dtype(plan.name)} in the base and "
                f"{tuned.dtype(plan.name)} in the tuned model; both must have one float format"
            )
    plans = allotted(plans, lambda plan: deviation(Change(base, tuned, plan.name)))
    settings = asdict(policy)
    dense = dense_bytes(base)
    facts = {
        "name": name, "body": base.body, "lineage": lineage or base.body,
        "base": {"family": base.anatomy.family, "tied": base.tied},
        "policy": settings, "policy_sha256": hash_json(settings),
        "vocab": None, **(notes or {}),
        "size": {"dense_bytes": dense},
    }  # fmt: skip
    norm = error = 0.0
    changed = 0
    with PackWriter(directory, **facts) as writer:
        for index, plan in enumerate(plans):
            change = Change(base, tuned, plan.name)
            if not operator_of(plan.rule).stores:
                writer.skip(plan.name)
                squared = squared_norm(change, plan.name)
                norm, error = norm + squared, error + squared
                changed += 2 * math.prod(plan.shape) if squared else 0
            else:
                found = encode(change, plan, policy, (hessians or {}).get(plan.name))
                norm, error = norm + found.squared_norm, error + found.squared_error
                changed += 2 * math.prod(plan.shape) if found.form.kind != "zero" else 0
                writer.add(
                    plan.name, found.form, **found.facts(), **{"class": plan.label},
                    op=plan.rule.op, **base_digests(base, plan.name),
                )  # fmt: skip
            on_tensor(plan.name, index + 1, len(plans))
        writer.facts["size"]["changed_bytes"] = changed
        writer.facts["relF"] = (error / norm) ** 0.5 if norm else 0.0
    pack = SkillPack(directory)
    log.info(
        "packed %s: %d bytes, %.2f %% of the dense difference, relative error %.4f",
        name, pack.bytes_count, 100 * pack.bytes_count / max(changed, 1), pack.manifest["relF"],
    )  # fmt: skip
    return pack


def pack_forms(
    base: Weights, forms: Mapping[str, Any], directory: Path, *, name: str, lineage: str = "",
    skipped: list[str] | None = None, **facts: Any,
) -> SkillPack:  # fmt: skip
    """Write changes that exist as forms already, such as a merge of several packs."""
    head = {
        "name": name, "body": base.body, "lineage": lineage or base.body,
        "base": {"family": base.anatomy.family, "tied": base.tied}, "policy": {}, "vocab": None,
        **facts, "size": {"dense_bytes": dense_bytes(base)},
    }  # fmt: skip
    with PackWriter(directory, **head) as writer:
        for tensor, form in forms.items():
            writer.add(tensor, form, **base_digests(base, tensor), op=form.kind)
        for tensor in skipped or []:
            writer.skip(tensor)
    return SkillPack(directory)
