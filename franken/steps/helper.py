"""Train or read a target-language model over the target tokenizer; its table is the result."""

from __future__ import annotations

from dataclasses import asdict, field
from typing import Any, ClassVar

from franken.config.base_model import LoadedModel
from franken.config.data import DataConfig
from franken.data import open_data
from franken.files import write_json
from franken.helper_model.base import HelperModel
from franken.lazy import later
from franken.steps.base import Part, Step, step
from franken.steps.common.file_hashes import checkpoint_hash
from franken.steps.common.key_parts import precision_of, texts

with later():
    from franken.config.root import Config
    from franken.parts.table import save_table
    from franken.parts.tokenizer_files import load_tokenizer
    from franken.steps.common.context import StepContext
    from franken.steps.common.lines import lines_of


@step
class HelperStep(Step):
    """Train or read a model of the target languages over the target tokenizer."""

    output: ClassVar[Part] = Part.helper
    inputs: ClassVar[dict[str, Part]] = {"tokenizer": Part.vocabulary}
    tokenizer: str = ""
    helper: HelperModel = field(default_factory=HelperModel)
    data: DataConfig = field(default_factory=DataConfig)

    def key(self, config: Config) -> dict[str, Any]:
        """A checkpoint enters by its files, a model that is trained by its options."""
        if not self.helper.trains:
            path, revision = self.helper.checkpoint()
            found = LoadedModel(path=path, revision=revision)
            default, own = asdict(type(self.helper)()), asdict(self.helper)
            place = ("path", "revision")
            changed = {k: v for k, v in own.items() if v != default[k] and k not in place}
            return {"helper": self.helper.name, "files": checkpoint_hash(found), **changed}
        return {
            "helper": asdict(self.helper), "data": texts(self.data),
            "precision": precision_of(config),
        }  # fmt: skip

    def run(self, context: StepContext) -> dict[str, Any]:
        """Writes ``table``, as wide as the helper's own rows."""
        tokenizer = load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
        source = open_data(self.data)
        lines = {language: lines_of(source, language) for language in self.data.languages}
        table, report = self.helper.table(tokenizer, lines, context.trainer, context.seed)
        save_table(table, context.directory / "table")
        write_json(context.directory / "report.json", report)
        return {"width": table.hidden_size, **report}
