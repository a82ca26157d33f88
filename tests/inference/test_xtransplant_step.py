"""The session over samples: what it writes, resumption, engines through it, the report."""

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from franken.config.data import ChatForm, MicroworldData
from franken.config.prompts import AnswerForm, Portion, PromptsConfig, PromptSet
from franken.data import open_data
from franken.errors import CompatibilityError, DataError
from franken.inference.base import Inference, SelectConfig
from franken.inference.xtransplant import Host, XTransplant, batched, open_host, pair_set, session
from franken.inference.xtransplant.__main__ import finished_samples, main, so_far
from franken.inference.xtransplant.bounds import blocks
from franken.inference.xtransplant.choices import DonorKind, Stop, Unstable
from franken.inference.xtransplant.progress import Progress
from franken.inference.xtransplant.rows import RowFiles, only
from franken.inference.xtransplant.samples import Tokens, gather
from franken.inference.xtransplant.selection import select_pairs
from franken.inference.xtransplant.session import Session
from franken.transplant_engine.naive import Naive
from franken.transplant_engine.wavefront import Wavefront
from tests.faults import raises, unnamed
from tests.parts.tiny import tiny_model, tiny_tokenizer

PROMPTS = PromptsConfig(
    pilot=3,
    sets={
        "topics": PromptSet(
            source="topic_classification", answers=AnswerForm.word, limit=5,
            prompts={"any": "{text}\ntopic :"}, labels={"any": {"science/technology": "science"}},
        )
    },
)  # fmt: skip
CONFIG = XTransplant(max_new_tokens=3, samples=2, verify=2)
DATA = open_data(MicroworldData(languages=["tr"], evaluation=5))


@pytest.fixture(scope="module")
def host() -> Host:
    model = tiny_model("llama", rows=96, max_position_embeddings=512)
    return open_host(model)


def samples_of(config: Inference, portion: Portion = Portion.pilot, **changes: Any) -> Any:
    tokens = Tokens(tiny_tokenizer(), config, 512)
    given = {"donor": DonorKind.translation, "stop": Stop.text, "seed": 0, **changes}
    samples, _ = gather(PROMPTS, "topics", DATA, "tr", portion, tokens, **given)
    return tokens, samples


def run(host: Host, config: Inference, directory: Path, **changes: Any) -> Session:
    tokens, samples = samples_of(config, **changes)
    made = Session(
        host, tokens, config, PROMPTS, RowFiles(directory / "rows"),
        lambda name, lang: pair_set("grid", host.depth),
        Progress(directory / "progress.json", directory / "rows"),
    )  # fmt: skip
    made.run([samples])
    return made


def test_rows_of_every_run(host: Host, tmp_path: Path) -> None:
    made = run(host, CONFIG, tmp_path)
    table = made.files.read()
    counts = {name: only(table, run=name).num_rows for name in
              ("vanilla", "pivot", "pim", "sampled", "transplant")}  # fmt: skip
    assert counts == {"vanilla": 3, "pivot": 3, "pim": 3, "sampled": 6, "transplant": 12}
    grid = only(table, run="transplant", id="0")
    assert list(zip(grid["source"].to_pylist(), grid["target"].to_pylist(), strict=True)) == (
        pair_set("grid", 2)
    )
    assert made.checked is not None
    assert made.checked.tokens_equal == 2
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert (progress["done"], progress["total"], progress["seconds_left"]) == (3, 3, 0.0)
    assert progress["answers"] == progress["answers_total"] == sum(counts.values())
    pairs = select_pairs(table, SelectConfig(), 2)
    assert [(entry["set"], entry["lang"]) for entry in pairs] == [("topics", "tr")]
    assert blocks(table, 2)["topics"]["overall"]["strict"]["n"] == 3


@pytest.mark.parametrize("engine", ["naive", "cache"])
def test_engines_give_equal_rows(host: Host, tmp_path: Path, engine: str) -> None:
    one = run(host, CONFIG, tmp_path / "one").files.read()
    other = run(host, replace(CONFIG, engine=engine), tmp_path / "other").files.read()
    left = ["margin", "unstable"]
    assert one.drop_columns(left).equals(other.drop_columns(left))


def test_a_killed_run_goes_on_at_the_sample(host: Host, tmp_path: Path, monkeypatch) -> None:
    whole = run(host, CONFIG, tmp_path / "whole").files.read()
    done: list[int] = []

    class Killed(Exception):
        pass

    def dying(*args: Any, **kwargs: Any) -> Any:
        if len(done) == 2:
            raise Killed
        done.append(1)
        return real(*args, **kwargs)

    real = Wavefront().run
    config = replace(CONFIG, verify=0)
    monkeypatch.setattr(Wavefront, "run", staticmethod(dying))
    with pytest.raises(Killed):
        run(host, config, tmp_path / "cut")
    assert only(RowFiles(tmp_path / "cut" / "rows").read(), run="transplant").num_rows == 8
    done[:] = [1]
    made = run(host, config, tmp_path / "cut")
    assert len(done) == 2, "one sample was left"
    left = ["margin", "unstable"]
    assert made.files.read().drop_columns(left).equals(whole.drop_columns(left))


@pytest.mark.parametrize("kind", ["answer_plainly", "sample_answers"])
def test_answers_without_a_transplant_survive_a_kill(
    host: Host, tmp_path: Path, monkeypatch, kind: str
) -> None:
    """Finished batches of a baseline and finished samples' draws are not made again."""
    config = replace(CONFIG, verify=0, batch_tokens=1)
    whole = run(host, config, tmp_path / "whole")
    calls: list[int] = []

    def dying(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    real = getattr(session, kind)
    monkeypatch.setattr(session, kind, dying)
    with pytest.raises(KeyboardInterrupt):
        run(host, config, tmp_path / "cut")
    done = RowFiles(tmp_path / "cut" / "rows").read()
    assert set(done["run"].to_pylist()) >= {"vanilla" if kind == "answer_plainly" else "sampled"}
    progress = json.loads((tmp_path / "cut" / "progress.json").read_text())
    assert progress["answers"] == done.num_rows
    again = run(host, config, tmp_path / "cut")
    made_again = {"answer_plainly": 3 * 3 - 2, "sample_answers": 3 - 2}[kind]
    assert len(calls) == 3 + made_again
    assert again.files.read().equals(whole.files.read())


def test_totals_are_those_of_all_processes(host: Host, tmp_path: Path, monkeypatch) -> None:
    config = replace(CONFIG, verify=0, stop=Stop.first_correct, baselines=[], samples=0)
    monkeypatch.setattr(session, "solved", lambda sample, tokens: lambda row: True)
    whole = run(host, config, tmp_path / "whole").files.totals()
    assert whole.cut_samples == 3
    assert whole.layer_tokens > 0
    left = iter([1, 2])

    def dying(*args: Any, **kwargs: Any) -> Any:
        next(left)
        return real(*args, **kwargs)

    real = Wavefront().run
    monkeypatch.setattr(Wavefront, "run", staticmethod(dying))
    with pytest.raises(StopIteration):
        run(host, config, tmp_path / "cut")
    monkeypatch.setattr(Wavefront, "run", staticmethod(real))
    assert run(host, config, tmp_path / "cut").files.totals() == whole


@pytest.mark.parametrize("engine", ["naive", "cache", "wavefront"])
def test_texts_that_were_cut_are_no_rows(host: Host, tmp_path: Path, monkeypatch, engine) -> None:
    """A row that is solved with its second token ends the sample before others have their third."""
    config = replace(CONFIG, engine=engine, verify=0, stop=Stop.first_correct, share=False,
                     draft_rows=0)  # fmt: skip

    def at_once(sample: Any, tokens: Any) -> Any:
        return lambda row: True

    asked = iter(range(1000))

    def second_row(row: Any) -> bool:
        return len(row) == 2 and next(asked) % 4 == 1

    monkeypatch.setattr(session, "solved", at_once)
    tokens = Tokens(tiny_tokenizer(), config, 512)
    early = [
        replace(sample, task=replace(sample.task, decided=second_row))
        for sample in samples_of(config)[1]
    ]
    made = Session(
        host, tokens, config, PROMPTS, RowFiles(tmp_path / "rows"),
        lambda name, lang: pair_set("grid", host.depth),
        Progress(tmp_path / "progress.json", tmp_path / "rows"),
    )  # fmt: skip
    made.run([early])
    rows = only(made.files.read(), run="transplant")
    assert 3 <= rows.num_rows < 12
    assert made.files.totals().cut_samples == 3
    assert {len(tokens) for tokens in rows["tokens"].to_pylist()} <= {2, 3}
    found = blocks(made.files.read(), host.depth, cut=True)["topics"]["overall"]["strict"]
    assert not {"heat", "mean_rate", "budget", "by_source", "best_pair"} & set(found)
    assert found["upper_bound"]["value"] <= found["upper_bound_with_vanilla"]["value"]


def test_truncated_prompts_are_counted_by_baseline(host: Host, tmp_path: Path) -> None:
    config = replace(CONFIG, verify=0)
    _, samples = samples_of(config)
    longest = max(len(sample.task.target) for sample in samples)
    tokens = Tokens(tiny_tokenizer(), config, longest + 8)
    made = Session(
        host, tokens, config, PROMPTS, RowFiles(tmp_path / "rows"),
        lambda name, lang: pair_set("grid", host.depth),
        Progress(tmp_path / "progress.json", tmp_path / "rows"),
    )  # fmt: skip
    made.run([samples])
    assert made.truncated["vanilla"] == 0
    assert made.truncated["pim"] == 3, (
        "both languages in one prompt are longer than the model reads"
    )


def test_an_engine_that_differs_stops_the_run(host: Host, tmp_path: Path, monkeypatch) -> None:
    real = Wavefront().run

    def faulty(*args: Any, **kwargs: Any) -> Any:
        runs = real(*args, **kwargs)
        runs.first_logits = runs.first_logits + 1
        return runs

    monkeypatch.setattr(Wavefront, "run", staticmethod(faulty))
    with raises(CompatibilityError, "engine=wavefront", "inference.engine=cache"):
        run(host, CONFIG, tmp_path)


def test_unstable_rows_are_marked_or_run_again(host: Host, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("franken.inference.xtransplant.preflight.UNSTABLE_TIMES", 1e12)
    marked = run(host, CONFIG, tmp_path / "marked").files.read()
    assert all(only(marked, run="transplant")["unstable"].to_pylist())
    assert not any(only(marked, run="vanilla")["unstable"].to_pylist())
    config = replace(CONFIG, unstable=Unstable.rerun)
    again = run(host, config, tmp_path / "again").files.read()
    assert again["tokens"].equals(marked["tokens"])


@pytest.mark.parametrize("pairs", [[(1, 0)], [(1, 0), (0, 1)]])
def test_rows_run_again_are_naive_s(host: Host, tmp_path: Path, monkeypatch, pairs: Any) -> None:
    """Also where one fixed pair is applied in batches."""
    monkeypatch.setattr("franken.inference.xtransplant.preflight.UNSTABLE_TIMES", 1e12)
    asked: list[Any] = []

    def naive(host: Host, task: Any, pairs: Any, *rest: Any) -> Any:
        asked.append(pairs)
        return real(host, task, pairs, *rest)

    real = Naive().run
    monkeypatch.setattr(session, "Naive", lambda: SimpleNamespace(run=naive))
    config = replace(CONFIG, unstable=Unstable.rerun, baselines=[], samples=0)
    tokens, samples = samples_of(config)
    made = Session(
        host, tokens, config, PROMPTS, RowFiles(tmp_path / "rows"), lambda name, lang: pairs,
        Progress(tmp_path / "progress.json", tmp_path / "rows"),
    )  # fmt: skip
    made.run([samples])
    assert asked == [pairs] * 3
    assert all(made.files.read()["unstable"].to_pylist())


def test_unchecked_half_precision_is_marked_by_a_fixed_margin(tmp_path: Path) -> None:
    half = open_host(tiny_model("llama", rows=96, max_position_embeddings=512,
                                dtype=torch.bfloat16))  # fmt: skip
    made = run(half, replace(CONFIG, verify=0, samples=0), tmp_path)
    assert (made.checked, made.unstable_below) == (None, 0.5)
    rows = only(made.files.read(), run="transplant")
    margins, marks = rows["margin"].to_pylist(), rows["unstable"].to_pylist()
    assert marks == [margin < 0.5 for margin in margins]
    assert any(marks)


def test_one_pair_is_applied_in_batches(host: Host, tmp_path: Path) -> None:
    grid = only(run(host, CONFIG, tmp_path / "grid").files.read(), run="transplant", source=1,
                target=0)  # fmt: skip
    tokens, samples = samples_of(CONFIG)
    made = Session(
        host, tokens, CONFIG, PROMPTS, RowFiles(tmp_path / "one"), lambda name, lang: [(1, 0)],
        Progress(tmp_path / "progress.json", tmp_path / "one"),
    )  # fmt: skip
    made.run([samples])
    assert made.checked is not None
    assert (made.checked.engine, made.checked.pairs, made.checked.tokens_equal) == ("batches", 2, 2)
    fixed = only(made.files.read(), run="transplant")
    assert fixed["tokens"].equals(grid["tokens"])
    assert fixed["text"].equals(grid["text"])


def test_batches_that_differ_stop_the_run(host: Host, tmp_path: Path, monkeypatch) -> None:
    """Left-padded rows that read their padding."""

    def unmasked(prompts: Any, host: Host) -> Any:
        return {**real(prompts, host), "attention_mask": torch.ones(3, max(map(len, prompts)))}

    real = batched.padded
    monkeypatch.setattr(batched, "padded", unmasked)
    tokens, samples = samples_of(CONFIG)
    samples.sort(key=lambda sample: len(sample.task.target))
    made = Session(
        host, tokens, replace(CONFIG, baselines=["pivot"], samples=0), PROMPTS,
        RowFiles(tmp_path / "one"), lambda name, lang: [(1, 0)],
        Progress(tmp_path / "progress.json", tmp_path / "one"),
    )  # fmt: skip
    with raises(CompatibilityError, "engine=batches", "engine=naive"):
        made.run([samples])


def test_parts_are_disjoint_and_empty_ones_refused() -> None:
    _, pilot = samples_of(CONFIG)
    _, rest = samples_of(CONFIG, Portion.rest)
    assert [s.pair.index for s in pilot] == [0, 1, 2]
    assert [s.pair.index for s in rest] == [3, 4]
    tokens = Tokens(tiny_tokenizer(), CONFIG, 512)
    with raises(DataError, "topics tr", "part rest", "prompts.pilot"):
        gather(replace(PROMPTS, pilot=9), "topics", DATA, "tr", Portion.rest, tokens,
               donor=DonorKind.translation, stop=Stop.text, seed=0)  # fmt: skip


def test_donors_of_the_controls() -> None:
    tokens, real = samples_of(CONFIG)
    _, own = samples_of(CONFIG, donor=DonorKind.self)
    _, shuffled = samples_of(CONFIG, donor=DonorKind.shuffled)
    _, noise = samples_of(CONFIG, donor=DonorKind.noise)
    for a, b in zip(real, own, strict=True):
        assert torch.equal(b.task.donor.ids, a.task.target)
    texts = [s.task.donor.ids.tolist() for s in real]
    moved = [s.task.donor.ids.tolist() for s in shuffled]
    assert sorted(moved) == sorted(texts)
    assert all(a != b for a, b in zip(moved, texts, strict=True))
    assert [s.task.donor.ids.tolist() for s in noise] == texts
    assert len({s.task.donor.noise_seed for s in noise}) == 3
    assert tokens.text([]) == ""


def test_early_ends_keep_the_strict_verdict(host: Host, tmp_path: Path) -> None:
    whole = only(run(host, CONFIG, tmp_path / "whole").files.read(), run="transplant")
    config = replace(CONFIG, stop=Stop.verdict)
    early = run(host, config, tmp_path / "early", stop=Stop.verdict).files.read()
    assert only(early, run="transplant")["strict"].equals(whole["strict"])


def test_results_so_far_are_read_while_a_run_goes_on(
    host: Host, tmp_path: Path, capsys, monkeypatch
) -> None:
    left = iter([True, True])

    def dying(*args: Any, **kwargs: Any) -> Any:
        if next(left, None) is None:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    real = Wavefront().run
    monkeypatch.setattr(Wavefront, "run", staticmethod(dying))
    folder = tmp_path / "transplants"
    tokens, samples = samples_of(CONFIG)
    made = Session(
        host, tokens, replace(CONFIG, verify=0), PROMPTS, RowFiles(tmp_path / "rows"),
        lambda name, lang: pair_set("grid", host.depth),
        Progress(folder / "grid.progress.json", tmp_path / "rows"),
    )  # fmt: skip
    with pytest.raises(KeyboardInterrupt):
        made.run([samples])
    assert main([str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    # 3 x 3 baselines, 3 x 2 draws, two grids of four pairs; another grid is left
    assert not unnamed(shown, "grid: 2 of 3", "23 of 27")
    table = finished_samples(made.files.read())
    assert only(table, run="vanilla").num_rows == 2
    assert so_far(table, "grid")["sets"]["topics"]["overall"]["strict"]["n"] == 2
    assert main([str(tmp_path / "nothing")]) == 2
    assert not unnamed(capsys.readouterr().err, tmp_path / "nothing")


def test_prompts_and_options_are_put_in_the_chat_template_where_asked() -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}!{% endfor %}"
    plain = Tokens(tokenizer, CONFIG, 512)
    chat = Tokens(tokenizer, replace(CONFIG, chat=ChatForm.auto), 512)
    assert not plain.chat
    ids, _ = chat.ids(" a b ")
    assert ids.tolist() == plain.ids("a b!")[0].tolist()
    assert chat.told_apart([" a", " b"]) == plain.told_apart(["a", "b"])
