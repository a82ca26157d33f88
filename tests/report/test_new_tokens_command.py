"""``python -m franken.explain --new``: the table of a run, and tokens that are never produced."""

import json

from franken.explain import main

IDENTITY = {"experiment": "e", "recipe": "r", "model": "m", "variant": "v", "seed": 0, "key": "k"}


def test_a_run_tells_of_its_new_tokens(tmp_path, capsys):
    record = {**IDENTITY, "task": "new_tokens", "lang": "id", "metric": "new.share", "value": 0.5,
              "n": 9, "stderr": None}  # fmt: skip
    (tmp_path / "results.jsonl").write_text(json.dumps(record) + "\n")
    (tmp_path / "new_tokens").mkdir()
    items = [
        {"lang": "id", "piece": "\u2581di", "in_text": 3, "most_likely": 0, "written": 0},
        {"lang": "id", "piece": "\u2581dan", "in_text": 9, "most_likely": 2, "written": 0},
    ]
    lines = "".join(json.dumps(item) + "\n" for item in items)
    (tmp_path / "new_tokens" / "m.jsonl").write_text(lines)
    assert main(["--new", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [item["piece"] for item in found["tokens"]["m"]] == ["\u2581di"]
    assert found["rows"] == [{"model": "m", "variant": "v", "lang": "id"}]
    assert main(["--new", str(tmp_path), "dan", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["tokens"]["m"] == [items[1]]
    assert main(["--new", str(tmp_path), "di", "bukan"]) == 2  # the second is nowhere in the run
    assert "'bukan'" in capsys.readouterr().err


def test_a_run_without_such_a_task_is_refused(tmp_path):
    record = {**IDENTITY, "task": "t", "lang": "id", "metric": "acc", "value": 0.5, "n": 9,
              "stderr": 0.1}  # fmt: skip
    (tmp_path / "results.jsonl").write_text(json.dumps(record) + "\n")
    assert main(["--new", str(tmp_path)]) == 2
