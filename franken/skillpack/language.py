"""Language packs: a change of the body, and a table over a vocabulary of its own.

``E_new = M E + R``: M is the token map of the initialiser, R what training
added. On the model that the pack was made from this gives the tuned table back; on a relative it
carries that relative's own rows into the new vocabulary. Nothing of this is in the paper.
"""

import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from franken.config.pack import PackConfig, operator_of
from franken.errors import CompatibilityError, ConfigError
from franken.files import hash_json
from franken.pack_operator.base import RowUse
from franken.parts.forms import Form, RowsForm, SumForm, ZeroForm
from franken.parts.skillpack import PackWriter, SkillPack
from franken.parts.table import Table
from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer, tokenizer_identity
from franken.parts.weights import Weights, base_digests
from franken.skillpack.changes import Change, Encoded, Residual, deviation, encode, squared_norm
from franken.skillpack.policy import NEW_ROW_BITS, Plan, Rows, allotted, make_plans
from franken.token_map.engine import apply_map, apply_to_bias
from franken.token_map.storage import load_map, save_map
from franken.token_map.token_map import Provenance, TokenMap

_TOKENIZER, _MAP = "tokenizer", "token_map"


def pack_language(
    base: Weights,
    tuned: Weights,
    base_table: Table,
    tuned_table: Table,
    token_map: TokenMap,
    policy: PackConfig,
    directory: Path,
    *,
    name: str,
) -> SkillPack:
    """Pack a model whose vocabulary is another than the base's.

    Rows by provenance: on the residual of copied rows the policy's operator
    for tables works, and ``skip`` leaves it out; computed rows keep all of it in 8 bits, fallback
    ones the row itself in 8 bits; control and padding rows come from the receiver. Under ``dense``
    every row is kept in the width asked for. A bias of the head is kept exactly.

    Args:
        base: body of the base; its table tensors are not looked at.
        tuned: body of the adapted model.
        base_table: the base's vocabulary, M's source.
        tuned_table: the adapted model's.
        token_map: M, ``(T, S)``.
        policy: as for any pack.
        directory: where to; must not exist.
        name: what the pack is called.

    Raises:
        CompatibilityError: where map and tables do not fit, or one is tied and the other is not.
        ConfigError: where the budget is less than what new rows and exact classes take, or tables
            have an operator that cannot leave rows alone (``sign``).
    """
    _check(base_table, tuned_table, token_map)
    rest = residuals(base_table, tuned_table, token_map)
    copied, new = _kinds(token_map)
    plans = make_plans(base, policy, [
        Rows(f"vocab.{part}", tuple(values.shape), len(copied), len(new))
        for part, values in rest.items()
    ])  # fmt: skip
    plans = allotted(plans, lambda plan: deviation(_of_base(plan, base, tuned, rest, copied)))
    dense = 2 * sum(math.prod(plan.shape) for plan in plans)
    settings = asdict(policy)
    facts = {
        "name": name, "body": base.body, "lineage": base_table.lineage,
        "base": {"family": base.anatomy.family, "tied": base_table.tied},
        "policy": settings, "policy_sha256": hash_json(settings),
        "vocab": {
            "rows": tuned_table.rows, "tied": tuned_table.tied,
            "tokenizer_sha256": tokenizer_identity(tuned_table.tokenizer),
            "source_sha256": tokenizer_identity(base_table.tokenizer, roles=False),
            "counts": token_map.counts(),
        },
        "size": {"dense_bytes": dense, "changed_bytes": dense},
    }  # fmt: skip
    norm = error = 0.0
    with PackWriter(directory, **facts) as writer:
        save_tokenizer(tuned_table.tokenizer, writer.beside(_TOKENIZER))
        save_map(token_map, writer.beside(_MAP))
        for plan in plans:
            if plan.vocabulary is not None:
                found = _encode_table(
                    rest[plan.name.removeprefix("vocab.")], token_map, plan, policy
                )
                digests: dict[str, Any] = {"base": ""}
            else:
                change = Change(base, tuned, plan.name)
                if not operator_of(plan.rule).stores:
                    writer.skip(plan.name)
                    lost = squared_norm(change, plan.name)
                    norm, error = norm + lost, error + lost
                    continue
                found, digests = encode(change, plan, policy), base_digests(base, plan.name)
            norm, error = norm + found.squared_norm, error + found.squared_error
            writer.add(
                plan.name, found.form, **found.facts(), **{"class": plan.label},
                op=plan.rule.op, **digests,
            )  # fmt: skip
        writer.facts["relF"] = (error / norm) ** 0.5 if norm else 0.0
    return SkillPack(directory)


def residuals(base: Table, tuned: Table, token_map: TokenMap) -> dict[str, Tensor]:
    """``R = E_tuned - M E_base`` in float32 by part; fallback rows whole, control rows zero."""
    found = {}
    for part, made in mapped(base, token_map).items():
        rest = tuned.matrices()[part].float() - made
        rest[token_map.provenance == int(Provenance.special)] = 0
        rest[token_map.provenance == int(Provenance.padding)] = 0
        found[part] = rest
    return found


def mapped(table: Table, token_map: TokenMap) -> dict[str, Tensor]:
    """``M E`` in float32 by part; fallback rows are zero, as packs hold them whole."""
    fallback = token_map.provenance == int(Provenance.fallback)
    found = {}
    for part, matrix in table.matrices().items():
        if part == "output_bias":
            made = apply_to_bias(token_map, matrix.float())
        else:
            made = apply_map(token_map, matrix.float(), part=part)
        made[fallback] = 0
        found[part] = made
    return found


def read_vocabulary(pack: SkillPack) -> tuple[TokenMap, object]:
    """Token map and tokenizer of a language pack.

    Raises:
        CompatibilityError: where the pack brings no vocabulary.
    """
    if pack.manifest["vocab"] is None:
        raise CompatibilityError(f"pack {pack.name!r} brings no vocabulary of its own")
    return load_map(pack.directory / _MAP), load_tokenizer(pack.directory / _TOKENIZER)


def graft_table(pack: SkillPack, receiver: Table, *, rows_of: Table | None = None) -> Table:
    """The receiver's table in the pack's vocabulary: ``M E + R``.

    Args:
        pack: a language pack.
        receiver: table over the vocabulary that M starts from; gives the control rows.
        rows_of: take E from this table instead (``absolute``: the model the pack was made from).

    Returns:
        A table in the receiver's number format and of its lineage.

    Raises:
        CompatibilityError: where the pack brings no vocabulary, one is tied and the other is not,
            or ids mean other texts in the receiver than in the vocabulary that M starts from.
    """
    token_map, tokenizer = read_vocabulary(pack)
    expected = pack.manifest["vocab"]["source_sha256"]
    for table, what in ((receiver, "the receiver"), (rows_of or receiver, "the pack's base")):
        found = tokenizer_identity(table.tokenizer, roles=False)
        if found != expected:
            raise CompatibilityError(
                f"pack {pack.name!r} maps from another vocabulary than that of {what} "
                f"({found[:12]} instead of {expected[:12]}): its ids mean other texts, or it has "
                "tokens added (chat markers). Graft on a model with the vocabulary of the pack's "
                "base, or pack against a base that has these tokens"
            )
    if receiver.tied != pack.manifest["vocab"]["tied"]:
        raise CompatibilityError(
            f"pack {pack.name!r} has {'tied' if not receiver.tied else 'untied'} embeddings, the "
            "receiver the other kind; no graft unties silently"
        )
    own, source = mapped(receiver, token_map), mapped(rows_of or receiver, token_map)
    control = token_map.provenance == int(Provenance.special)
    made = {}
    for part, matrix in receiver.matrices().items():
        total = source[part] + pack.delta(f"vocab.{part}")
        total[control] = own[part][control]
        made[part] = total.to(matrix.dtype)
    return Table(
        tokenizer, made["input"], made.get("output"), made.get("output_bias"),  # type: ignore[arg-type]
        receiver.lineage, {"method": "language_pack", "pack": pack.name},
    )  # fmt: skip


def _of_base(
    plan: Plan, base: Weights, tuned: Weights, rest: dict[str, Tensor], copied: Tensor
) -> Change | Residual:
    """What the operator works on: of a table the copied rows."""
    if plan.vocabulary is None:
        return Change(base, tuned, plan.name)
    return Residual(rest[plan.name.removeprefix("vocab.")][copied])


def _kinds(token_map: TokenMap) -> tuple[Tensor, Tensor]:
    """Ids of copied rows, and of computed and fallback ones."""
    codes = token_map.provenance
    new = (codes >= int(Provenance.computed)) & (codes != int(Provenance.padding))
    return (codes == int(Provenance.copied)).nonzero().flatten(), new.nonzero().flatten()


def _encode_table(rest: Tensor, token_map: TokenMap, plan: Plan, policy: PackConfig) -> Encoded:
    """The residual of one table: new rows whole, the operator on copied ones; dense takes all."""
    if operator_of(plan.rule).rows is RowUse.every:
        return encode(Residual(rest), plan, policy)
    if operator_of(plan.rule).rows is RowUse.none:
        raise ConfigError(
            f"pack.classes.{plan.label}.op={plan.rule.op} gives every entry a sign, of new and "
            "control rows as well; choose prune, dare, lowrank, dense or skip for tables"
        )
    norm = squared_norm(Residual(rest), plan.name)
    copied, new = _kinds(token_map)
    form: Form = ZeroForm(tuple(rest.shape))
    if len(new):
        form = RowsForm.encode(rest, new, NEW_ROW_BITS, policy.quant.group)
    notes: dict[str, object] = {}
    if operator_of(plan.rule).stores and len(copied):
        masked = torch.zeros_like(rest)
        masked[copied] = rest[copied]
        of_copied = encode(Residual(masked), plan, policy)
        form, notes = SumForm(form, of_copied.form), of_copied.notes
    return Encoded(form, norm, float((rest - form.decode()).double().square().sum()), notes)


def _check(base: Table, tuned: Table, token_map: TokenMap) -> None:
    if base.tied != tuned.tied:
        raise CompatibilityError("base and tuned model must both be tied, or both be untied")
    found = (token_map.rows, token_map.source_rows)
    if found != (tuned.rows, base.rows):
        raise CompatibilityError(
            f"the token map is {found}, but the tables have {tuned.rows} new and {base.rows} old "
            "rows; give the map of the step that initialised the tuned model"
        )
    if torch.promote_types(base.input.dtype, tuned.input.dtype) != base.input.dtype:
        raise CompatibilityError(
            f"the base's table is {base.input.dtype}, the tuned one {tuned.input.dtype}"
        )
