"""One answer and its verdicts as a row."""

from franken.inference.xtransplant.contract import Pair, Runs
from franken.inference.xtransplant.rows import Row
from franken.inference.xtransplant.samples import Sample, Tokens
from franken.prompts import Prompt, lenient, option_logit, strict_v1


def judged(
    sample: Sample,
    run: str,
    spot: Pair,
    runs: Runs,
    at: int,
    prompt: Prompt,
    tokens: Tokens,
    *,
    unstable: bool,
) -> Row:
    """Row ``at`` of some runs; where the other language's prompt was answered, golds change sides.

    Args:
        sample: what was asked.
        run: ``transplant``, a baseline, or ``sampled``.
        spot: source and target layer, or what stands for them.
        runs: answers.
        at: which of them.
        prompt: the prompt that was answered.
        tokens: the tokenizer.
        unstable: whether the row's margin is too small.
    """
    pair = sample.pair
    text = tokens.text(runs.tokens[at])
    other = pair.donor.gold if prompt.gold is pair.target.gold else pair.target.gold
    watched = [] if runs.watched is None else runs.watched[at].tolist()
    watched = [value for value in watched if value == value]
    return Row(
        set=pair.set, lang=pair.lang, id=pair.id, index=pair.index, run=run, source=spot[0],
        target=spot[1], tokens=runs.tokens[at], text=text, strict=strict_v1(text, prompt.gold),
        lenient=lenient(text, prompt.gold, other),
        option=option_logit(watched, prompt.gold) if prompt.options else None,
        margin=float(runs.margins[at].min()), unstable=unstable,
    )  # fmt: skip
