"""Rows for tokens that a user named: like another token, or from a description.

``like`` copies the row of a token of the base, ``text`` is the mean of the rows of the pieces of a
definition or translation (the start that grounded token initialisation trains from: arXiv
2604.02324), and what has neither is the mean of its own pieces, as all other tokens are. Control
tokens have no text of their own: without ``like`` or ``text`` they get the mean of all rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from franken.declare import option
from franken.errors import DataError
from franken.init_method.base import InitMethod
from franken.lazy import later
from franken.token_map.options import Fallback

with later():
    from transformers import PreTrainedTokenizerBase

    from franken.parts.table import Table
    from franken.token_map.builder import MapBuilder
    from franken.token_map.resources import InitResources
    from franken.token_map.token_map import TokenMap
    from franken.tokenizer.named_tokens import read_named_tokens


@option
class NamedTokensInit(InitMethod):
    """Rows of tokens that a file names, like another token or from a description; subtoken means
    elsewhere.
    """

    paper: ClassVar[str] = "cf. grounded token initialisation, arXiv 2604.02324"

    tokens: str = ""
    """The file of ``vocab.tokens``."""

    def faults(self) -> Iterator[tuple[str, str]]:
        yield from super().faults()
        if not self.tokens:
            yield "tokens", "names no file; give the one that vocab.tokens names"

    def paths(self) -> dict[str, str]:
        return {"tokens": self.tokens}

    def fit(
        self,
        source: Table,
        target: PreTrainedTokenizerBase,
        resources: InitResources,
        seed: int,
    ) -> TokenMap:
        """Fit the map; ``resources`` are not used.

        Raises:
            DataError: for a named token that the target lacks, and one that is like an unknown one.
        """
        builder = MapBuilder(source, target, self, seed)
        builder.copy_overlap()
        ids, known = target.get_vocab(), source.tokenizer.get_vocab()
        for named in read_named_tokens(self.tokens):
            if named.token not in ids:
                raise DataError(
                    f"init_method.tokens: the vocabulary has no token {named.token!r}; was it "
                    "built with vocab=extension and the same vocab.tokens?"
                )
            if named.token in known:
                continue  # it has a row
            if named.like is not None:
                if named.like not in known:
                    raise DataError(
                        f"init_method.tokens: {named.token!r} shall be like {named.like!r}, which "
                        "the base does not have"
                    )
                builder.put(ids[named.token], [known[named.like]], [1.0])
            elif named.text is not None:
                pieces = builder.encode([f" {named.text.strip()}".encode()])[0]
                if pieces:
                    share = 1 / len(pieces)
                    builder.put(ids[named.token], pieces, [share] * len(pieces))
        builder.pool_subtokens()
        return builder.build(Fallback.mean)
