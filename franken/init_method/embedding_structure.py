"""Rows drawn from the source rows of the same script and position in the word.

Downey et al. 2023 (arXiv 2309.04679): the class of a piece is the script of most of its characters,
the word-start mark left out, times word-initial or word-medial; new rows are N(mean, std per
dimension) over the source rows of the class; shared pieces are copied (its "identity";
``copy_overlap=false`` switches that off). A class that the source lacks, or has in fewer than
``min_rows`` rows, draws from all rows. Classes come from bytes, so that every kind of tokenizer has
word-initial pieces (the port in llm-cva finds none in SentencePiece BPE); pieces of incomplete
letters are a class of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

from franken.config.checks import at_least
from franken.declare import option
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    import torch
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import DrawClasses, Provenance, TokenMap
    from franken.tokenizer.pieces import text_of
    from franken.tokenizer.scripts import main_script


@option
class EmbeddingStructureInit(InitMethod):
    """Rows drawn per script and position in the word; shared pieces copied."""

    paper: ClassVar[str] = "Downey et al. 2023, arXiv 2309.04679"

    position: bool = True
    """Whether word-initial and word-medial pieces are classes of their own."""
    min_rows: int = 2
    """Classes with fewer source rows draw from all rows: one row has no deviation."""
    parity: bool = False
    """Draw control tokens too, by the letters of their names, over their copies, as released."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        yield from at_least("min_rows", self.min_rows, 1)

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used."""
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        names: dict[int, str] = {}
        if self.parity:
            names = {index: name for name, index in target.get_vocab().items()}
            builder.release([row for row in names if builder.target_bytes[row] is None])
        own = [class_of(data, position=self.position) for data in builder.source_bytes]
        sizes = Counter(name for name in own if name is not None)
        usable = sorted(name for name, count in sizes.items() if count >= self.min_rows)
        number = {name: index for index, name in enumerate(usable)}
        of_target = torch.full((len(builder.target_bytes),), -1, dtype=torch.int32)
        drawn: Counter[str] = Counter()
        for row in builder.undecided():
            data = builder.target_bytes[row]
            name = class_of(names[row].encode() if data is None else data, position=self.position)
            drawn[str(name)] += 1
            of_target[row] = number.get(str(name), -1)
        builder.mark((of_target >= 0).nonzero().flatten().tolist(), Provenance.computed)
        of_source = [-1 if name is None else number.get(name, -1) for name in own]
        builder.notes["classes"] = {
            name: {"source_rows": sizes.get(name, 0), "drawn": count}
            for name, count in sorted(drawn.items())
        }
        builder.notes["unseen_classes"] = sorted(name for name in drawn if name not in number)
        classes = DrawClasses(usable, torch.tensor(of_source, dtype=torch.int32), of_target)
        return builder.build(Fallback.normal, classes=classes)


def class_of(data: bytes | None, *, position: bool) -> str | None:
    """``Latin, word-initial``; ``None`` for what stands for no text."""
    if data is None:
        return None
    text = text_of(data)
    if text is None:
        return "incomplete letters"
    script = main_script(text.removeprefix(" ") or text)
    if not position:
        return script
    return f"{script}, word-{'initial' if text.startswith(' ') else 'medial'}"
