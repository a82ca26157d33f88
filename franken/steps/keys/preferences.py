"""Keys of steps that make preferences."""

from typing import Any

from franken.config.root import Config
from franken.config.steps import RankAnswersStep, SampleAnswersStep, Scorer
from franken.data import open_data
from franken.steps.keys.common import precision_of
from franken.steps.keys.files import hash_or_missing

_SAMPLING = ("prompts", "answers", "temperature", "top_p", "top_k", "max_new_tokens", "stop")
_RANKING = ("lang", "with_response", "keep_cut", "same_source", "min_gap", "max_gap", "sft_share",
            "held_out")  # fmt: skip


def sample_answers(step: SampleAnswersStep, config: Config) -> dict[str, Any]:
    """The prompts and how answers are drawn; batches only tile them."""
    return {
        **{name: getattr(step, name) for name in _SAMPLING},
        "tasks": step.data.mixtures[step.split].tasks,
        "data": open_data(step.data).fingerprint({"instructions"}),
        "precision": precision_of(config),
    }  # fmt: skip


def rank_answers(step: RankAnswersStep, config: Config) -> dict[str, Any]:
    """The scores and the filters; a file of scores counts by its content."""
    content = {name: getattr(step, name) for name in _RANKING}
    content |= {"scorer": str(step.scorer), "answers": sorted(step.answers)}
    if step.scorer is Scorer.file:
        content["scores"] = hash_or_missing(step.score_file)
    return content
