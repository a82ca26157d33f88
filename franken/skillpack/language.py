"""Language packs: a change of the body, and a table over a vocabulary of its own.

``E_new = M E + R`` (graftllm notes, 6): M is the token map of the initialiser, R what training
added. On the model that the pack was made from this gives the tuned table back; on a relative it
carries that relative's own rows into the new vocabulary. Nothing of this is in the paper.
"""

import math
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from franken.config.pack import Operator, PackConfig
from franken.errors import CompatibilityError
from franken.files import hash_json
from franken.init_method.engine import apply_map, apply_to_bias
from franken.init_method.token_map import Provenance, TokenMap
from franken.parts.forms import DenseForm, Form, RowsForm, SparseForm, SumForm, ZeroForm
from franken.parts.skillpack import PackWriter, SkillPack
from franken.parts.table import Table
from franken.parts.tokenizer_files import load_tokenizer, save_tokenizer, tokenizer_identity
from franken.parts.weights import Weights, base_digests
from franken.skillpack.operators import Change, encode
from franken.skillpack.policy import make_plans
from franken.skillpack.selection import largest

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

    Rows by provenance (graftllm notes, 6.2): copied rows keep the largest entries of their
    residual, computed ones all of it in 8 bits, fallback ones the row itself in 8 bits; control and
    padding rows come from the receiver. A class ``table`` of the policy whose operator is exact
    (``dense`` with 0 bits) keeps every residual in float32.

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
    """
    _check(base_table, tuned_table, token_map)
    tables = {n for n in base.names() if base.anatomy.is_table_tensor(n)}
    plans = [plan for plan in make_plans(base, policy) if plan.name not in tables]
    embed = next((plan.rule for plan in make_plans(base, policy) if plan.kind == "table"), None)
    exact = embed is not None and embed.op is Operator.dense and embed.bits == 0
    density = embed.density if embed is not None and embed.op is Operator.prune else 0.1
    dense = 2 * sum(math.prod(plan.shape) for plan in plans)
    dense += 2 * sum(t.numel() for t in tuned_table.matrices().values())
    settings = asdict(policy)
    facts = {
        "name": name, "body": base.body, "lineage": base_table.lineage,
        "base": {"family": base.anatomy.family, "tied": base_table.tied},
        "policy": settings, "policy_sha256": hash_json(settings),
        "vocab": {
            "rows": tuned_table.rows, "tied": tuned_table.tied,
            "tokenizer_sha256": tokenizer_identity(tuned_table.tokenizer),
            "counts": token_map.counts(),
        },
        "size": {"dense_bytes": dense, "changed_bytes": dense},
    }  # fmt: skip
    with PackWriter(directory, **facts) as writer:
        save_tokenizer(tuned_table.tokenizer, writer.beside(_TOKENIZER))
        token_map.save(writer.beside(_MAP))
        for plan in plans:
            if plan.rule.op is Operator.skip:
                writer.skip(plan.name)
                continue
            found = encode(Change(base, tuned, plan.name), plan, policy)
            writer.add(
                plan.name, found.form, **found.facts(), **{"class": plan.label},
                op=str(plan.rule.op), **base_digests(base, plan.name),
            )  # fmt: skip
        for part, rest in residuals(base_table, tuned_table, token_map).items():
            form: Form = DenseForm(rest) if exact or rest.ndim == 1 else _by_provenance(
                rest, token_map, density, policy.quant.group
            )  # fmt: skip
            error = float((rest - form.decode()).double().square().sum())
            norm = float(rest.double().square().sum())
            writer.add(
                f"vocab.{part}", form, **{"class": "vocab"}, op="table_map", base="",
                relF=math.sqrt(error / norm) if norm else 0.0, norm2=norm, error2=error,
            )  # fmt: skip
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
    return TokenMap.load(pack.directory / _MAP), load_tokenizer(pack.directory / _TOKENIZER)


def graft_table(pack: SkillPack, receiver: Table, *, rows_of: Table | None = None) -> Table:
    """The receiver's table in the pack's vocabulary: ``M E + R``.

    Args:
        pack: a language pack.
        receiver: table over the vocabulary that M starts from; gives the control rows.
        rows_of: take E from this table instead (``absolute``: the model the pack was made from).

    Returns:
        A table in the receiver's number format and of its lineage.
    """
    token_map, tokenizer = read_vocabulary(pack)
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


def _by_provenance(rest: Tensor, token_map: TokenMap, density: float, group: int) -> Form:
    copied = (token_map.provenance == int(Provenance.copied)).nonzero().flatten()
    computed = token_map.provenance >= int(Provenance.computed)
    computed &= token_map.provenance != int(Provenance.padding)
    kept = computed.nonzero().flatten()
    whole = RowsForm.encode(rest, kept, 8, group) if len(kept) else ZeroForm(tuple(rest.shape))
    masked = torch.zeros_like(rest)
    masked[copied] = rest[copied]
    count = round(density * len(copied) * rest.shape[1])
    places, values = largest(lambda: iter([masked]), count)
    kept_entries = values != 0
    sparse = SparseForm.encode(
        tuple(rest.shape), places[kept_entries], values[kept_entries], bits=8, group_size=group
    )
    return SumForm(whole, sparse)


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
