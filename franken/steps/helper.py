"""Train or read a target-language model over the target tokenizer; its table is the result."""

from dataclasses import asdict
from typing import Any

import torch

from franken.config.base_model import LoadedModel
from franken.config.helper_model import CheckpointHelper, TrainedHelper
from franken.config.steps import HelperStep
from franken.data import open_data
from franken.files import write_json
from franken.helper_model import read_helper, train_helper
from franken.parts.table import save_table
from franken.parts.tokenizer_files import load_tokenizer
from franken.steps.build_vocab import lines_of
from franken.steps.context import StepContext
from franken.steps.keys import resolve_checkpoint
from franken.training.environment import isolated


def run(step: HelperStep, context: StepContext) -> dict[str, Any]:
    """Writes ``table``, as wide as the helper's own rows."""
    tokenizer = load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
    if isinstance(step.helper, CheckpointHelper):
        found = LoadedModel(path=step.helper.path, revision=step.helper.revision)
        table, counts = read_helper(
            resolve_checkpoint(found), tokenizer, drop_untrained=step.helper.drop_untrained
        )
        report: dict[str, Any] = dict(counts)
    else:
        assert isinstance(step.helper, TrainedHelper)
        source = open_data(step.data)
        texts = {language: lines_of(source, language) for language in step.data.languages}
        wants_gpu = context.trainer.accelerator in ("gpu", "cuda", "auto")
        device = "cuda" if wants_gpu and torch.cuda.is_available() else "cpu"
        with isolated(context.trainer.threads):
            table, trained = train_helper(
                step.helper, tokenizer, texts, context.seed, device=device
            )
        report = asdict(trained)
    save_table(table, context.directory / "table")
    write_json(context.directory / "report.json", report)
    return {"width": table.hidden_size, **report}
