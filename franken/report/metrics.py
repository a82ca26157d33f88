"""How each metric is read: its unit, its format, and which direction is better."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Metric:
    """Presentation of one metric.

    Attributes:
        name: as in the records.
        label: for headings and axes, with the unit.
        factor: what a stored value is multiplied by for display (100 for fractions).
        digits: decimals shown.
        better: ``1`` higher, ``-1`` lower, ``0`` neither.
    """

    name: str
    label: str
    factor: float = 1.0
    digits: int = 2
    better: int = 0

    def shown(self, value: float) -> str:
        """The value in display units."""
        return f"{value * self.factor:.{self.digits}f}"

    def signed(self, value: float) -> str:
        """A difference in display units, with its sign."""
        text = f"{value * self.factor:+.{self.digits}f}"
        return text.replace("-", "\u2212") if float(text) else text[1:]


_KNOWN = {
    metric.name: metric
    for metric in (
        Metric("acc", "accuracy (%)", 100, 1, 1),
        Metric("acc_norm", "accuracy by log-likelihood per character (%)", 100, 1, 1),
        Metric("acc_bytes", "accuracy by log-likelihood per byte (%)", 100, 1, 1),
        Metric("acc_exact", "exact match (%)", 100, 1, 1),
        Metric("f1", "word F1 (%)", 100, 1, 1),
        Metric("name_f1", "F1 of names (%)", 100, 1, 1),
        Metric("exact_match", "exact match (%)", 100, 1, 1),
        Metric("mcc", "Matthews correlation (%)", 100, 1, 1),
        Metric("perplexity", "perplexity", 1, 2, -1),
        Metric("word_perplexity", "perplexity per word", 1, 2, -1),
        Metric("byte_perplexity", "perplexity per byte", 1, 3, -1),
        Metric("chrf++", "chrF++ (0-100)", 1, 1, 1),
        Metric("chrf", "chrF (0-100)", 1, 1, 1),
        Metric("bleu", "BLEU (0-100)", 1, 1, 1),
        Metric("bits_per_byte", "bits per byte", 1, 3, -1),
        Metric("pseudo_bits_per_byte", "pseudo-perplexity, bits per byte", 1, 3, -1),
        Metric("reference_bits_per_byte", "bits per byte of the references", 1, 3, -1),
        Metric("tokens_per_byte", "tokens per byte", 1, 3, -1),
        Metric("tokens_per_word", "tokens per word", 1, 2, -1),
        Metric("parity", "tokens per source-language token (parallel text)", 1, 2, -1),
        Metric("byte_piece_share", "tokens that are byte pieces (%)", 100, 1, -1),
        Metric("unknown_share", "unknown tokens (%)", 100, 1, -1),
        Metric("round_trip_failures", "lines not restored by decoding (%)", 100, 1, -1),
        Metric("acc_lenient", "accuracy, lenient matcher (%)", 100, 1, 1),
        Metric("acc_option", "accuracy by first-token logits of the options (%)", 100, 1, 1),
        Metric("upper_bound", "upper bound, no accuracy (%)", 100, 1, 0),
        Metric("upper_bound_with_vanilla", "upper bound with vanilla, no accuracy (%)", 100, 1, 0),
        Metric("mean_rate", "a pair, on average (%)", 100, 1, 0),
        Metric("sampled_bound", "best of the sampled answers, no accuracy (%)", 100, 1, 0),
        Metric("seconds_to_first_token", "time to the first token (ms)", 1000, 0, -1),
        Metric("characters_per_second", "characters written per second", 1, 0, 1),
        Metric("new.share", "new tokens in the text (%)", 100, 1, 0),
        Metric("new.written", "in generations (%)", 100, 1, 0),
        Metric("new.mass", "expected (%)", 100, 1, 0),
        Metric("new.probability", "probability, new (%)", 100, 1, 1),
        Metric("old.probability", "old (%)", 100, 1, 1),
        Metric("new.rank", "median rank, new", 1, 0, -1),
        Metric("old.rank", "old", 1, 0, -1),
        Metric("new.dead", "dead (%)", 100, 1, -1),
        Metric("new.norm", "norm, new over old", 1, 2, 0),
        Metric("new.cosine", "cosine to the mean, new", 1, 2, 0),
        Metric("old.cosine", "old", 1, 2, 0),
        Metric("new.moved", "moved, new", 1, 3, 0),
        Metric("old.moved", "old", 1, 3, 0),
        Metric("new.changed", "new rows changed (%)", 100, 1, 0),
        Metric("average_rank", "average rank of tokens", 1, 0, 0),
        Metric("characters_per_token", "characters per token", 1, 2, 0),
        Metric("divergence_from_source", "divergence from the source language (bits)", 1, 3, 0),
        Metric("vocabulary_utilisation", "vocabulary in use (%)", 100, 1, 0),
    )
}
PRIMARY = (
    "acc",
    "acc_exact",
    "exact_match",
    "chrf++",
    "bits_per_byte",
    "pseudo_bits_per_byte",
    "tokens_per_byte",
)
"""Metrics that stand for their task in the overview, in order of preference."""


def metric_of(name: str) -> Metric:
    """Presentation of a metric; unknown ones are shown as they are."""
    base, _, answer = name.partition("/")  # lm-eval's way to read an answer out of a text
    if base in _KNOWN:
        known = _KNOWN[base]
        return replace(known, name=name, label=f"{known.label}, {answer}") if answer else known
    if name.startswith("acc"):
        return Metric(name, f"{name} (%)", 100, 1, 1)
    return Metric(name, name, 1, 3, 0)


def is_accuracy(name: str) -> bool:
    """Whether values are fractions of right answers."""
    return name.startswith("acc")


def is_bound(name: str) -> bool:
    """Whether values are figures of a search over layer pairs, which has tables of its own."""
    return name.startswith(("upper_bound", "mean_rate", "sampled_bound"))


def is_of_new_tokens(name: str) -> bool:
    """Whether values tell what became of new tokens, which have a table of their own."""
    return name.startswith(("new.", "old."))


def shows_gain(name: str) -> bool:
    """Whether a difference to the baseline model is worth a column."""
    return is_accuracy(name) or name in ("chrf++", "bleu")


def primary_metric(names: list[str]) -> str:
    """The metric that stands for a task."""
    for name in PRIMARY:
        if name in names:
            return name
    return names[0]
