"""``pack`` and ``mounted``: the difference of two models as a SkillPack, on a model for a while."""

import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from franken.errors import ConfigError
from franken.library.options import chosen
from franken.library.origin import lineage_of
from franken.parts.fingerprint import model_fingerprint
from franken.parts.mount import Mounts
from franken.parts.skillpack import SkillPack
from franken.parts.weights import LoadedWeights, StoredWeights, Weights
from franken.skillpack.extract import pack_difference


def pack(
    base: PreTrainedModel | str | Path,
    tuned: PreTrainedModel | str | Path,
    policy: Any = "module_aware",
    *,
    directory: str | Path | None = None,
    name: str = "pack",
    calibration: Any = None,
    **options: Any,
) -> SkillPack:
    """Compress what tuning changed (GraftLLM).

    Args:
        base: the model before, in memory or as a directory; a pack fits this very model.
        tuned: the same model after.
        policy: an option of the group ``pack`` (``docs/graftllm.md``) by name, or its options.
        directory: where the pack is written; must not exist. Default: a temporary one, which is
            removed with the pack object.
        name: what the pack is called.
        calibration: token ids of some texts, a list for each; GPTQ's rounding reads them.
        options: of the policy, e.g. ``budget={"target": 0.05}``.

    Returns:
        The pack, open: ``mounted`` puts it on, ``pack.bytes_count`` is its size.

    Raises:
        ConfigError: for an unknown policy or option, a value out of range, or GPTQ without texts.
        CompatibilityError: where the two are not the same kind of model.
    """
    label = policy if isinstance(policy, str) else getattr(policy, "name", "")
    call = f"pack(policy={label!r})"
    config = chosen("pack", policy, options, call)
    hessians = None
    if str(config.quant.method) == "gptq":
        if not calibration or not isinstance(tuned, PreTrainedModel):
            raise ConfigError(
                f"{call} rounds by GPTQ, and needs calibration= (token ids of some texts) and "
                "tuned as a model in memory; or give quant={'method': 'rtn'}"
            )
        from franken.skillpack.calibration import input_moments

        hessians = input_moments(tuned, [list(ids) for ids in calibration])
    scratch = None if directory is not None else Path(tempfile.mkdtemp(prefix="franken-pack-"))
    place = Path(directory) if scratch is None else scratch / "pack"  # type: ignore[arg-type]
    try:
        made = pack_difference(
            _weights(base), _weights(tuned), config, place, name=name,
            lineage=lineage_of(base) if isinstance(base, PreTrainedModel) else "",
            hessians=hessians,
        )  # fmt: skip
    except BaseException:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)
        raise
    if scratch is not None:
        weakref.finalize(made, shutil.rmtree, scratch, ignore_errors=True)
    return made


@contextmanager
def mounted(
    model: PreTrainedModel,
    *packs: SkillPack | str | Path,
    weights: Mapping[str, float] | None = None,
    check: bool = True,
) -> Iterator[PreTrainedModel]:
    """The model with packs on it, for the length of a ``with`` block; every bit is put back.

    Args:
        model: the one that the packs were made on; on any device.
        packs: packs, or their directories; their changes add up.
        weights: name of a pack -> factor of its change; default 1.
        check: compare the model with the digests of the packs' base. Switch it off only to try a
            pack on a relative.

    Raises:
        CompatibilityError: where a pack belongs to another base; the model is as before then.
        ConfigError: for a weight of a pack that is not among ``packs``.
    """
    opened = [p if isinstance(p, SkillPack) else SkillPack(Path(p)) for p in packs]
    factors = dict(weights or {})
    if unknown := sorted(set(factors) - {p.name for p in opened}):
        names = ", ".join(p.name for p in opened)
        raise ConfigError(f"mounted: weights names {unknown[0]!r}, which is no pack here: {names}")
    mounts = Mounts.of(model)
    with ExitStack() as stack:
        for one in opened:
            weight = factors.get(one.name, 1.0)
            stack.enter_context(mounts.mounted(one, weight=weight, check=check))
        yield model


def _weights(model: Any) -> Weights:
    if isinstance(model, PreTrainedModel):
        return LoadedWeights(model, body=model_fingerprint(model))
    return StoredWeights.of_checkpoint(Path(model))
