"""Score against size: one curve per way of compressing a change, all in one figure."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.report.plots import INK, MARKERS, PALETTE, Plot, save_figure, slug
from franken.report.records import Record
from franken.report.sizes import SizePoint, families, learnt_task, size_points

SMALL, ENOUGH = 0.1, 0.95
"""What a pack is asked for: at most a tenth of the dense change, at least 95 % of the gain."""
_STYLES = ("-", "--", ":")
_FLOOR = -0.12


def draw_sizes(records: Sequence[Record], directory: Path) -> list[Plot]:
    """The figure of the task that the tuned model learnt; none where there is no such task."""
    found = learnt_task(records)
    if found is None:
        return []
    task, metric, lang = found
    points = size_points(records, task=task, metric=metric, lang=lang)
    if len(points) < 2:
        return []
    return [draw_points(points, directory / f"sizes_{slug(task)}.png", title=f"{task} ({lang})")]


def draw_points(points: Sequence[SizePoint], path: Path, *, title: str) -> Plot:
    """Gain kept (or the score, where no gain is above the noise) over the share of the bytes.

    Hollow marks are policies as configured, filled ones policies scaled to a budget; bars are
    standard errors over the items. What lies below -10 % is drawn at the lower edge.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 5.4), layout="constrained", facecolor="white")
    axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    gains = all(point.recovery is not None for point in points)
    low = min(point.ratio for point in points)
    if gains:
        axes.axhspan(100 * ENOUGH, 108, color="#009E73", alpha=0.06, zorder=0)
        axes.axhline(100 * ENOUGH, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        axes.axhline(0, color="#bbbbbb", linewidth=0.8)
        axes.text(100 * low * 0.82, 100 * ENOUGH + 0.7, "95 % of the gain", fontsize=8, color=INK)
    axes.axvline(100 * SMALL, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    for number, (family, own) in enumerate(families(points).items()):
        _curve(axes, family, own, number, gains)
    axes.set_xscale("log")
    top = max(point.ratio for point in points)
    ticks = [t for t in (1, 2, 5, 10, 20, 50, 100, 200) if 60 * low <= t <= 140 * top]
    axes.set_xticks(ticks, [f"{t} %" for t in ticks])
    axes.minorticks_off()
    axes.set_xlim(78 * low, 125 * top)
    axes.tick_params(colors=INK, labelsize=9)
    axes.set_xlabel("bytes of the pack as a share of the dense bfloat16 change (log)", color=INK)
    axes.set_ylabel("share of the fine-tuned gain kept (%)" if gains else "score", color=INK)
    if gains:
        axes.set_ylim(100 * _FLOOR - 3, 108)
    axes.grid(axis="y", color="#e3e3e3", linewidth=0.6)
    figure.legend(
        loc="outside right center", frameon=False, fontsize=9,
        title="policy\n(hollow: as configured,\nfilled: scaled to a budget)", title_fontsize=8,
    )  # fmt: skip
    return save_figure(figure, path, f"{title}: {finding(points)}")


def _curve(axes: Any, family: str, own: Sequence[SizePoint], number: int, gains: bool) -> None:
    colour = PALETTE[number % len(PALETTE)]
    marker = MARKERS[(number + number // len(PALETTE)) % len(MARKERS)]
    heights = [100 * max(p.recovery or 0.0, _FLOOR) if gains else p.score for p in own]
    places = [100 * p.ratio for p in own]
    axes.plot(
        places, heights, color=colour, linestyle=_STYLES[number // len(PALETTE) % 3],
        linewidth=1.6, label=family, marker=marker, markersize=5.5,
    )  # fmt: skip
    if gains:
        axes.errorbar(
            places, heights, yerr=[100 * (p.stderr or 0.0) for p in own], fmt="none",
            ecolor=colour, elinewidth=0.8, alpha=0.5,
        )  # fmt: skip
    plain = [n for n, point in enumerate(own) if "@" not in point.policy]
    axes.plot(
        [places[n] for n in plain], [heights[n] for n in plain], linestyle="none", marker=marker,
        markersize=8, markerfacecolor="white", markeredgecolor=colour, markeredgewidth=1.6,
        zorder=3,
    )  # fmt: skip


def finding(points: Sequence[SizePoint]) -> str:
    """What the points say of the requirement, in words."""
    gains = [(p.recovery, p) for p in points if p.recovery is not None]
    if not gains:
        return "tuning gained no more than the noise, so no share of it can be kept"
    small = [p for kept, p in gains if kept >= ENOUGH and p.ratio <= SMALL]
    if small:
        least = min(small, key=lambda point: point.bytes)
        return (
            f"{100 * least.ratio:.1f} % of the dense change keep "
            f"{100 * (least.recovery or 0.0):.0f} % of the gain ({least.policy})"
        )
    under = [(kept, p) for kept, p in gains if p.ratio <= SMALL]
    if not under:
        return "no pack takes a tenth of the dense change or less"
    kept, best = max(under, key=lambda item: item[0])
    return (
        f"no pack of a tenth of the dense change keeps 95 % of the gain; {best.policy} keeps "
        f"{100 * kept:.0f} % in {100 * best.ratio:.1f} %"
    )
