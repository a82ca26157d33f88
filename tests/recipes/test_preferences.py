"""Sampling, ranking and preference tuning from a config to scores, on a tiny world."""

import json
from pathlib import Path

import pytest

from franken.config.data import FileData
from franken.config.sources import Source
from franken.files import read_json
from franken.recipe import graph_faults
from franken.run import Runner
from franken.steps import sample_answers
from tests.faults import unnamed

from .conftest import compose_config

SAMPLED = [
    "recipe.steps.answers.prompts=12", "recipe.steps.answers.answers=3",
    "recipe.steps.answers.max_new_tokens=6", "recipe.steps.ranked.keep_cut=true",
]  # fmt: skip
QUICK = [
    *(f"training.{phase}.{key}={value}" for phase in ("skill", "preference")
      for key, value in (("steps", 4), ("batch_size", 4), ("sequence_length", 96))),
    "data.languages=[id]", "eval_suite.tasks.bits_per_byte.limit=4",
]  # fmt: skip
ARITHMETIC = [f"recipe.steps.{step}.split=arithmetic" for step in ("tuned", "answers", "preferred")]
TUNED = "recipe.steps.skill.tuned=preferred"


def runner(store: Path, run_dir: Path, *overrides: str) -> Runner:
    return Runner(compose_config(f"store.path={store}", *QUICK, *overrides), run_dir)


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def preferred(shared_store: Path, tmp_path_factory) -> Runner:
    made = runner(
        shared_store, tmp_path_factory.mktemp("preferred"), "recipe=graft", "pack=dense",
        *SAMPLED, *ARITHMETIC, TUNED, "recipe.steps.ranked.with_response=true",
        "recipe.evaluate=[tuned,preferred,grafted]",
    )  # fmt: skip
    made.run()
    return made


def test_a_pack_of_the_preferred_model_scores_as_that_model(preferred: Runner) -> None:
    scores = [read_json(preferred.artifacts[f"evaluate:{n}"].path / "scores.json")
              for n in ("preferred", "grafted")]  # fmt: skip
    assert [s["value"] for s in scores[0]] == [s["value"] for s in scores[1]]
    assert {r["model"] for r in preferred.write_results()} == {"tuned", "preferred", "grafted"}


def test_answers_are_sampled_several_times_and_anew_for_each_prompt(preferred: Runner) -> None:
    records = lines(preferred.ensure("answers").path / "answers.jsonl")
    assert len(records) == 12
    assert all(len(record["answers"]) == 3 for record in records)
    assert all(record["task"] == "arithmetic" for record in records)
    assert len({a["text"] for record in records for a in record["answers"]}) > 3
    assert all(a["tokens"] <= 6 and a["log_prob"] < 0 for r in records for a in r["answers"])


def test_every_prompt_and_answer_is_accounted_for(preferred: Runner) -> None:
    folder = preferred.ensure("ranked").path
    report = read_json(folder / "ranking.json")
    pairs = lines(folder / "pairs.jsonl") + lines(folder / "pairs_held_out.jsonl")
    assert report["pairs"] == len(pairs)
    assert report["pairs"] + report.get("ties", 0) + report.get("no_answers", 0) == 12
    assert report["answers"] == 36
    drawn = lines(preferred.ensure("answers").path / "answers.jsonl")
    right = [a["text"] == r["response"] for r in drawn for a in r["answers"] if a["text"]]
    assert report["mean_score"]["tuned"] == pytest.approx(sum(right) / len(right))
    records = {r["prompt"]: r for r in lines(preferred.ensure("answers").path / "answers.jsonl")}
    for pair in pairs:
        assert pair["chosen"] == records[pair["prompt"]]["response"]  # the data's own: it is right
        assert pair["rejected"] in {a["text"] for a in records[pair["prompt"]]["answers"]}
    training = read_json(preferred.ensure("preferred").path / "training.json")
    assert training["mixture"]["given"] == len(lines(folder / "pairs.jsonl"))
    assert training["curve"][0]["loss"] == pytest.approx(0.6931, abs=1e-4)


def test_nothing_is_done_twice(preferred: Runner, tmp_path: Path) -> None:
    again = Runner(preferred.config, tmp_path)
    again.run()
    assert again.was_done
    other = runner(
        preferred.store.root, tmp_path, "recipe=graft", "pack=dense", *SAMPLED, *ARITHMETIC, TUNED,
        "recipe.steps.ranked.with_response=true", "preference=dpo",
        "+recipe.steps.answers.batch_size=5",
    )  # fmt: skip
    assert other.keys["answers"] == preferred.keys["answers"]  # batches only tile
    assert other.keys["tuned"] == preferred.keys["tuned"]
    assert other.keys["preferred"] != preferred.keys["preferred"]


def test_a_killed_step_goes_on_and_batches_change_nothing(
    preferred: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample_answers, "PART", 5)
    decode, calls = sample_answers.decode, []

    def broken(*arguments, **options):
        calls.append(options)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return decode(*arguments, **options)

    monkeypatch.setattr(sample_answers, "decode", broken)
    made = runner(
        tmp_path / "store", tmp_path, "recipe=graft", *SAMPLED, *ARITHMETIC,
        "+recipe.steps.answers.batch_size=7", "recipe.steps.answers.model=base",
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        made.ensure("answers")  # 15 answers in 3 batches, then the first of the next part
    found = lines(made.ensure("answers").path / "answers.jsonl")
    assert len(calls) == 4 + 3 + 1  # the first part was kept
    whole = runner(
        tmp_path / "store", tmp_path / "b", "recipe=graft", *SAMPLED, *ARITHMETIC,
        "recipe.steps.answers.model=base", "recipe.steps.answers.prompts=11",
    )  # fmt: skip
    monkeypatch.setattr(sample_answers, "PART", 512)
    texts = [[a["text"] for a in record["answers"]] for record in found]
    again = lines(whole.ensure("answers").path / "answers.jsonl")
    assert [[a["text"] for a in record["answers"]] for record in again] == texts[:11]


def test_best_answers_teach_and_a_judge_ranks_two_sources(
    preferred: Runner, tmp_path: Path
) -> None:
    learnt = runner(
        preferred.store.root, tmp_path, "recipe=graft", *SAMPLED, *ARITHMETIC,
        "+recipe.steps.others={step: sample_answers, model: base, data: '${data}', "
        "split: arithmetic, prompts: 12, answers: 2, max_new_tokens: 6}",
        "+recipe.steps.judged={step: rank_answers, answers: {a: answers, b: others}, judge: base, "
        "scorer: likelihood, keep_cut: true, sft_share: 0.5}",
        "+recipe.steps.student={step: train, model: base, trainable: full, data: '${data}', "
        "split: arithmetic, training: '${training.skill}', ranked: judged}",
        "recipe.evaluate=[student]",
    )  # fmt: skip
    learnt.run()
    folder = learnt.ensure("judged").path
    report = read_json(folder / "ranking.json")
    best = lines(folder / "best.jsonl")
    assert report["best"] == len(best) == 6
    assert report["pairs"] == 6 == sum(report["pairs_by_source"].values())
    assert not {b["prompt"] for b in best} & {p["prompt"] for p in lines(folder / "pairs.jsonl")}
    mixture = read_json(learnt.ensure("student").path / "training.json")["mixture"]
    assert [stream["records"] for stream in mixture["streams"]] == [6]


def test_scores_come_from_a_file(preferred: Runner, tmp_path: Path) -> None:
    records = lines(preferred.ensure("answers").path / "answers.jsonl")
    scores = tmp_path / "scores.jsonl"
    rows = [{"prompt": r["prompt"], "answer": a["text"], "score": float(len(a["text"]))}
            for r in records for a in r["answers"]]  # fmt: skip
    scores.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ["recipe=graft", *SAMPLED, *ARITHMETIC, "recipe.steps.ranked.scorer=file",
               f"recipe.steps.ranked.score_file={scores}"]  # fmt: skip
    made = runner(preferred.store.root, tmp_path, *options)
    key = made.keys["ranked"]
    folder = made.ensure("ranked").path
    for pair in lines(folder / "pairs.jsonl"):
        assert len(pair["chosen"]) > len(pair["rejected"])
    scores.write_text(scores.read_text() + "\n" + json.dumps(rows[0]) + "\n")
    assert runner(preferred.store.root, tmp_path, *options).keys["ranked"] != key


def test_pairs_from_files_train_as_the_role_preferences(preferred: Runner, tmp_path: Path) -> None:
    """Ranking writes such files; chat messages as on the hub come to the same."""
    pairs = lines(preferred.ensure("ranked").path / "pairs.jsonl")
    chats = [
        {"prompt": p["prompt"], "task": p["task"],
         **{side: [{"role": "user", "content": p["prompt"]},
                   {"role": "assistant", "content": p[side]}] for side in ("chosen", "rejected")}}
        for p in pairs
    ]  # fmt: skip
    found = []
    for name, rows in (("plain", pairs), ("chat", chats)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, rows)))
        data = FileData(
            languages=[], root=str(tmp_path), mixtures=preferred.config.data.mixtures,
            preferences={"train": Source(f"{{root}}/{name}.jsonl")}, holdout_every=0,
            prompt_template="{prompt}",
        )  # fmt: skip
        config = compose_config(
            f"store.path={preferred.store.root}", *QUICK, "recipe=graft", *ARITHMETIC,
            "recipe.steps.preferred.ranked=null", "recipe.evaluate=[preferred]",
        )  # fmt: skip
        config.recipe.steps["preferred"]["data"] = data
        made = Runner(config, tmp_path / name)
        training = read_json(made.ensure("preferred").path / "training.json")
        assert training["mixture"]["given"] == len(pairs)
        found.append((made.keys["preferred"], [point["loss"] for point in training["curve"]]))
    assert found[0][0] != found[1][0]  # other files
    assert found[0][1] == found[1][1]
    expected = read_json(preferred.ensure("preferred").path / "training.json")["curve"]
    assert found[0][1] == [point["loss"] for point in expected]


def test_faults_are_found_before_anything_runs() -> None:
    for override, key, *named in (
        ("recipe.steps.preferred.ranked=null", "recipe.steps.preferred", "data=microworld"),
        ("recipe.steps.answers.temperature=0", "recipe.steps.answers.temperature", 0),
        ("recipe.steps.ranked.answers.tuned=tuned", "recipe.steps.ranked.answers.tuned", "'tuned'"),
        ("recipe.steps.ranked.scorer=likelihood", "recipe.steps.ranked.judge", "likelihood"),
        ("recipe.steps.ranked.scorer=file", "recipe.steps.ranked.score_file", "file"),
        ("recipe.steps.answers.answers=1", "recipe.steps.answers.answers", 2),
        (
            "training.preference.pack_across_documents=true",
            "recipe.steps.preferred.training.pack_across_documents",
        ),
    ):
        faults = list(map(str, graph_faults(compose_config("recipe=graft", override))))
        assert any(not unnamed(fault, key, *named) for fault in faults), (override, faults)
