"""Heat maps over layer pairs, curves over layers, and the budget curve, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.report.plots import INK, MARKERS, PALETTE, Plot, save_figure, slug
from franken.report.transplants import Transplant

PANELS = 4
"""Sets per figure."""


def draw_transplants(transplants: Sequence[Transplant], directory: Path) -> list[Plot]:
    """Every figure that the summaries allow, in reading order."""
    plots = []
    for transplant in transplants:
        names = [name for name in transplant.sets if transplant.searched(name)][:PANELS]
        if names:
            plots.append(_heat_maps(transplant, names, directory))
            plots.append(_curves(transplant, names, directory))
    names = list(dict.fromkeys(name for t in transplants for name in t.sets))
    for name in names:
        having = [t for t in transplants if name in t.sets]
        own = [t for t in having if t.searched(name)]
        if own:
            plots.append(_budget(name, own[: len(PALETTE)], directory))
    return plots


def _panels(count: int, height: float) -> tuple[Any, list[Any]]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.2 + 3.4 * count, height), layout="constrained", facecolor="white")
    panels = list(figure.subplots(1, count, squeeze=False)[0])
    for axes in panels:
        axes.tick_params(colors=INK, labelsize=8)
    return figure, panels


def _heat_maps(transplant: Transplant, names: Sequence[str], directory: Path) -> Plot:
    """Accuracy of every pair; source layers upwards, target layers to the right, from 0."""
    figure, panels = _panels(len(names), 3.9)
    best = []
    tops = [transplant.overall(name)["best_pair"]["value"] for name in names]
    top = max(10.0, 100 * max(tops))
    for axes, name in zip(panels, names, strict=True):
        figures = transplant.overall(name)
        cells = [[float("nan") if v is None else 100 * v for v in row] for row in figures["heat"]]
        image = axes.imshow(
            cells, origin="lower", cmap="viridis", aspect="equal", vmin=0.0, vmax=top
        )
        figure.colorbar(image, ax=axes, shrink=0.75, label="right (%)")
        source, target = figures["best_pair"]["pair"]
        if figures["best_pair"]["value"]:
            axes.plot(target, source, marker="x", color="white", markersize=9)
            shown = f"{figures['best_pair']['value']:.0%} at {source} to {target}"
            best.append(f"{name} {shown}")
        axes.set_title(name, fontsize=9, loc="left", color=INK)
        axes.set_xlabel("target layer", color=INK)
        axes.set_ylabel("source layer", color=INK)
        ticks = range(0, len(cells), max(1, len(cells) // 8))
        axes.set_xticks(ticks)
        axes.set_yticks(ticks)
    found = ", ".join(best) or "none is ever right"
    title = f"{transplant.label}: best pair of these samples (optimistic): {found}"
    path = directory / f"transplant_heat_{slug(transplant.label)}.png"
    return save_figure(figure, path, title)


def _curves(transplant: Transplant, names: Sequence[str], directory: Path) -> Plot:
    """Upper bound with one layer fixed."""
    figure, panels = _panels(len(names), 3.4)
    for axes, name in zip(panels, names, strict=True):
        figures = transplant.overall(name)
        for number, (key, shown) in enumerate((("by_source", "source"), ("by_target", "target"))):
            points = [(n, 100 * v) for n, v in enumerate(figures[key]) if v is not None]
            axes.plot(*zip(*points, strict=True), color=PALETTE[number], marker=MARKERS[number],
                      markersize=4, linewidth=1.5, label=f"{shown} layer fixed")  # fmt: skip
        lines = {"upper bound": figures["upper_bound"]["value"],
                 "vanilla": figures["plain"].get("vanilla", {}).get("value")}  # fmt: skip
        for (shown, value), style in zip(lines.items(), ("--", ":"), strict=True):
            if value is not None:
                axes.axhline(100 * value, color=INK, linestyle=style, linewidth=1, label=shown)
        axes.set_title(name, fontsize=9, loc="left", color=INK)
        axes.set_xlabel("layer", color=INK)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_ylim(-2, 102)
        axes.grid(color="#dddddd", linewidth=0.6)
    panels[0].set_ylabel("upper bound (%)", color=INK)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower left", ncols=4, frameon=False, fontsize=8)
    path = directory / f"transplant_curves_{slug(transplant.label)}.png"
    return save_figure(figure, path, f"{transplant.label}: upper bound with one layer fixed")


def _budget(name: str, transplants: Sequence[Transplant], directory: Path) -> Plot:
    """Best of k pairs drawn at random against k, beside sampled answers."""
    figure, (axes,) = _panels(1, 4.2)
    figure.set_figwidth(7.5)
    ends = []
    for number, transplant in enumerate(transplants):
        figures = transplant.overall(name)
        _line(axes, figures["budget"], PALETTE[number], "-", transplant.label)
        if "sampled" in figures:
            _line(axes, figures["sampled"], PALETTE[number], "--", f"{transplant.label}: sampled")
        ends.append(f"{transplant.label} {figures['upper_bound']['value']:.0%}")
    models: set[str] = set()
    for number, transplant in enumerate(transplants):
        model = str(transplant.content["model"])
        vanilla = transplant.overall(name)["plain"].get("vanilla")
        if vanilla and model not in models:
            models.add(model)
            axes.axhline(
                100 * vanilla["value"], color=PALETTE[number], linestyle=":", linewidth=1,
                label=f"{model}: vanilla",
            )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(-2, 102)
    axes.set_xlabel("k runs per sample", color=INK)
    axes.set_ylabel("at least one right (%)", color=INK)
    axes.grid(color="#dddddd", linewidth=0.6)
    figure.legend(loc="outside lower left", ncols=3, frameon=False, fontsize=8)
    title = f"{name}: best of k, up to {', '.join(ends)}"
    return save_figure(figure, directory / f"transplant_budget_{slug(name)}.png", title)


def _line(axes: Any, points: dict[str, Any], colour: str, style: str, label: str) -> None:
    ks = sorted(points, key=int)
    steps = [int(k) for k in ks]
    axes.plot(steps, [100 * points[k]["value"] for k in ks], color=colour, linestyle=style,
              linewidth=1.5, label=label)  # fmt: skip
    known = [k for k in ks if points[k]["low"] is not None]
    axes.fill_between(
        [int(k) for k in known], [100 * points[k]["low"] for k in known],
        [100 * points[k]["high"] for k in known], color=colour, alpha=0.12, linewidth=0,
    )  # fmt: skip
