"""Pages of the documentation: the example runs, and what is generated is not stale."""

import re
from pathlib import Path
from typing import Any

import pytest

from franken import docs

ROOT = Path(__file__).parents[2]


@pytest.mark.filterwarnings("ignore::UserWarning")  # Lightning's advice
def test_the_python_page_runs_as_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = ROOT / "docs" / "python.md"
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for number, block in enumerate(blocks, 1):
        exec(compile(block, f"{page} block {number}", "exec"), names)
    printed = capsys.readouterr().out
    assert "'temperature'" in printed
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    fewer, more = re.search(r"(\d+) -> (\d+) tokens", printed).group(2, 1)  # type: ignore[union-attr]
    assert int(fewer) < int(more)


@pytest.mark.parametrize("page", sorted(docs.PAGES))
def test_generated_pages_are_up_to_date(page: str) -> None:
    """``python -m franken.docs`` writes them."""
    assert (ROOT / "docs" / page).read_text(encoding="utf-8") == docs.PAGES[page]()
