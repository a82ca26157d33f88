"""A Hydra LLM in the suite: languages find their tables; read and write can be named."""

from typing import Any

import pytest
import torch

from franken.composition.hydra import HydraModel, TableRouter
from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.decoding import Decoding, Strategy, WholeModel, decode
from franken.errors import CompatibilityError
from franken.eval_suite import SuiteResult, evaluate
from franken.eval_suite.encoding import Encoder, MixedEncoder
from franken.eval_suite.hydra import readers_and_writers
from tests.eval_suite.conftest import ENGLISH, RUSSIAN, TinyData
from tests.faults import raises

from .hydras import LINEAGE, base, other_table

TRANSLATE = TaskConfig(
    "translation", "translation", "{source}\n=", max_new_tokens=8, languages=["ru"], stop="",
    chrf=True, reference_bits=True,
)  # fmt: skip


@pytest.fixture
def data() -> TinyData:
    return TinyData()


@pytest.fixture(params=[("gemma2", True), ("llama", False)])
def hydra(request: pytest.FixtureRequest) -> HydraModel:
    model, table = base(*request.param)
    router = TableRouter(("source", "target"), {"en": "source"}, default="target")
    tables = {"source": table, "target": other_table(table, size=330)}
    return HydraModel(model, tables, lineage=LINEAGE, router=router)


def run(hydra: HydraModel, data: TinyData, **tasks: TaskConfig) -> SuiteResult:
    suite = EvalSuiteConfig(tasks=tasks)
    return evaluate(hydra, None, suite, data, progress=False)


@pytest.mark.parametrize("beams", [1, 3])
def test_translations_are_read_in_one_table_and_written_in_the_other(
    hydra: HydraModel, data: TinyData, beams: int
) -> None:
    task = TaskConfig(**{**vars(TRANSLATE), "beams": beams})
    result = run(hydra, data, mt=task)
    view = hydra.view("target", ["source"])
    prompts = [view.encode([("source", f"{line}\n=")]) for line in ENGLISH]
    strategy = Strategy.beam if beams > 1 else Strategy.greedy
    made = decode(
        WholeModel(view.model), prompts, Decoding(strategy, 8, beams=beams),
        ends=view.ends, writable=view.writable,
    )  # fmt: skip
    expected = [view.decode(written.ids).strip() for written in made]
    assert [item["generation"] for item in result.items["mt"]] == expected
    assert {s.metric for s in result.scores} == {"chrf++", "chrf", "reference_bits_per_byte"}


def test_bits_of_a_reference_are_those_of_a_mixed_sequence(
    hydra: HydraModel, data: TinyData
) -> None:
    result = run(hydra, data, mt=TRANSLATE)
    view = hydra.view("target", ["source"])
    total = 0.0
    for source, target in zip(ENGLISH, RUSSIAN, strict=True):
        head = view.encode([("source", f"{source}\n=")])
        whole = view.encode([("source", f"{source}\n="), ("target", f" {target}")])
        logits = view.logits(torch.tensor([whole]))[0].log_softmax(-1)
        total -= sum(logits[i - 1, whole[i]].item() for i in range(len(head), len(whole)))
    bits = total / torch.log(torch.tensor(2.0)).item()
    (score,) = [s for s in result.scores if s.metric == "reference_bits_per_byte"]
    assert score.value == pytest.approx(bits / sum(len(t.encode()) for t in RUSSIAN), rel=1e-4)


def test_other_tasks_stay_within_a_languages_own_table(hydra: HydraModel, data: TinyData) -> None:
    kinds: dict[str, Any] = {
        "bpb": TaskConfig("bits_per_byte", "monolingual", languages=["en", "ru"]),
        "topic": TaskConfig("multiple_choice", "topic", "{text} :", languages=["ru"]),
    }
    result = run(hydra, data, **kinds)
    for lang, table in (("en", "source"), ("ru", "target")):
        view = hydra.view(table)
        suite = EvalSuiteConfig(
            tasks={name: TaskConfig(**{**vars(task), "languages": [lang]})
                   for name, task in kinds.items() if lang in task.languages}
        )  # fmt: skip
        plain = evaluate(view.model, view.tokenizer, suite, data, progress=False)
        for expected in plain.scores:
            (found,) = [
                s for s in result.scores
                if (s.task, s.lang, s.metric) == (expected.task, expected.lang, expected.metric)
            ]  # fmt: skip
            assert found.value == pytest.approx(expected.value, rel=1e-5)


def test_worked_examples_keep_their_answers_in_the_written_table(
    hydra: HydraModel, data: TinyData
) -> None:
    view = hydra.view("target", ["source"])
    encoder = MixedEncoder(
        view.tokenizer, view.tables["source"].tokenizer, view.layout.offsets["source"],
        view.writable,
    )  # fmt: skip
    pieces = [(f"{ENGLISH[0]}\n=", False), (f" {RUSSIAN[0]}", True), ("\n\n", False)]
    (ids,) = encoder.prompts([pieces])
    own = [i for i in ids if i < view.layout.rows[0]]
    assert view.decode(own) == f" {RUSSIAN[0]}"
    assert len(own) < len(ids)
    shots = TaskConfig(**{**vars(TRANSLATE), "shots": 1, "limit": 1})
    (item,) = run(hydra, data, mt=shots).items["mt"]
    assert item["prompt"].count("=") == 2


def test_one_table_is_encoded_as_the_plain_model(data: TinyData) -> None:
    model, table = base("llama", False)
    mixed = HydraModel(
        model, {"source": table, "target": other_table(table, size=330)}, lineage=LINEAGE,
        router=TableRouter(("source", "target"), {"en": "source"}, default="target"),
    )  # fmt: skip
    tasks = {
        "mt": TaskConfig(**{**vars(TRANSLATE), "prompt": "{source}\n", "shots": 2,
                            "shot_separator": "s", "read": "target", "write": "target"}),
        "topic": TaskConfig("multiple_choice", "topic", "{text}", option="{option}",
                            shots=2, shot_separator="s", languages=["ru"]),
    }  # fmt: skip
    view = mixed.view("target")
    ((_, encoder, _),) = readers_and_writers(mixed, tasks["mt"], data)
    pieces = [[("the ca", False), ("t", True), ("s", False), (" the mat", False)]]
    plain = Encoder(view.tokenizer)
    apart = MixedEncoder(view.tokenizer, view.tokenizer, 0, view.writable)
    assert encoder.prompts(pieces) == plain.prompts(pieces) != apart.prompts(pieces)
    assert encoder.writable == view.writable
    found = run(mixed, data, **tasks)
    suite = EvalSuiteConfig(tasks=tasks)
    expected = evaluate(view.model, view.tokenizer, suite, data, progress=False)
    scores = [[(s.metric, s.value) for s in result.scores] for result in (found, expected)]
    assert scores[0] == scores[1]


def test_tables_can_be_named_and_unknown_ones_are_refused(
    hydra: HydraModel, data: TinyData
) -> None:
    one = run(hydra, data, mt=TaskConfig(**{**vars(TRANSLATE), "read": "target"}))
    two = run(hydra, data, mt=TRANSLATE)
    assert [i["generation"] for i in one.items["mt"]] != [i["generation"] for i in two.items["mt"]]
    with raises(CompatibilityError, "'targte'", "source, target"):
        run(hydra, data, mt=TaskConfig(**{**vars(TRANSLATE), "write": "targte"}))
    hydra.router = TableRouter(("source", "target"), {"en": "source"})
    with raises(CompatibilityError, "'ru'", "en, source, target"):
        run(hydra, data, mt=TRANSLATE)
