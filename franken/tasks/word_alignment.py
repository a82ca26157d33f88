"""How well a model's states link the words of sentence pairs whose links are known.

Rule and layer are those of awesome-align (Dou & Neubig, EACL 2021, arXiv 2101.08231); the error
rate is that of Och & Ney (2003), with all known links sure.
"""

from __future__ import annotations

from itertools import islice
from typing import ClassVar

from franken.lazy import later
from franken.tasks.base import EvalTask, Guesses, task_kind

with later():
    from franken.alignment.base import Extraction, Similarity
    from franken.alignment.common.bitext import by_space, read_bitext
    from franken.alignment.common.contextual import Rule, StateAligner
    from franken.errors import DataError
    from franken.eval_suite.suite import TaskRun
    from franken.statistics import Units


@task_kind
class WordAlignment(EvalTask):
    """Alignment error rate of links that are read off the states of either side.

    ``options``: ``layer``, ``similarity``, ``extraction``, ``threshold`` as ``alignment=
    awesome_align`` has them, but for mutual nearest by cosine where nothing is said.
    """

    reads_text: ClassVar[bool] = True
    roles: ClassVar[tuple[str, ...]] = ("parallel",)
    guesses: ClassVar[Guesses] = Guesses.either

    def run(self, task: TaskRun) -> None:
        """``1 - 2 |found and known| / (|found| + |known|)`` of held-out pairs.

        Raises:
            DataError: where the pairs come without links.
        """
        from franken.eval_suite.suite import VALID

        options = task.config.options
        rule = Rule(
            Similarity(options.get("similarity", "cosine")),
            extraction=Extraction(options.get("extraction", "argmax")),
            threshold=float(options.get("threshold", 1e-3)),
        )
        aligner = StateAligner(
            task.readout.run, task.encoder.tokenizer, layer=options.get("layer"), rule=rule,
            longest=task.readout.positions or 512, device=task.readout.device,
            batch_tokens=task.batch_tokens,
        )  # fmt: skip
        for lang in task.languages(task.speaks, targets_only=True):
            pairs = list(islice(task.data.pairs(lang, VALID), task.config.limit))
            if not pairs or any(pair.alignment is None for pair in pairs):
                raise DataError(
                    f"task {task.name!r} needs the word links of sentence pairs in {lang!r}, and "
                    "the data has none; the embedded world (data=microworld) has"
                )
            found = aligner.sentences(read_bitext(pairs, splitter=by_space))
            wrong, size = [], []
            for own, pair in zip(map(set, found), pairs, strict=True):
                known = set(pair.alignment or ())
                size.append(float(len(own) + len(known)))
                wrong.append(size[-1] - 2 * len(own & known))
            units = Units.of(range(len(pairs)), wrong, size)
            task.score(lang, "alignment_error_rate", units)
