"""Heat maps over layer pairs, curves over layers, and the budget curve, as PNG files."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from franken.report.plots import INK, MARKERS, PALETTE, Plot, save_figure, slug
from franken.report.transplant_summaries import Transplant

PANELS = 4
"""Sets per figure."""
WRITTEN_OUT = 8
"""Up to so many layers, the cells of a heat map hold their numbers."""


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
    figure, panels = _panels(len(names), 4.3)
    figure.set_layout_engine("compressed")
    tops = [transplant.overall(name)["best_pair"]["value"] for name in names]
    top = max(10.0, 100 * max(tops))
    best = []
    for axes, name in zip(panels, names, strict=True):
        figures = transplant.overall(name)
        sources, targets, cells = layer_cells(figures["heat"])
        image = axes.imshow(
            cells, origin="lower", cmap="viridis", aspect="equal", vmin=0.0, vmax=top
        )
        source, target = figures["best_pair"]["pair"]
        if figures["best_pair"]["value"]:
            _framed(axes, sources.index(source), targets.index(target))
            best.append(f"{name} {figures['best_pair']['value']:.0%} at {source} → {target}")
        if max(len(sources), len(targets)) <= WRITTEN_OUT:
            _written(axes, cells, top)
        vanilla = figures["plain"].get("vanilla")
        beside = f" (vanilla {vanilla['value']:.0%})" if vanilla else ""
        axes.set_title(name + beside, fontsize=9, loc="left", color=INK)
        axes.set_xlabel("target layer", color=INK)
        for layers, ticks in ((targets, axes.set_xticks), (sources, axes.set_yticks)):
            places = range(0, len(layers), max(1, len(layers) // 8))
            ticks(places, [str(layers[place]) for place in places])
    panels[0].set_ylabel("source layer", color=INK)
    bar = figure.colorbar(image, ax=panels, shrink=0.75, pad=0.01)
    bar.set_label("right (%)", color=INK)
    bar.ax.tick_params(colors=INK, labelsize=8)
    found = ", ".join(best) or "none is ever right"
    title = f"{transplant.label}: best pair of these samples (framed; optimistic): {found}"
    path = directory / f"transplant_heat_{slug(transplant.label)}.png"
    return save_figure(figure, path, title)


def layer_cells(
    heat: Sequence[Sequence[float | None]],
) -> tuple[list[int], list[int], list[list[float]]]:
    """Source layers, target layers and shares in %, of layers that stand in a pair alone."""
    sources = [layer for layer, row in enumerate(heat) if any(v is not None for v in row)]
    targets = [layer for layer, own in enumerate(zip(*heat, strict=True))
               if any(v is not None for v in own)]  # fmt: skip
    values = [[heat[source][target] for target in targets] for source in sources]
    return sources, targets, [[float("nan") if v is None else 100 * v for v in r] for r in values]


def _framed(axes: Any, source: int, target: int) -> None:
    """A frame around a cell, visible on light and dark."""
    from matplotlib.patches import Rectangle

    for colour, width in (("black", 3.5), ("white", 1.5)):
        frame = Rectangle((target - 0.5, source - 0.5), 1, 1, fill=False, edgecolor=colour,
                          linewidth=width, clip_on=False, zorder=3)  # fmt: skip
        axes.add_patch(frame)


def _written(axes: Any, cells: list[list[float]], top: float) -> None:
    for source, row in enumerate(cells):
        for target, value in enumerate(row):
            if value == value:
                colour = "black" if value > 0.6 * top else "white"
                axes.text(target, source, f"{value:.0f}", ha="center", va="center", fontsize=8,
                          color=colour)  # fmt: skip


def _curves(transplant: Transplant, names: Sequence[str], directory: Path) -> Plot:
    """Upper bound with one layer fixed."""
    figure, panels = _panels(len(names), 3.4)
    for axes, name in zip(panels, names, strict=True):
        figures = transplant.overall(name)
        for number, (key, shown) in enumerate((("by_source", "source"), ("by_target", "target"))):
            points = {str(n): point for n, point in enumerate(figures[key]) if point is not None}
            _line(axes, points, PALETTE[number], "-", f"{shown} layer fixed", MARKERS[number])
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
    columns = 4 if len(names) > 1 else 2
    figure.legend(
        handles, labels, loc="outside lower left", ncols=columns, frameon=False, fontsize=8
    )
    path = directory / f"transplant_curves_{slug(transplant.label)}.png"
    title = f"{transplant.label}: upper bound with one layer fixed, 95 % intervals"
    return save_figure(figure, path, title)


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
    title = f"{name}: at least one of k runs right; of all pairs: {', '.join(ends)}"
    return save_figure(figure, directory / f"transplant_budget_{slug(name)}.png", title)


def _line(
    axes: Any, points: dict[str, Any], colour: str, style: str, label: str, marker: str = ""
) -> None:
    """A line with its intervals as a band."""
    ks = sorted(points, key=int)
    steps = [int(k) for k in ks]
    axes.plot(steps, [100 * points[k]["value"] for k in ks], color=colour, linestyle=style,
              linewidth=1.5, marker=marker, markersize=4, label=label)  # fmt: skip
    known = [k for k in ks if points[k]["low"] is not None]
    axes.fill_between(
        [int(k) for k in known], [100 * points[k]["low"] for k in known],
        [100 * points[k]["high"] for k in known], color=colour, alpha=0.12, linewidth=0,
    )  # fmt: skip
