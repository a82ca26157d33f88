"""The corpus inside the package: what its notice says is what is there."""

import gzip
import hashlib
import json
import re
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from franken.cli.check import to_config
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.data import open_data
from franken.data.origin import PACKAGE
from franken.data.source import DataSource

POCKET = PACKAGE / "data" / "pocket"
FREE = re.compile(
    r"voa-swahili|commonvoice-(tt-[a-z0-9_-]+|en)|state_union|inaugural|gutenberg-(11|35|55|113|236)"
)


@pytest.fixture(scope="module")
def pocket() -> DataSource:
    register_schemas()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return open_data(to_config(compose("config", ["data=pocket"])).data)


def test_it_reads_from_anywhere(
    pocket: DataSource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    pocket.validate()
    roles = ("monolingual", "documents", "instructions", "parallel", "lexicon")
    assert [role for role in roles if pocket.has(role)] == list(roles[:3])


def test_files_are_those_of_the_notice() -> None:
    listed = re.findall(
        r"^\| `(.+?)` \| (\d+) \| ([\d,]+) \| `(\w{64})` \|$",
        (POCKET / "NOTICE.md").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    found = {str(path.relative_to(POCKET)) for path in POCKET.rglob("*") if path.is_file()}
    assert found == {name for name, *_ in listed} | {"NOTICE.md"}
    for name, records, size, digest in listed:
        data = (POCKET / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        assert len(data) == int(size.replace(",", ""))
        assert len(gzip.decompress(data).splitlines()) == int(records)
    assert sum(path.stat().st_size for path in POCKET.rglob("*.gz")) < 3_000_000


def test_every_record_names_a_free_source_and_no_publisher_of_ebooks() -> None:
    for path in (POCKET / "mono").glob("*.gz"):
        for line in gzip.decompress(path.read_bytes()).decode().splitlines():
            record = json.loads(line)
            assert FREE.fullmatch(record["source"]), record["source"]
            assert "gutenberg" not in record["text"].lower()


def test_the_passages_of_the_task_are_not_trained_on(pocket: DataSource) -> None:
    items = pocket.task_rows("books", "en")
    kinds = [row["category"] for row in items]
    assert {kind: kinds.count(kind) for kind in kinds} == dict.fromkeys(kinds, 50)
    shown = {asked.prompt for asked in pocket.instructions()}
    assert not any(row["text"] in prompt for row in items for prompt in shown)
