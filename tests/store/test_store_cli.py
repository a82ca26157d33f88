"""python -m franken.store"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import franken
from franken.store import StepKey
from franken.store.__main__ import main
from tests.faults import unnamed


@pytest.fixture
def steps(publish):
    base = StepKey.of("load", 1, config={"path": "tiny"})
    slow = StepKey.of("train", 1, config={"lr": 0.1, "langs": ["sw"]}, inputs={"model": base})
    fast = StepKey.of("train", 1, config={"lr": 0.9, "langs": ["sw"]}, inputs={"model": base})
    a = StepKey.of("swap", 1, inputs={"table": slow})
    b = StepKey.of("swap", 1, inputs={"table": fast}, seed=3)
    found = {"base": base, "slow [x]": slow, "fast": fast, "a": a, "b": b}
    for label, step in found.items():
        publish(step, label=label)
    return found


@pytest.fixture
def command(store, capsys):
    def run(*arguments):
        code = main(["--root", str(store.root), *map(str, arguments)])
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run


def test_list_shows_every_artefact(steps, command):
    code, out, _ = command("list")

    assert code == 0
    for label, step in steps.items():
        (line,) = [line for line in out.splitlines() if step.short in line]
        assert label in line
        assert step.kind in line
        assert "10 B" in line
    assert "5 artefacts, 50 B" in out
    assert "2 artefacts" in command("list", "--kind", "swap")[1]


def test_root_may_stand_behind_the_command(steps, store, capsys):
    assert main(["list", "--root", str(store.root), "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)

    assert {item["key"] for item in listed} == {step.key for step in steps.values()}


def test_explain_prints_the_tree_of_inputs(steps, command):
    code, out, _ = command("explain", steps["a"].key[:10])

    assert code == 0
    lines = [line.strip("│└├─ ") for line in out.splitlines()[:3]]
    assert lines[0].startswith("swap a")
    assert lines[1].startswith("table = train slow [x]")
    assert lines[2].startswith("model = load base")
    assert "lr" not in lines[0]


def test_explain_says_which_inputs_were_pruned(steps, command, store):
    shutil.rmtree(store.path_of(steps["slow [x]"]))

    out = command("explain", steps["a"].key)[1]

    assert f"table = {steps['slow [x]'].short} not in the store" in out


def test_explain_against_follows_a_difference_to_where_it_began(steps, command):
    code, out, _ = command("explain", steps["a"].key, "--against", steps["b"].key, "--json")

    assert code == 0
    assert json.loads(out) == [
        {"field": "inputs.table > config.lr", "left": 0.1, "right": 0.9},
        {"field": "seed", "left": None, "right": 3},
    ]
    table = command("explain", steps["slow [x]"].key, "--against", steps["fast"].key)[1]
    assert "config.lr" in table
    assert "langs" not in table
    same = command("explain", steps["a"].key, "--against", steps["a"].key)[1]
    assert "nothing differs" in same


def test_a_field_that_one_side_lacks_is_absent(publish, command):
    one, two = StepKey.of("t", 1, config={"x": 1}), StepKey.of("t", 1, config={"y": None})
    publish(one)
    publish(two)

    out = command("explain", one.key, "--against", two.key, "--json")[1]

    assert json.loads(out) == [
        {"field": "config.x", "left": 1, "right": "(absent)"},
        {"field": "config.y", "left": "(absent)", "right": None},
    ]


def test_an_unknown_key_lists_what_there_is(steps, command):
    code, out, err = command("explain", "zzz")

    assert (code, out) == (2, "")
    assert "no artefact" in err
    assert "'zzz'" in err
    assert f"load/{steps['base'].short}  base" in err


def test_an_ambiguous_key_lists_its_candidates(steps, command):
    code, _, err = command("explain", "swap/")

    assert code == 2
    assert not unnamed(err, 2, "'swap/'")
    assert steps["a"].short in err
    assert steps["b"].short in err
    assert steps["base"].short not in err


def test_verify_is_silent_on_sound_and_exits_with_one_on_damaged(steps, command, store):
    assert command("verify")[0] == 0
    path = store.path_of(steps["fast"]) / "weights"
    path.write_text("0123456780")

    code, out, _ = command("verify")
    assert code == 1
    assert f"damaged: {path}: expected sha256" in out
    assert any(not unnamed(line, 5, 1) for line in out.splitlines())
    assert command("verify", steps["fast"].key[:10])[0] == 1
    assert command("verify", steps["base"].key[:10])[0] == 0
    report = json.loads(command("verify", "--json")[1])
    assert report["damaged"] == [str(path.parent)]
    assert path.exists()


def test_verify_of_an_unknown_key_is_a_wrong_request(steps, command):
    assert command("verify", "zzz")[0] == 2


def test_prune_shows_first_and_removes_with_yes(steps, command, store):
    code, out, _ = command("prune", "--keep-kind", "train")
    assert code == 0
    assert not unnamed(out, 2, "20 B", 3)
    assert len(list(store.entries())) == 5

    code, out, _ = command("prune", "--keep-kind", "train", "--yes", "--json")
    assert code == 0
    assert len(json.loads(out)["removed"]) == 2
    assert {entry.kind for entry in store.entries()} == {"train", "load"}


def test_prune_without_a_rule_says_how(steps, command):
    assert "--older-than" in command("prune", "--yes")[1] + command("prune")[1]


def test_a_negative_age_is_refused(steps, command, capsys):
    with pytest.raises(SystemExit):
        command("prune", "--older-than", "-1")
    assert not unnamed(capsys.readouterr().err, "--older-than", "'-1'")


@pytest.mark.parametrize("arguments", [["list"], ["prune", "--yes"]])
def test_a_directory_that_is_no_store_is_refused(tmp_path, capsys, arguments):
    (tmp_path / "thesis.tex").write_text("dear")

    assert main([*arguments, "--root", str(tmp_path)]) == 2
    assert "is not a store" in capsys.readouterr().err
    assert main([*arguments, "--root", str(tmp_path / "nowhere")]) == 2
    assert (tmp_path / "thesis.tex").exists()


def test_nothing_heavy_is_imported():
    code = "import sys, franken.store.__main__; print(*sys.modules)"
    modules = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(franken.__file__).parents[1],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    assert not {"torch", "transformers", "hydra", "omegaconf", "numpy"} & set(modules)
