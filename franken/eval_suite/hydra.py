"""Hydra LLMs in evaluation: every language is read and written in its own table."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from franken.composition.hydra import HydraModel
from franken.config.eval_suite import TaskConfig
from franken.data.source import DataSource
from franken.eval_suite.encoding import Encoder, MixedEncoder
from franken.eval_suite.readout import Readout, read_out


def readers_and_writers(
    hydra: HydraModel, task: TaskConfig, data: DataSource, opening: str = "tokenizer"
) -> Iterator[tuple[TaskConfig, Encoder, Readout]]:
    """The task once per language, with what reads its prompts and writes its answers.

    A translation is read in the table of one language and written in that of the other; all else
    stays within a language, unless the task names ``read`` and ``write``. What reads and writes
    one table is encoded as for the plain model of that table.

    Raises:
        CompatibilityError: for a table that the model lacks, or a language that none serves.
    """
    source = data.config.source_language
    languages = task.languages
    if languages is None:
        first = [] if task.kind == "translation" else [source]
        languages = [*first, *data.config.languages]
    for language in languages:
        sides = [language, language]
        if task.kind == "translation":
            sides = [language, source] if task.reverse else [source, language]
        named = (task.read, task.write)
        read, write = (
            hydra.router.check(table) if table else hydra.router.by_language(side)
            for table, side in zip(named, sides, strict=True)
        )
        view = hydra.view(write, [read])
        own: dict[str, Any] = {"opening": opening, "end_ids": view.ends.ids}
        encoder = Encoder(view.tokenizer, view.writable, **own)
        if read != write:
            encoder = MixedEncoder(
                view.tokenizer, view.tables[read].tokenizer, view.layout.offsets[read],
                view.writable, **own,
            )  # fmt: skip
        yield replace(task, languages=[language]), encoder, read_out(view.model)
