"""The paper's tasks from local copies in the hub's layout: shipped data and suite, tiny sets."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from franken.config.data import FileData
from franken.config.eval_suite import EvalSuiteConfig
from franken.config.register import register_schemas
from franken.data import open_data
from franken.eval_suite import evaluate
from tests.data.test_hub import offline, write_card, write_parquet  # noqa: F401

CONF = Path(__file__).parents[2] / "conf"
PARTS = ("train", "dev", "test")


def squad(part: str) -> list[dict[str, Any]]:
    """As published: id, title, context, question, answers; a third has no answer."""
    answers = [["een kat"], ["Parijs", "in Parijs"], []]
    return [
        {
            "id": f"{part}{n}", "title": "t", "context": f"{part} {n} een kat in Parijs .",
            "question": "wie ?",
            "answers": {"text": texts, "answer_start": [0] * len(texts)},
        }
        for n, texts in enumerate(answers)
    ]  # fmt: skip


def article(lang: str, part: str, number: int) -> dict[str, str]:
    return {
        "id": f"{lang}-{number}", "url": "u", "title": f"{part} {number}",
        "summary": f"{lang} short {number}", "text": f"{lang} a longer story {number} .",
    }  # fmt: skip


@pytest.fixture
def data(tmp_path: Path) -> FileData:
    (tmp_path / "squad").mkdir()
    write_card(tmp_path / "squad", {"default": {part: f"data/{part}-*" for part in PARTS}})
    for part in PARTS:
        write_parquet(tmp_path / "squad" / "data" / f"{part}-00000.parquet", squad(part))
    for lang in ("english", "turkish"):
        for part in ("train", "validation", "test"):
            rows = [article(lang, part, n) for n in range(2)]
            write_parquet(tmp_path / "xlsum" / lang / part / "0000.parquet", rows)
    register_schemas()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        node = compose("data/hub_tweety").data
    config = OmegaConf.to_object(node)
    assert isinstance(config, FileData)
    answers, summaries = (config.evaluation[n] for n in ("question_answering", "summarisation"))
    assert answers.hub is not None
    assert summaries.hub is not None
    answers.hub.path = str(tmp_path / "squad")
    summaries.hub.path = summaries.hub.path.replace(
        "hf://datasets/csebuetnlp/xlsum@refs/convert/parquet", f"file://{tmp_path}/xlsum"
    )
    return config


def test_the_shipped_suite_scores_local_copies_of_the_sets(
    data: FileData, case: SimpleNamespace
) -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        suite = OmegaConf.to_object(compose("eval_suite/paper_tweety").eval_suite)
    assert isinstance(suite, EvalSuiteConfig)
    suite.tasks = {name: suite.tasks[name] for name in ("summarisation", "question_answering")}
    for task in suite.tasks.values():
        task.max_new_tokens = 4
    with torch.random.fork_rng():
        result = evaluate(case.model, case.tokenizer, suite, open_data(data), progress=False)
    scores = {(s.task, s.lang, s.metric): s for s in result.scores}
    assert set(scores) == {
        *(("summarisation", lang, name) for lang in ("en", "tr") for name in ("chrf", "chrf++")),
        ("question_answering", "nl", "acc_exact"), ("question_answering", "nl", "f1"),
    }  # fmt: skip
    assert scores["question_answering", "nl", "f1"].n == 2
    items = {item["id"]: item for item in result.items["question_answering"]}
    assert items["test1"]["answers"] == ["Parijs", "in Parijs"]
    prompt = items["test0"]["prompt"]
    assert prompt.endswith("test 0 een kat in Parijs .\nQuestion: wie ?\nAnswer:")
    assert prompt.count("\nAnswer: ") == 2
    assert "train 2" not in prompt
    (summary,) = (i for i in result.items["summarisation"] if i["id"] == "turkish-1")
    assert summary["reference"] == "turkish short 1"
    assert summary["prompt"].count("turkish short") == 1
