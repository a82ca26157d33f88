"""The page of methods names every method, and no other."""

import re
from pathlib import Path

from franken.init_method import method_names

PAGE = Path(__file__).parents[2] / "docs" / "init_methods.md"


def test_the_table_lists_every_method_once():
    table = PAGE.read_text(encoding="utf-8").split("## The methods")[1].split("\n## ")[0]
    listed = re.findall(r"^\| `(\w+)` \|", table, flags=re.MULTILINE)
    assert len(listed) == len(set(listed))
    beside = {"trans_tokenization_parity"}  # named in the line of trans_tokenization
    assert set(method_names()) == {*listed, *beside}
