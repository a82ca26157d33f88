"""Each kind of task against an obvious computation, one item at a time."""

import dataclasses
import math

import pytest
import torch

from franken.config.eval_suite import (
    EvalSuiteConfig,
    LimitTakes,
    OptionScore,
    ShotChoice,
    TaskConfig,
)
from franken.errors import ConfigError
from franken.eval_suite import evaluate
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.prompts import nearest_shots
from franken.eval_suite.readout import read_out
from franken.eval_suite.scoring import Request, log_probs
from franken.eval_suite.suite import some_of
from tests.faults import raises

TOPIC = TaskConfig(
    source="topic",
    prompt="{text} topic :",
    labels={"science/technology": "science", "sports": "sport"},
)
BITS = TaskConfig(kind="bits_per_byte", source="monolingual")
TRANSLATE = TaskConfig(
    kind="translation",
    source="translation",
    prompt="{from_language} : {source} {to_language} :",
    max_new_tokens=6,
)
ARITHMETIC = TaskConfig(kind="math", source="arithmetic", prompt="{question} =", max_new_tokens=6)


def run(case, data, batch_tokens=512, seed=0, **tasks):
    suite = EvalSuiteConfig(tasks=tasks, batch_tokens=batch_tokens)
    return evaluate(case.model, case.tokenizer, suite, data, seed=seed, progress=False)


def score(result, metric, lang, task=None):
    found = [
        s
        for s in result.scores
        if s.metric == metric and s.lang == lang and (task is None or s.task == task)
    ]
    assert len(found) == 1
    return found[0]


def ids_of(case, text):
    return case.tokenizer(text, add_special_tokens=False)["input_ids"]


def token_log_probs(case, context, continuation):
    with torch.no_grad():
        table = case.model(torch.tensor([context + continuation])).logits[0].double()
    table = table.log_softmax(dim=-1)
    return [table[len(context) - 1 + i, token].item() for i, token in enumerate(continuation)]


def greedy(case, ids, count):
    new = []
    for _ in range(count):
        with torch.no_grad():
            token = case.model(torch.tensor([ids + new])).logits[0, -1].argmax().item()
        if token == case.tokenizer.eos_token_id:
            break
        new.append(token)
    text = case.tokenizer.decode(new, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    return text.split("\n")[0].strip()


def test_bits_per_byte_is_the_negative_log_likelihood_over_the_bytes(case, data):
    result = run(case, data, bits=BITS)
    for lang in ("en", "ru"):
        nats = sum(
            -math.fsum(token_log_probs(case, [2], ids_of(case, line))) for line in data.lines[lang]
        )
        size = sum(len(line.encode()) for line in data.lines[lang])
        found = score(result, "bits_per_byte", lang)
        assert found.value == pytest.approx(nats / math.log(2) / size, rel=1e-5)
        assert found.n == 5
        assert found.stderr is not None
        assert found.stderr > 0


def test_bits_per_byte_of_a_uniform_model_is_tokens_times_log2_of_the_vocabulary(case, data):
    torch.nn.init.zeros_(case.model.get_output_embeddings().weight)
    found = score(run(case, data, bits=BITS), "bits_per_byte", "en")
    tokens = sum(len(ids_of(case, line)) for line in data.lines["en"])
    size = sum(len(line) for line in data.lines["en"])
    assert found.value == pytest.approx(tokens * math.log2(case.model.config.vocab_size) / size)


def test_windows_read_every_token_once_and_open_with_bos(case, data):
    data.lines["en"] = [" ".join(data.lines["en"])]
    ids = ids_of(case, data.lines["en"][0])
    config = TaskConfig(kind="bits_per_byte", source="monolingual", window_tokens=7)
    result = run(case, data, bits=config)
    nats = -math.fsum(
        value
        for start in range(0, len(ids), 7)
        for value in token_log_probs(case, [2], ids[start : start + 7])
    )
    found = score(result, "bits_per_byte", "en")
    assert found.value == pytest.approx(
        nats / math.log(2) / len(data.lines["en"][0].encode()), rel=1e-5
    )
    assert found.stderr is None  # one document shows no spread
    assert result.items["bits"][0]["tokens"] == len(ids)


def test_documents_beyond_the_models_positions_are_read_in_windows(case, data):
    data.lines["en"] = [" ".join(data.lines["en"] * 20)]
    assert len(ids_of(case, data.lines["en"][0])) > case.model.config.max_position_embeddings
    assert math.isfinite(score(run(case, data, bits=BITS), "bits_per_byte", "en").value)


@pytest.mark.parametrize("rule", list(OptionScore))
def test_multiple_choice_equals_a_loop_over_items_and_options(case, data, rule):
    config = TaskConfig(source="topic", prompt=TOPIC.prompt, labels=TOPIC.labels, score=rule)
    result = run(case, data, topic=config)
    items = [item for item in result.items["topic"] if item["lang"] == "ru"]
    hits = 0
    for item in items:
        prompt = [2, *ids_of(case, item["prompt"])]
        scores = []
        for option in item["options"]:
            tail = ids_of(case, f" {option}")
            total = math.fsum(token_log_probs(case, prompt, tail))
            sizes = {"mean_character": len(option), "mean_byte": len(option.encode())}
            divisor = {"sum": 1, "mean_token": len(tail), **sizes}[rule]
            scores.append(total / divisor)
        assert item["scores"] == pytest.approx(scores, abs=1e-4)
        hits += scores.index(max(scores)) == item["answer"]
    found = score(result, "acc", "ru")
    share = hits / len(items)
    assert (found.value, found.n) == (share, 10)
    assert found.stderr == pytest.approx(math.sqrt(share * (1 - share) / 9))


def test_option_names_are_replaced_and_chance_is_noted(case, data):
    result = run(case, data, topic=TOPIC)
    options = result.items["topic"][0]["options"]
    assert {"science", "sport"} <= set(options)
    assert not {"science/technology", "sports"} & set(options)
    assert score(result, "acc", "en").extra["chance"] == pytest.approx(1 / len(options))


def test_worked_examples_stand_before_the_item_with_their_answers(case, data):
    config = TaskConfig(
        source="topic", prompt="{text} =", shots=2, shot_separator=" | ", labels=TOPIC.labels
    )
    first = run(case, data, topic=config).items["topic"]
    shown = first[0]["prompt"].split(" | ")
    assert len(shown) == 3
    assert shown[2] == "the cat sees the red house ="
    for example in shown[:2]:
        text, label = example.split(" = ")
        rows = data.task_rows("topic", "en", "train")
        wanted = next(row["category"] for row in rows if row["text"] == text)
        assert label == TOPIC.labels.get(wanted, wanted)
    assert run(case, data, topic=config).items["topic"][0]["prompt"] == first[0]["prompt"]
    seeds = {run(case, data, seed=s, topic=config).items["topic"][0]["prompt"] for s in range(6)}
    assert len(seeds) > 1


def test_letters_are_listed_and_scored(case, data):
    config = TaskConfig(source="topic", prompt="{text} {options} Answer:", letters=True)
    item = run(case, data, topic=config).items["topic"][0]
    assert "(A) " in item["prompt"]
    assert item["scored"][:2] == [" (A)", " (B)"]


def test_long_prompts_lose_their_beginning_and_are_counted(case, data):
    data.lines["en"] = [" ".join(["bread"] * 150) + " near the river"] * 5
    found = score(run(case, data, topic=TOPIC), "acc", "en")
    assert found.extra["truncated"] == 10
    assert "truncated" not in score(run(case, data, topic=TOPIC), "acc", "ru").extra


def test_translation_equals_generation_one_item_at_a_time(case, data):
    from sacrebleu.metrics import CHRF

    result = run(case, data, translation=TRANSLATE)
    guesses = [
        greedy(case, [2, *ids_of(case, f"English : {line} Russian :")], 6)
        for line in data.lines["en"]
    ]
    assert [item["generation"] for item in result.items["translation"]] == guesses
    found = score(result, "chrf++", "ru")
    reference = CHRF(word_order=2).corpus_score(guesses, [data.lines["ru"]])
    assert found.value == pytest.approx(reference.score)
    assert "nw:2" in found.extra["signature"]
    assert [s.lang for s in result.scores] == ["ru"]


def test_answers_are_set_apart_from_the_prompt_as_in_training(case, data):
    for prompt, border in (("{source}\n", "\n"), ("{source} :", " : ")):
        config = TaskConfig(
            kind="translation", source="translation", prompt=prompt, max_new_tokens=2,
            shots=1, shot_separator="|", reference_bits=True, limit=1,
        )  # fmt: skip
        result = run(case, data, translation=config)
        (item,) = result.items["translation"]
        shown = item["prompt"].split("|")[0]
        pairs = dict(zip(data.lines["en"], data.lines["ru"], strict=True))
        assert shown in {f"{source}{border}{target}" for source, target in pairs.items()}
        encoder, readout = Encoder(case.tokenizer), read_out(case.model)
        answer = item["reference"] if border == "\n" else f" {item['reference']}"
        (head,), (tail,) = encoder.answers([item["prompt"]], [answer])
        request = Request((*encoder.start, *head), tuple(tail))
        (values,) = log_probs(readout, [request], batch_tokens=4096)
        bits = -values.sum().item() / math.log(2)
        assert item["reference_bits"] == pytest.approx(bits, rel=1e-4)


def test_nearest_examples_stand_beside_the_item(case, data):
    known = ["seven birds eat bread", "the king reads", "seven birds eat", "the king reads"]
    chosen = nearest_shots(2, ["seven birds eat fish", "the king sleeps"], known, "mt", "ru")
    assert chosen == [[0, 2], [3, 1]]
    config = TaskConfig(
        kind="translation", source="translation", prompt="{source} :", max_new_tokens=2,
        shots=2, shot_separator="|", shot_choice=ShotChoice.nearest,
    )  # fmt: skip
    for item in run(case, data, translation=config).items["translation"]:
        other, beside, asked = item["prompt"].split("|")
        assert beside.startswith(asked)  # the tiny data's other parts hold the item itself
        assert not other.startswith(asked)
    config.shots = 6
    with raises(ConfigError, "eval_suite.tasks.translation.shots", 6):
        run(case, data, translation=config)


def test_translation_can_run_backwards_and_add_bleu(case, data):
    config = TaskConfig(
        kind="translation", source="translation", prompt=TRANSLATE.prompt,
        max_new_tokens=3, reverse=True, bleu=True,
    )  # fmt: skip
    result = run(case, data, translation=config)
    item = result.items["translation"][0]
    assert item["prompt"] == f"Russian : {data.lines['ru'][0]} English :"
    assert item["reference"] == data.lines["en"][0]
    assert {s.metric for s in result.scores} == {"chrf++", "bleu"}


def test_math_compares_the_last_generated_number(case, data):
    result = run(case, data, arithmetic=ARITHMETIC)
    items = result.items["arithmetic"]
    for item in items:
        assert item["generation"] == greedy(case, [2, *ids_of(case, item["prompt"])], 6)
    share = sum(item["correct"] for item in items if item["lang"] == "en") / 5
    assert score(result, "acc_exact", "en").value == share


def test_results_do_not_depend_on_batch_size_or_item_order(case, data):
    tasks = {"topic": TOPIC, "bits": BITS, "translation": TRANSLATE, "arithmetic": ARITHMETIC}
    large = run(case, data, batch_tokens=100_000, **tasks)
    small = run(case, data, batch_tokens=1, **tasks)
    data.lines = {lang: lines[::-1] for lang, lines in data.lines.items()}
    for one, other in zip(large.scores, small.scores, strict=True):
        assert (one.task, one.lang, one.metric, one.n) == (
            other.task, other.lang, other.metric, other.n,
        )  # fmt: skip
        assert one.value == pytest.approx(other.value, rel=1e-5)
    backwards = score(run(case, data, bits=BITS), "bits_per_byte", "ru")
    assert backwards.value == pytest.approx(score(large, "bits_per_byte", "ru").value, rel=1e-5)


def test_languages_that_the_data_lack_are_skipped_and_listed(case, data, caplog):
    result = run(case, data, bits=BITS, topic=TOPIC)
    assert {(entry["task"], entry["lang"]) for entry in result.skipped} == {
        ("bits", "th"), ("topic", "th"),
    }  # fmt: skip
    assert "th skipped" in caplog.text


@pytest.mark.parametrize(
    ("task", "names"),
    [
        (TaskConfig(source="topics", prompt="x"), ["'topics'", "'topic'", "arithmetic"]),
        (TaskConfig(kind="bits_per_byte", source="news"), ["'news'", "monolingual"]),
        (TaskConfig(source="translation", prompt="x"), ["'flores'", "sib200"]),
        (TaskConfig(source="topic", prompt="{txt} :"), ["{txt}", "'text'"]),
        (TaskConfig(source="topic", prompt="{text :"), ["'{text :'"]),
    ],
)
def test_wrong_sources_and_templates_say_what_is_valid(case, data, task, names):
    with raises(ConfigError, *names):
        run(case, data, wrong=task)


def test_the_model_keeps_its_mode_and_weights(case, data):
    before = {name: value.clone() for name, value in case.model.state_dict().items()}
    case.model.train()
    run(case, data, topic=TOPIC)
    assert case.model.training
    for name, value in case.model.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_lora_wrapped_model_is_scored_with_its_adapter(case, data):
    import peft

    plain = score(run(case, data, bits=BITS), "bits_per_byte", "en").value
    config = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        case.model = peft.get_peft_model(case.model, config).eval()
    adapted = score(run(case, data, bits=BITS), "bits_per_byte", "en").value
    nats = -math.fsum(
        math.fsum(token_log_probs(case, [2], ids_of(case, line))) for line in data.lines["en"]
    )
    size = sum(len(line) for line in data.lines["en"])
    assert adapted == pytest.approx(nats / math.log(2) / size, rel=1e-5)
    assert adapted != pytest.approx(plain, rel=1e-3)


def test_scores_become_records_with_the_identity_of_the_model(case, data):
    (first, *_) = run(case, data, bits=BITS).records({"model": "base", "seed": 3, "key": "k"})
    assert {"model": "base", "seed": 3, "key": "k", "task": "bits", "lang": "en"}.items() <= (
        first.items()
    )


def test_a_limit_takes_items_from_the_whole_of_a_sorted_set(case, data):
    rows = sorted("aaabbbcc")
    assert some_of(rows, 4, LimitTakes.spread) == ["a", "a", "b", "c"]
    assert some_of(rows, 3, LimitTakes.first) == ["a", "a", "a"]
    for takes in LimitTakes:
        assert some_of(rows, 9, takes) == some_of(rows, None, takes) == rows
        for limit in range(1, 9):
            assert len(some_of(rows, limit, takes)) == limit
    suite = EvalSuiteConfig(tasks={"topic": dataclasses.replace(TOPIC, limit=5)})
    asked = {}
    for suite.limit_takes in LimitTakes:
        result = evaluate(case.model, case.tokenizer, suite, data, progress=False)
        items = [i for i in result.items["topic"] if i["lang"] == "ru"]
        asked[suite.limit_takes] = [item["prompt"] for item in items]
        assert score(result, "acc", "ru").n == 5
    texts = data.lines["ru"] * 2
    assert [p.split(" topic")[0] for p in asked[LimitTakes.first]] == texts[:5]
    assert [p.split(" topic")[0] for p in asked[LimitTakes.spread]] == texts[::2]
