"""Train or read a target-language model over the target tokenizer; its table is the result."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any, ClassVar

from franken.config.base_model import LoadedModel
from franken.config.data import DataConfig
from franken.config.helper_model import CheckpointHelper, HelperModelConfig, TrainedHelper
from franken.lazy import later
from franken.steps.base import Part, Step, step

with later():
    import torch

    from franken.config.root import Config
    from franken.data import open_data
    from franken.files import write_json
    from franken.helper_model import read_helper, train_helper
    from franken.parts.table import save_table
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.steps.common.context import StepContext
    from franken.steps.common.file_hashes import checkpoint_hash, resolve_checkpoint
    from franken.steps.common.key_parts import precision_of, texts
    from franken.steps.common.lines import lines_of
    from franken.training.environment import isolated


@step
class HelperStep(Step):
    """Train or read a model of the target languages over the target tokenizer."""

    output: ClassVar[Part] = Part.helper
    inputs: ClassVar[dict[str, Part]] = {"tokenizer": Part.vocabulary}
    tokenizer: str = ""
    helper: HelperModelConfig = field(default_factory=HelperModelConfig)
    data: DataConfig = field(default_factory=DataConfig)

    def key(self, config: Config) -> dict[str, Any]:
        """A checkpoint enters by its files, a model that is trained by its options."""
        if isinstance(self.helper, CheckpointHelper):
            found = LoadedModel(path=self.helper.path, revision=self.helper.revision)
            dropped = {"drop_untrained": True} if self.helper.drop_untrained else {}
            return {"helper": self.helper.name, "files": checkpoint_hash(found), **dropped}
        return {
            "helper": asdict(self.helper), "data": texts(self.data),
            "precision": precision_of(config),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``table``, as wide as the helper's own rows."""
        tokenizer = load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
        if isinstance(self.helper, CheckpointHelper):
            found = LoadedModel(path=self.helper.path, revision=self.helper.revision)
            table, counts = read_helper(
                resolve_checkpoint(found), tokenizer, drop_untrained=self.helper.drop_untrained
            )
            report: dict[str, Any] = dict(counts)
        else:
            assert isinstance(self.helper, TrainedHelper)
            source = open_data(self.data)
            texts = {language: lines_of(source, language) for language in self.data.languages}
            wants_gpu = context.trainer.accelerator in ("gpu", "cuda", "auto")
            device = "cuda" if wants_gpu and torch.cuda.is_available() else "cpu"
            with isolated(context.trainer.threads):
                table, trained = train_helper(
                    self.helper, tokenizer, texts, context.seed, device=device
                )
            report = asdict(trained)
        save_table(table, context.directory / "table")
        write_json(context.directory / "report.json", report)
        return {"width": table.hidden_size, **report}
