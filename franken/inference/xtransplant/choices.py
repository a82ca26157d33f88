"""What a transplant can be told by name: where, how, from whom, for how long."""

from enum import StrEnum


class Site(StrEnum):
    """Which activation is transplanted."""

    ffn_out = "ffn_out"
    """Output of the feed-forward block, before a norm that may follow it: the paper's v1."""
    ffn_branch = "ffn_branch"
    """What the feed-forward block adds to the residual, after that norm (Gemma 2/3, OLMo 2)."""
    attn_out = "attn_out"
    """Output of the attention block: what the paper's v2 describes."""
    mid_residual_added = "mid_residual_added"
    """The residual after attention, written in place of the attention output: what v2's release
    computes, because an in-place sum overwrites the stored tensor."""
    block_out = "block_out"
    """The residual stream after the layer."""


class Op(StrEnum):
    """How the donor's vector ``f`` and the target's own ``o`` are combined."""

    replace = "replace"  # type: ignore[assignment]
    """``f``: the paper."""
    add = "add"
    """``o + alpha f``"""
    lerp = "lerp"
    """``(1 - alpha) o + alpha f``"""


class Positions(StrEnum):
    """Which prompt positions are patched."""

    last = "last"
    all = "all"
    """Needs donor and target prompts of equal length in tokens."""


class Steps(StrEnum):
    """Which forward passes are patched."""

    prefill = "prefill"
    """Only the one that yields the first new token: the paper."""
    every = "every"
    """Each one; the donor decodes freely on its own, and its vectors of the same step are used."""


class DonorKind(StrEnum):
    """Where the transplanted vectors come from."""

    translation = "translation"
    """The same question in the other language: the paper."""
    self = "self"
    """The target prompt itself: a control without a second language."""
    shuffled = "shuffled"
    """The translation of another question of the same language: a control without the meaning."""
    noise = "noise"
    """Gaussian directions with the norms of the translation's vectors: a control without content
    (the release's noise control is not defined)."""


class Unstable(StrEnum):
    """What is done with rows whose best two tokens nearly tie."""

    mark = "mark"
    rerun = "rerun"
    """Run again with the naive engine; still marked."""


class Stop(StrEnum):
    """When a row's generation ends, beside end-of-text and the token limit."""

    text = "text"
    """Never earlier."""
    verdict = "verdict"
    """As soon as the strict matcher's verdict cannot change; texts and other matchers are cut."""
    first_correct = "first_correct"
    """A sample ends with its first correct pair: enough for the upper bound, no heat map."""
