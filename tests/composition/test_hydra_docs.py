"""The example of the documentation runs as it stands."""

import re
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken.composition.hydra import HydraModel, TableRouter, load_hydra, save_hydra
from franken.parts.table import save_table

from .hydras import LINEAGE, base, other_table

PAGE = Path(__file__).parents[2] / "docs" / "hydra_llm.md"


def test_the_example_of_the_page_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    model, table = base("gemma2", True, max_position_embeddings=128)
    made = HydraModel(
        model, {"target": other_table(table), "source": table}, lineage=LINEAGE,
        router=TableRouter(("target", "source"), {"en": "source"}, default="target"),
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    save_hydra(made, Path("directory"))
    save_table(other_table(table, seed=9), Path("table"))
    names: dict[str, object] = {}
    exec(compile(example, str(PAGE), "exec"), names)
    assert capsys.readouterr().out.strip()
    hydra = load_hydra(Path("directory"))
    assert hydra.names == ("target", "ru", "source")
    assert [s.table for s in hydra.router.segments("<<en>>the doctor<<ru>> врач")] == [
        "source", "ru",
    ]  # fmt: skip
    plain = AutoModelForCausalLM.from_pretrained("plain")
    ids = torch.tensor([AutoTokenizer.from_pretrained("plain")("the cat")["input_ids"]])
    assert torch.equal(plain(input_ids=ids).logits, hydra.view("target").logits(ids))
