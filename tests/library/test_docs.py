"""Pages of the documentation: the example runs, and what is generated is not stale."""

import ast
import re
import shlex
from pathlib import Path
from typing import Any

import pytest

import franken
from franken import docs, publish, roundtrip
from franken.cli.check import check_command_line
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.draft.__main__ import parser as draft_parser
from franken.inspect.__main__ import parser as inspect_parser
from franken.layer_swap import parser as swap_parser
from franken.vocab.__main__ import parser as vocab_parser

register_schemas()
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


TOOLS = {
    "franken.draft": draft_parser,
    "franken.inspect": inspect_parser,
    "franken.layer_swap": swap_parser,
    "franken.publish": publish.parser,
    "franken.roundtrip": roundtrip.parser,
    "franken.vocab": vocab_parser,
}
HOWTO = sorted((ROOT / "docs" / "howto").glob("*.md"))


@pytest.mark.parametrize("page", HOWTO, ids=lambda page: page.stem)
def test_the_commands_of_a_howto_are_sound_and_its_python_is_python(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL):
        for line in block.splitlines():
            words = shlex.split(line)
            if words[2] in TOOLS:
                TOOLS[words[2]]().parse_args(words[3:])
                continue
            assert words[:3] == ["python", "-m", "franken"]
            overrides = [word for word in words[3:] if word not in ("-m", "--multirun")]
            assert check_command_line(overrides, config_dir()) == [], line
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        for name in re.findall(r"franken\.(\w+)\(", block):
            assert name in franken.__all__
        ast.parse(block)


def test_links_between_pages_lead_somewhere() -> None:
    for page in [
        *HOWTO,
        *(ROOT / name for name in ("README.md", "CHANGELOG.md", "CONTRIBUTING.md")),
    ]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
