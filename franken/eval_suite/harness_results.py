"""What lm-evaluation-harness found, as scores and items; and the language of one of its tasks."""

import math
import re
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

import numpy as np

from franken.data.source import DataSource
from franken.eval_suite.languages import LONG_CODES, NAMES, short_code
from franken.eval_suite.suite import Item, Score, SuiteResult
from franken.statistics import Units, ratio

NO_LANGUAGE = "und"
"""ISO 639 code of tasks whose name tells no language."""
_CODES = {**{name.lower(): code for code, name in NAMES.items()}, **LONG_CODES}
_CODES |= {code: code for code in NAMES}
"""How task names spell languages -> ISO 639-1 code."""


def add_results(result: SuiteResult, found: Mapping[str, Any], data: DataSource) -> None:
    """The harness's results as scores, its samples as items."""
    harness = f"lm-eval {version('lm_eval')}"
    for name, figures in {**found["results"], **found.get("groups", {})}.items():
        language = language_of(name, data)
        size = found["n-samples"].get(name) or {}
        shared = {
            "harness": harness,
            "version": found["versions"].get(name),
            "shots": found["n-shot"].get(name),
            "lang_role": _role(language, data),
            **({"set_size": size["original"]} if size else {}),
        }
        for key, value in figures.items():
            metric, _, filtered = key.partition(",")
            if not filtered or metric.endswith("_stderr") or not isinstance(value, (int, float)):
                continue
            spread = figures.get(f"{metric}_stderr,{filtered}")
            better = found.get("higher_is_better", {}).get(name, {}).get(metric)
            result.scores.append(
                Score(
                    name,
                    language,
                    metric if filtered == "none" else f"{metric}/{filtered}",
                    float(value),
                    int(size.get("effective") or figures.get("sample_len") or 0),
                    float(spread) if isinstance(spread, (int, float)) else None,
                    {**shared, "better": 1 if better else -1 if better is False else 0},
                    _units(found["samples"].get(name, []), metric, filtered, float(value)),
                )
            )
    for name, samples in found["samples"].items():
        result.items.setdefault(name, []).extend(
            _item(sample, language_of(name, data)) for sample in samples
        )


def _units(
    samples: Sequence[Mapping[str, Any]], metric: str, filtered: str, value: float
) -> Units | None:
    """The items of a metric that is their mean; ``None`` for any other."""
    own = [sample for sample in samples if sample.get("filter", filtered) == filtered]
    parts = [sample.get(metric) for sample in own]
    if not parts or not all(isinstance(part, (bool, int, float)) for part in parts):
        return None
    units = Units.of([sample["doc_id"] for sample in own], parts)  # type: ignore[arg-type]
    return units if math.isclose(ratio(units), value, rel_tol=1e-6, abs_tol=1e-9) else None


def _role(language: str, data: DataSource) -> str:
    if language == data.config.source_language:
        return "source"
    return "target" if language in data.config.languages else "other"


def _item(sample: Mapping[str, Any], language: str) -> Item:
    """One item: what was asked and answered, and its share in each metric."""
    own = {key: sample[key] for key in ("target", "arguments", "filtered_resps", "filter")}
    metrics = {name: _plain(sample[name]) for name in sample.get("metrics", [])}
    return {"lang": language, "id": str(sample["doc_id"]), **_plain(own), **metrics}


def _plain(value: Any) -> Any:
    """JSON values; what is none is written out."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def language_of(name: str, data: DataSource) -> str:
    """Language of a task by the last part of its name that is a language's code.

    The data's own spelling of the code is preferred; :data:`NO_LANGUAGE` where there is none.
    """
    own = [data.config.source_language, *data.config.languages]
    for code in own:
        if name.endswith(f"_{code}") or f"_{code}_" in name:
            return code
    for part in reversed(re.split("[_-]", name)[1:]):
        if part in _CODES:
            same = (code for code in own if short_code(code) == _CODES[part])
            return next(same, _CODES[part])
    return NO_LANGUAGE
