"""What the pages say of the papers' rows is so: every command there composes without a fault."""

import re
from pathlib import Path

import pytest

from franken.cli.check import check_command_line
from franken.cli.listing import options_of
from franken.cli.paths import config_dir
from franken.config.register import register_schemas

register_schemas()

DOCS = Path(__file__).parents[2] / "docs"
PAGES = ("franken_adapter", "trans_tokenization", "hydra_llm", "salt", "graftllm", "xtransplant")
EXPERIMENTS = {name for name, _ in options_of("experiment", config_dir())}
NOT_HERE = {"A22"}
"""Ablations of Franken-Adapter that are not built, and said to be missing."""


def rows(page: str) -> list[tuple[str, str]]:
    """First and second cell of every row of a page's tables."""
    lines = (DOCS / f"{page}.md").read_text(encoding="utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines
             if line.startswith("| ")]  # fmt: skip
    return [(row[0], row[1]) for row in cells if len(row) > 1]


def ids_of(label: str) -> set[str]:
    """``A1, A2 scale`` is A1 and A2; ``A8 to A10`` is three."""
    found = {int(number) for number in re.findall(r"\bA(\d+)\b", label)}
    spans = re.findall(r"\bA(\d+) to A(\d+)\b", label)
    found |= {n for low, high in spans for n in range(int(low), int(high) + 1)}
    return {f"A{number}" for number in found}


def grids(cell: str) -> list[list[str]]:
    """The overrides of every grid in a cell that begins with ``-m``."""
    spans = re.findall(r"`-m ([^`]+)`", cell)
    return [[part.strip("'") for part in span.split(" ")] for span in spans]


GRIDS = [(page, grid) for page in PAGES for row in rows(page) for cell in row
         for grid in grids(cell)]  # fmt: skip


def test_every_ablation_of_franken_adapter_has_a_row_and_what_is_missing_is_said_so() -> None:
    table = {name: cell for label, cell in rows("franken_adapter") for name in ids_of(label)}
    assert set(table) == {f"A{number}" for number in range(1, 23)}
    for name, cell in table.items():
        assert ("**not here**" in cell) == (name in NOT_HERE), name
        if name not in NOT_HERE:
            assert re.search(r"`[^`]*=[^`]+`", cell), name


@pytest.mark.parametrize("page", PAGES)
def test_every_experiment_that_a_page_names_exists(page: str) -> None:
    text = (DOCS / f"{page}.md").read_text(encoding="utf-8")
    named = re.findall(r"\+experiment=([\w/]+\w)", text)
    assert named
    assert set(named) <= EXPERIMENTS  # each of them is composed by test_check.py


def test_every_experiment_of_these_papers_stands_on_its_page() -> None:
    text = {page: (DOCS / f"{page}.md").read_text(encoding="utf-8") for page in PAGES}
    for name in EXPERIMENTS:
        paper, _, option = name.partition("/")
        if paper in PAGES:
            assert re.search(rf"{name}\b|/{option}\b", text[paper]), name


@pytest.mark.parametrize(("page", "grid"), GRIDS, ids=[f"{p}: {g[0][:40]}" for p, g in GRIDS])
def test_every_grid_of_a_row_composes(page: str, grid: list[str]) -> None:
    recipe = [] if page == "franken_adapter" or "+experiment" in grid[0] else [f"recipe={page}"]
    if page == "hydra_llm":
        recipe.append("composition=hydra")
    if any(part.startswith("init_method.") for part in grid):
        recipe.append("init_method=trans_tokenization")
    assert check_command_line([*recipe, *grid], config_dir()) == []
