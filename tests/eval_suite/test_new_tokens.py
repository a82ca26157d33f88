"""What became of new tokens, and speed at equal text, against the model's own logits."""

from dataclasses import replace

import pytest
import torch

from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.eval_suite import evaluate
from franken.report.new_tokens import draw_new_tokens, finding, most_used_dead, new_token_table
from franken.report.records import parse_records
from franken.tasks.new_tokens import Origin
from franken.tasks.speed import split_at

TASK = TaskConfig("new_tokens", "monolingual", languages=["en", "ru"], max_new_tokens=5)


@pytest.fixture
def origin(case):
    """Every third ordinary token is new; row 40 was moved by training."""
    now = case.model.get_input_embeddings().weight.detach().clone()
    ordinary = [i for i in range(len(case.tokenizer)) if i not in case.tokenizer.all_special_ids]
    before = now.clone()
    before[40] *= 0.5
    return Origin(
        new=torch.tensor(ordinary[::3]),
        old=torch.tensor([i for i in ordinary if i not in ordinary[::3]]),
        now=now,
        rows=before,
    )


def found_by(case, data, origin, task=TASK, batch_tokens=64):
    suite = EvalSuiteConfig(tasks={"new": task}, batch_tokens=batch_tokens)
    return evaluate(case.model, case.tokenizer, suite, data, origin=origin, progress=False)


@pytest.mark.parametrize("batch_tokens", [1, 4096])
def test_figures_are_those_of_one_pass_per_line(case, data, origin, batch_tokens):
    result = found_by(case, data, origin, batch_tokens=batch_tokens)
    new = set(origin.new.tolist())
    values = {(s.lang, s.metric): s.value for s in result.scores}
    ranks, chances, mass, gold, best, written = {True: [], False: []}, [], [], [], set(), []
    old_chances = []
    for line in data.lines["en"]:
        ids = case.tokenizer.encode(line)
        with torch.no_grad():
            table = case.model(torch.tensor([ids])).logits[0].double().softmax(-1)
            made = case.model.generate(
                torch.tensor([ids[: 1 + 16]]), max_new_tokens=5, do_sample=False, pad_token_id=0
            )
        fresh = made[0, len(ids[:17]) :].tolist()
        written += fresh[: fresh.index(1)] if 1 in fresh else fresh  # <eos> has id 1
        for row, token in zip(table, ids[1:], strict=False):
            ranks[token in new].append(int((row > row[token]).sum()) + 1)
            (chances if token in new else old_chances).append(row[token].item())
            mass.append(row[origin.new].sum().item())
            gold.append(token)
            best.add(int(row.argmax()))
    assert values["en", "new.share"] == pytest.approx(sum(t in new for t in gold) / len(gold))
    assert values["en", "new.mass"] == pytest.approx(sum(mass) / len(mass), abs=1e-5)
    assert values["en", "new.probability"] == pytest.approx(sum(chances) / len(chances), abs=1e-5)
    expected = sum(old_chances) / len(old_chances)
    assert values["en", "old.probability"] == pytest.approx(expected, abs=1e-5)
    for kind, name in ((True, "new"), (False, "old")):
        assert values["en", f"{name}.rank"] == torch.tensor(ranks[kind]).double().quantile(0.5)
    assert values["en", "new.written"] == pytest.approx(
        sum(t in new for t in written) / max(1, len(written))
    )
    used = {t for t in gold if t in new}
    dead = {t for t in used if t not in best and t not in written}
    assert values["en", "new.dead"] == pytest.approx(len(dead) / len(used))
    listed = most_used_dead([i for i in result.items["new"] if i["lang"] == "en"], 10**6)
    assert {item["id"] for item in listed} == dead


def test_rows_are_compared_with_those_of_the_initialiser(case, data, origin):
    values = {s.metric: s.value for s in found_by(case, data, origin).scores if s.lang == "all"}
    moved = "new" if 40 in origin.new else "old"
    still = "old" if moved == "new" else "new"
    count = len(origin.new if moved == "new" else origin.old)
    assert values[f"{moved}.changed"] == pytest.approx(1 / count)
    assert values[f"{moved}.moved"] == pytest.approx(1.0 / count)
    assert values[f"{still}.changed"] == values[f"{still}.moved"] == 0
    norms = origin.now.norm(dim=1)
    assert values["new.norm"] == pytest.approx(
        float(norms[origin.new].mean() / norms[origin.old].mean())
    )


def test_a_base_has_no_new_tokens(case, data):
    result = found_by(case, data, None)
    assert not result.scores
    assert {entry["lang"] for entry in result.skipped} == {"en", "ru"}


def test_the_report_has_a_row_per_language_and_a_figure(case, data, origin, tmp_path):
    identity = {
        "experiment": "e",
        "recipe": "r",
        "model": "m",
        "variant": "v",
        "seed": 0,
        "key": "k",
    }
    records = parse_records(found_by(case, data, origin).records(identity))
    table = new_token_table(records)
    assert [label[2] for label in table.labels] == ["en", "ru"]
    width = sum(len(group.columns) for group in table.groups)
    assert all(len(views) == width for views in table.views)
    (drawn,) = draw_new_tokens(records, tmp_path / "new.png")
    assert drawn.path.stat().st_size > 1000
    assert drawn.title == finding(records)
    assert finding(records)
    assert new_token_table([]) is None


def test_speed_is_measured_over_the_same_text_for_all_vocabularies(case, data):
    task = replace(TASK, kind="speed", languages=["en"])
    data.lines["en"] = [line * 20 for line in data.lines["en"]]
    data.lines["en"][0] = "x"
    case.model.config.max_position_embeddings = 4096
    result = found_by(case, data, None, task)
    items = result.items["new"]
    assert [item["id"] for item in items] == [1, 2, 3, 4]
    assert {item["characters"] for item in items} == {120}
    assert all(item["seconds"] > item["first"] > 0 for item in items)
    values = {score.metric: score for score in result.scores}
    speed = sum(i["characters"] for i in items) / sum(i["seconds"] for i in items)
    assert values["characters_per_second"].value == pytest.approx(speed)
    assert values["seconds_to_first_token"].stderr > 0


def test_a_cut_text_keeps_whole_characters():
    assert split_at("дом", 3) == "д"
    assert split_at("abc", 9) == "abc"


def test_text_of_a_file_is_scored_beside_the_datas_own(case, data, tmp_path):
    (tmp_path / "code.txt").write_text("def f(x):\n\n    return x\n")
    task = TaskConfig(
        "bits_per_byte", "monolingual", languages=["en", "fr", "code"],
        texts={"code": str(tmp_path / "code.txt")},
    )  # fmt: skip
    data.lines["code"] = ["def f(x):", "    return x"]
    result = found_by(case, data, None, task)
    by_role = found_by(case, data, None, replace(task, texts={}))
    values = {s.lang: s.value for s in result.scores if s.metric == "bits_per_byte"}
    assert values == {s.lang: s.value for s in by_role.scores if s.metric == "bits_per_byte"}
    assert set(values) == {"en", "code"}
    assert [entry["lang"] for entry in result.skipped] == ["fr"]
