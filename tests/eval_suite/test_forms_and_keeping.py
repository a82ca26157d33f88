"""Chat form beside the plain one, what opens a text, what is charged, what a killed run keeps."""

import json
import logging
import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from franken.config.eval_suite import Chat, EvalSuiteConfig, TaskConfig
from franken.eval_suite import SuiteResult, evaluate
from franken.eval_suite.journal import Journal, as_text, as_values, key_of
from franken.progress import TELL_EVERY, Lines
from franken.tokenizer.text_ids import opening_ids
from tests.eval_suite.conftest import ENGLISH, TinyData
from tests.eval_suite.test_tasks import (
    ARITHMETIC,
    BITS,
    TOPIC,
    TRANSLATE,
    ids_of,
    score,
    token_log_probs,
)

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<eos>{{ m.role }}\n{{ m.content }}<unk>\n{% endfor %}"
    "{% if add_generation_prompt %}<eos>assistant\n{% endif %}"
)


def run(case: Any, data: TinyData, journal: Journal | None = None, **options: Any) -> SuiteResult:
    tasks = {k: v for k, v in options.items() if isinstance(v, TaskConfig)}
    rest = {k: v for k, v in options.items() if k not in tasks}
    suite = EvalSuiteConfig(tasks=tasks, batch_tokens=512, **rest)
    return evaluate(case.model, case.tokenizer, suite, data, progress=False, journal=journal)


def with_form(config: TaskConfig, chat: Chat, **options: Any) -> TaskConfig:
    return TaskConfig(**{**vars(config), "chat": chat, **options})


def test_both_forms_are_scored_in_one_run_and_bos_stands_there_once(
    case: SimpleNamespace, data: TinyData
) -> None:
    case.tokenizer.chat_template = TEMPLATE
    result = run(case, data, topic=with_form(TOPIC, Chat.both, languages=["ru"]))
    plain, chat = result.items["topic"], result.items["topic@chat"]
    assert [item["prompt"] for item in plain] == [f"{x} topic :" for x in data.lines["ru"] * 2]
    assert chat[0]["prompt"] == (
        f"<bos><eos>user\n{data.lines['ru'][0]} topic :<unk>\n<eos>assistant\n"
    )
    for item, start in ((plain[0], [2]), (chat[0], [])):
        prompt = start + ids_of(case, item["prompt"])
        assert prompt.count(2) == 1
        tails = [ids_of(case, text) for text in item["scored"]]
        expected = [math.fsum(token_log_probs(case, prompt, tail)) for tail in tails]
        assert item["scores"] == pytest.approx(expected, abs=1e-4)
    assert [text.strip() for text in plain[0]["scored"]] == chat[0]["scored"]
    told = {s.task: s.extra["chat"] for s in result.scores}
    assert told == {"topic": False, "topic@chat": True}


def test_a_model_without_a_template_is_asked_plainly_or_left_out(
    case: SimpleNamespace, data: TinyData
) -> None:
    for chat, tasks in ((Chat.auto, {"topic"}), (Chat.off, {"topic"}), (Chat.both, {"topic"})):
        result = run(case, data, topic=with_form(TOPIC, chat))
        assert {s.task for s in result.scores} == tasks
    assert run(case, data, topic=with_form(TOPIC, Chat.on)).scores == []
    left_out = run(case, data, topic=with_form(TOPIC, Chat.on, languages=["ru"])).skipped
    assert [entry["lang"] for entry in left_out] == ["ru"]


def test_worked_examples_become_earlier_turns(case: SimpleNamespace, data: TinyData) -> None:
    case.tokenizer.chat_template = TEMPLATE
    config = with_form(TRANSLATE, Chat.on, shots=2, limit=1, languages=["ru"])
    (item,) = run(case, data, mt=config).items["mt"]
    turns = item["prompt"].removeprefix("<bos>").split("<unk>\n")
    roles = [turn.split("\n")[0] for turn in turns]
    assert roles == ["<eos>user", "<eos>assistant"] * 3
    pairs = dict(zip(data.lines["en"], data.lines["ru"], strict=True))
    for question, answer in ((turns[0], turns[1]), (turns[2], turns[3])):
        source = question.split(" : ")[1].removesuffix(" Russian :")
        assert pairs[source] == answer.split("\n")[1]


@pytest.mark.parametrize(("opening", "start"), [("none", []), ("always", [2]), ("<eos>", [1])])
def test_what_opens_a_text_is_an_option_and_stands_in_the_record(
    case: SimpleNamespace, data: TinyData, opening: str, start: list[int]
) -> None:
    result = run(case, data, bits=BITS, opening=opening)
    nats = 0.0
    for line in ENGLISH:
        ids = ids_of(case, line)
        context, rest = (start, ids) if start else (ids[:1], ids[1:])
        nats -= math.fsum(token_log_probs(case, context, rest))
        # nothing to go on from: one of all tokens, each as likely
        nats += 0.0 if start else math.log(len(case.tokenizer))
    found = score(result, "bits_per_byte", "en")
    size = sum(len(line.encode()) for line in ENGLISH)
    assert found.value == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    names = "".join(case.tokenizer.convert_ids_to_tokens(opening_ids(case.tokenizer, opening)))
    assert found.extra["opening"] == (names or "none")


def test_a_control_tokens_name_in_held_out_text_is_text(
    case: SimpleNamespace, data: TinyData
) -> None:
    data.lines["en"] = ["the <eos> cat", "a <bos>"]
    result = run(case, data, bits=BITS)
    tokens = [item["tokens"] for item in result.items["bits"] if item["lang"] == "en"]
    backend = case.tokenizer.backend_tokenizer
    backend.encode_special_tokens = True
    lines = data.lines["en"]
    assert tokens == [len(backend.encode(line, add_special_tokens=False)) for line in lines]
    backend.encode_special_tokens = False
    assert tokens[0] > len(ids_of(case, lines[0]))


def test_what_unknown_tokens_hide_is_charged(case: SimpleNamespace, data: TinyData) -> None:
    """A vocabulary that knows no Russian pays eight bits for each byte that it does not tell."""
    if case.name != "gemma2":
        pytest.skip("byte-level vocabularies lose nothing")
    spec = json.loads(case.tokenizer.backend_tokenizer.to_str())
    spec["model"]["byte_fallback"] = False
    case.tokenizer.backend_tokenizer.__setstate__(json.dumps(spec).encode())
    result = run(case, data, bits=BITS)
    found = score(result, "bits_per_byte", "ru")
    letters = sum(len(line.replace(" ", "").encode()) for line in data.lines["ru"])
    whole = sum(len(line.encode()) for line in data.lines["ru"])
    assert found.extra["hidden"] == pytest.approx(letters / whole)
    assert found.value > 8 * letters / whole
    assert score(result, "bits_per_byte", "en").extra["hidden"] == 0


def test_a_killed_evaluation_goes_on(
    case: SimpleNamespace, data: TinyData, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = {"topic": TOPIC, "bits": BITS, "mt": TRANSLATE, "sums": ARITHMETIC}
    whole = run(case, data, **tasks)
    path = tmp_path / "items.jsonl"
    forward, calls = type(case.model.model).forward, []

    def counted(self: Any, *arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == limit:
            raise KeyboardInterrupt
        return forward(self, *arguments, **options)

    monkeypatch.setattr(type(case.model.model), "forward", counted)
    limit = -1
    run(case, data, **tasks)
    needed = len(calls)
    calls.clear()
    limit = needed * 2 // 3
    with pytest.raises(KeyboardInterrupt):
        run(case, data, Journal(path), **tasks)
    content = path.read_bytes()
    path.write_bytes(content[:-20])  # as a power cut leaves it
    lines = [line for line in content.split(b"\n") if line]
    assert len(Journal(path).found) == len(set(lines)) - 1
    calls.clear()
    limit = -1
    again = run(case, data, Journal(path), **tasks)
    assert len(calls) < needed
    for one, two in zip(whole.scores, again.scores, strict=True):
        assert two.value == pytest.approx(one.value, rel=1e-5)
        assert (two.task, two.lang, two.metric, two.n) == (one.task, one.lang, one.metric, one.n)
    calls.clear()
    run(case, data, Journal(path), **tasks)
    assert not calls


def test_a_damaged_line_is_scored_again(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "items.jsonl"
    journal = Journal(path)
    journal.add([("a", [1, 2]), ("b", "text")])
    journal.close()
    path.write_bytes(path.read_bytes().replace(b"text", b"test"))
    assert Journal(path).found == {"a": [1, 2]}
    assert "1 damaged" in caplog.text


def test_numbers_are_kept_bit_for_bit_and_keys_tell_requests_apart() -> None:
    values = torch.randn(7) * 1e3
    assert torch.equal(as_values(as_text(values)), values)
    keys = {key_of("t", "en", ids=ids) for ids in ([1, 2], [2, 1], [1], [1, 2, 0])}
    assert len(keys | {key_of("t", "ru", ids=[1]), key_of("u", "en", ids=[1])}) == 6


def test_without_a_terminal_a_line_now_and_then_tells_rate_and_time_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    now = 0.0
    lines = Lines("evaluating", lambda: now)
    with caplog.at_level(logging.INFO):
        for done in range(0, 101, 10):
            lines("topic sw", done, 400)
            now += TELL_EVERY / 3
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 3
    assert "30 of 400" in told[0]
    assert "1/s" in told[0]
    assert "370 s left" in told[0]


def test_scores_say_what_share_of_the_set_they_are_of(
    case: SimpleNamespace, data: TinyData
) -> None:
    result = run(case, data, topic=with_form(TOPIC, Chat.off, limit=4), bits=BITS)
    assert score(result, "acc", "ru").extra["set_size"] == 10
    assert score(result, "acc", "ru").n == 4
    assert score(result, "bits_per_byte", "ru").extra["set_size"] == 5
    limited = TaskConfig("bits_per_byte", "monolingual", limit=2)
    cut = score(run(case, data, bits=limited), "bits_per_byte", "ru").extra
    assert (cut["set_size"], cut["of_more"]) == (None, True)
    units = score(result, "acc", "ru").units
    assert units is not None
    assert units.ids == ("0", "2", "5", "7")


def test_lengths_are_counted_in_characters_and_in_bytes(
    case: SimpleNamespace, data: TinyData
) -> None:
    labels = {"science/technology": "наука", "travel": "путь"}
    config = TaskConfig(source="topic", prompt=TOPIC.prompt, labels=labels, languages=["ru"])
    result = run(case, data, topic=config)
    item = result.items["topic"][0]
    at = item["options"].index("наука")
    assert item["scores_norm"][at] == pytest.approx(item["scores"][at] / 5)
    assert item["scores_bytes"][at] == pytest.approx(item["scores"][at] / 10)
    assert {s.metric for s in result.scores} == {"acc", "acc_norm", "acc_bytes"}
