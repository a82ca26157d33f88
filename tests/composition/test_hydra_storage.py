"""The directory: bit-equal logits, one more language touches nothing, plain exports."""

import shutil
from pathlib import Path

import pytest
import torch

from franken.composition.hydra import add_table, load_hydra, open_hydra, save_hydra, write_hydra
from franken.errors import ArtifactError, CompatibilityError
from franken.files import sha256_file, write_json
from franken.parts.export import export_model
from tests.faults import raises
from tests.plain import run_plain

from .hydras import FAMILIES, hydra, other_table
from .test_hydra_model import MIXED


@pytest.mark.parametrize(("family", "tied"), FAMILIES)
def test_saving_and_loading_keeps_logits_bit_equal(family: str, tied: bool, tmp_path: Path) -> None:
    made, _ = hydra(family, tied, languages={"tt": "xx"}, scripts={"xx": ("Cyrillic",)})
    save_hydra(made, tmp_path / "one")
    card = (tmp_path / "one" / "README.md").read_text()
    assert "# one\n" in card
    assert all(f"| `{name}` |" in card for name in made.names)
    loaded = load_hydra(tmp_path / "one")
    write_hydra(open_hydra(tmp_path / "one"), tmp_path / "two", card="# A Hydra LLM")
    again = load_hydra(tmp_path / "two")
    assert loaded.names == again.names == ("en", "xx")
    assert loaded.router == again.router == made.router
    for write, read in (("xx", "en"), ("en", "xx")):
        view = made.view(write, [read])
        ids = torch.tensor([view.encode(MIXED)])
        expected = view.logits(ids)
        assert torch.equal(loaded.view(write, [read]).logits(ids), expected)
        assert torch.equal(again.view(write, [read]).logits(ids), expected)
    assert (tmp_path / "two" / "README.md").read_text() == "# A Hydra LLM"


def test_adding_a_language_writes_one_directory_and_no_other_file(tmp_path: Path) -> None:
    made, _ = hydra()
    save_hydra(made, tmp_path / "h")
    before = {p: (sha256_file(p), p.stat().st_mtime_ns)
              for p in (tmp_path / "h").rglob("*") if p.is_file()}  # fmt: skip
    table = other_table(made.tables["en"].table(), size=300, seed=3)
    add_table(tmp_path / "h", "am", table, languages=["ti"], scripts=["Ethiopic"])
    after = {p: (sha256_file(p), p.stat().st_mtime_ns) for p in before}
    assert after == before
    new = {p for p in (tmp_path / "h").rglob("*") if p.is_file()} - set(before)
    assert {p.parent for p in new} == {tmp_path / "h" / "tables" / "am"}
    loaded = load_hydra(tmp_path / "h")
    assert set(loaded.names) == {"en", "xx", "am"}
    assert loaded.router.by_tag("ti") == loaded.router.by_script("ሰላም") == "am"
    assert torch.equal(loaded.tables["am"].embedding.weight, table.input)
    with raises(ArtifactError, tmp_path / "h/tables/am"):
        add_table(tmp_path / "h", "am", table)
    table.lineage = "c" * 64
    with raises(CompatibilityError, "'tt'", "c" * 12):
        add_table(tmp_path / "h", "tt", table)
    assert not (tmp_path / "h" / "tables" / "tt").exists()


def test_an_addition_that_cannot_be_told_apart_is_refused(tmp_path: Path) -> None:
    made, _ = hydra(languages={"tt": "xx"}, scripts={"xx": ("Cyrillic",)})
    save_hydra(made, tmp_path / "h")
    table = made.tables["en"].table()
    with raises(CompatibilityError, "'a/b'"):
        add_table(tmp_path / "h", "a/b", table)
    for claim in ({"languages": ["tt"]}, {"scripts": ["Cyrillic"]}):
        with raises(CompatibilityError, repr(next(iter(claim.values()))[0]), "'xx'", "'am'"):
            add_table(tmp_path / "h", "am", table, **claim)
    with raises(CompatibilityError, "'tt'", "'xx'"):
        add_table(tmp_path / "h", "tt", table)
    with raises(CompatibilityError, "'en'", "'am'"):
        add_table(tmp_path / "h", "am", table, languages=["en"])
    assert open_hydra(tmp_path / "h").tables.keys() == {"en", "xx"}


@pytest.mark.parametrize(
    ("route", "names"),
    [
        ({"languages": ["tt"]}, ["'tt'", "'en'", "'xx'", "xx/route.json"]),
        ({"languages": ["en"]}, ["'en'", "'xx'"]),
        ({"scripts": ["Latin"]}, ["'Latin'", "'en'", "'xx'"]),
    ],
)
def test_a_directory_whose_tables_claim_the_same_is_refused(
    route: dict[str, list[str]], names: list[str], tmp_path: Path
) -> None:
    made, _ = hydra(languages={"tt": "en"}, scripts={"en": ("Latin",)})
    save_hydra(made, tmp_path / "h")
    write_json(tmp_path / "h" / "tables" / "xx" / "route.json", route)
    with raises(CompatibilityError, *names):
        open_hydra(tmp_path / "h")


def test_what_a_killed_addition_left_is_no_table(tmp_path: Path) -> None:
    made, _ = hydra()
    save_hydra(made, tmp_path / "h")
    tables = tmp_path / "h" / "tables"
    shutil.copytree(tables / "xx", tables / ".yy.0123.tmp")
    assert open_hydra(tmp_path / "h").tables.keys() == {"en", "xx"}


def test_damaged_and_missing_parts_are_named(tmp_path: Path) -> None:
    made, _ = hydra()
    with raises(ArtifactError, tmp_path, "hydra.json"):
        load_hydra(tmp_path)
    save_hydra(made, tmp_path / "h")
    weights = tmp_path / "h" / "tables" / "xx" / "table.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with raises(ArtifactError, weights, "sha256"):
        load_hydra(tmp_path / "h")


@pytest.mark.parametrize(("family", "tied"), [("gemma2", True), ("llama", False)])
def test_every_table_exports_as_a_plain_model(family: str, tied: bool, tmp_path: Path) -> None:
    made, _ = hydra(family, tied)
    save_hydra(made, tmp_path / "h")
    ref = open_hydra(tmp_path / "h")
    export_model(ref.plain("xx"), tmp_path / "plain", card="# xx")
    view = made.view("xx")
    ids = view.encode([("xx", "paka alikaa juu")])
    expected = view.logits(torch.tensor([ids]))
    code = (
        "import sys, torch\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n"
        "model = AutoModelForCausalLM.from_pretrained(sys.argv[1]).eval()\n"
        "ids = AutoTokenizer.from_pretrained(sys.argv[1])('paka alikaa juu')['input_ids']\n"
        "print(ids, model(torch.tensor([ids])).logits.double().sum().item())"
    )
    printed = run_plain(code, str(tmp_path / "plain"))
    assert printed.strip() == f"{ids} {expected.double().sum().item()}"
    with raises(CompatibilityError, "'yy'"):
        ref.plain("yy")
