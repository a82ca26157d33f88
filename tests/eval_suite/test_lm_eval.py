"""Tasks of lm-evaluation-harness: franken's scorer against the harness's own hf backend."""

import itertools
import json
import random
from pathlib import Path

import pytest
import torch
from tokenizers import processors

from franken.config.eval_suite import LmEvalSuite, TaskConfig
from franken.errors import ConfigError, DataError
from franken.eval_suite import evaluate
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.journal import Journal
from franken.eval_suite.readout import read_out
from tests.faults import raises

ENGLISH = [
    "the cat sees the red house",
    "a teacher reads a long book about travel",
    "seven birds eat bread near the river",
    "the doctor gives medicine to the old king",
    "science and sport are on the news today",
]
pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed")
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

CHOICE = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}, train: {data}}}}}
test_split: test
fewshot_split: train
fewshot_config: {{sampler: first_n}}
output_type: multiple_choice
doc_to_text: "{question}"
doc_to_choice: options
doc_to_target: label
num_fewshot: {shots}
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
metadata: {{version: 1.5}}
"""
ROLLING = """
task: tiny_rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{q}}}}"
metric_list: [{{metric: bits_per_byte}}, {{metric: word_perplexity}}]
metadata: {{version: 2}}
"""
WRITING = """
task: tiny_writing_ru
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{q}}}}"
doc_to_target: "{{{{q}}}}"
generation_kwargs: {{until: ["\\n\\n", "."], max_gen_toks: 6, do_sample: {sample}}}
metric_list: [{{metric: exact_match}}]
metadata: {{version: 0}}
"""


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    """Prepared data sets go where the test ends."""
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    folder = tmp_path / "tasks"
    folder.mkdir()
    options = ["red cat", "house", "river bread", "old king today"]
    lines = ENGLISH + [f"{line} and {ENGLISH[0]}" * 4 for line in ENGLISH]
    rows = [{"q": line, "options": options, "label": i % 4} for i, line in enumerate(lines)]
    data = tmp_path / "data.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    question = "{{q}} :"
    for name, shots in (("tiny_choice", 0), ("tiny_choice_shots", 2)):
        text = CHOICE.format(name=name, data=data, shots=shots, question=question)
        (folder / f"{name}.yaml").write_text(text)
    # an answer that begins at a space which the question ends in: it goes over to the answer
    text = CHOICE.format(name="tiny_space", data=data, shots=0, question=question + r" \n ")
    (folder / "tiny_space.yaml").write_text(text)
    (folder / "rolling.yaml").write_text(ROLLING.format(data=data))
    (folder / "writing.yaml").write_text(WRITING.format(data=data, sample="false"))
    return folder


def by_hf(model, tokenizer, folder, names):
    """What the harness says by itself."""
    from lm_eval import evaluate as run_harness
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_path=str(folder), include_defaults=False)
    return run_harness(
        lm=HFLM(pretrained=model, tokenizer=tokenizer, batch_size=3, device="cpu"),
        task_dict=manager.load(list(names)),
        bootstrap_iters=0,
    )


def with_bos(tokenizer):
    """The same tokenizer, whose template adds bos by itself, as Gemma's does."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A", special_tokens=[("<bos>", tokenizer.bos_token_id)]
    )
    return tokenizer


def without_bos(tokenizer):
    """The same tokenizer, whose template adds nothing, as Qwen's."""
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A", special_tokens=[]
    )
    return tokenizer


def suite_of(folder, *names, **options):
    return LmEvalSuite(tasks=list(names), include_path=[str(folder)], **options)


@pytest.mark.parametrize("bos", [False, True], ids=["plain", "bos"])
def test_options_and_texts_have_the_numbers_of_the_hf_backend(case, data, tasks, bos):
    names = ["tiny_choice", "tiny_choice_shots", "tiny_space"]
    if bos:
        with_bos(case.tokenizer)  # rolling is the trap: see below
    else:
        without_bos(case.tokenizer)
        names.append("tiny_rolling")
    theirs = by_hf(case.model, case.tokenizer, tasks, names)
    ours = evaluate(case.model, case.tokenizer, suite_of(tasks, *names), data)
    for name in names:
        for item, sample in zip(ours.items[name], theirs["samples"][name], strict=True):
            pairs = zip(item["filtered_resps"], sample["filtered_resps"], strict=True)
            for own, other in pairs:
                if name == "tiny_rolling":
                    assert own == pytest.approx(other, abs=1e-4)
                else:
                    assert own[0] == pytest.approx(other[0], abs=1e-4)
                    assert own[1] == other[1]
    for score in ours.scores:
        expected = theirs["results"][score.task][f"{score.metric},none"]
        assert score.value == pytest.approx(expected, abs=1e-4, rel=1e-6)
        assert score.n == 10


def test_records_say_what_the_harness_says_of_a_task(case, data, tasks):
    found = evaluate(
        case.model, case.tokenizer, suite_of(tasks, "tiny_choice_shots", limit=6), data
    )
    score = next(score for score in found.scores if score.metric == "acc")
    assert (score.task, score.lang, score.n) == ("tiny_choice_shots", "und", 6)
    share = score.value
    assert score.stderr == pytest.approx((share * (1 - share) / 5) ** 0.5)
    assert (score.extra["version"], score.extra["shots"], score.extra["set_size"]) == (1.5, 2, 10)


def test_a_merge_over_the_border_leaves_the_answer_its_beginning(case, data, tmp_path):
    """Trap 1: hf never scores what merges with the end of the question."""
    from lm_eval.models.huggingface import HFLM

    from franken.eval_suite.harness_model import HarnessModel

    theirs = HFLM(pretrained=case.model, tokenizer=case.tokenizer, batch_size=1, device="cpu")
    ours = HarnessModel(read_out(case.model), Encoder(case.tokenizer), batch_tokens=64)
    text, border = next(
        (line, cut)
        for line in ENGLISH
        for cut in range(3, len(line))
        if line[cut - 1] != " "
        and case.tokenizer.encode(line)[: len(case.tokenizer.encode(line[:cut]))]
        != case.tokenizer.encode(line[:cut])
    )
    pair = (text[:border], text[border:])
    context, answer = ours._encode_pair(*pair)
    assert context == case.tokenizer.encode(pair[0])
    assert case.tokenizer.decode(answer) == pair[1]
    assert case.tokenizer.decode(theirs._encode_pair(*pair)[1]) != pair[1]


def test_rolling_counts_no_bos_given_bos(case, data, tasks):
    """Trap 2: hf adds the log-probability of bos after bos where the tokenizer adds bos."""
    plain = evaluate(case.model, without_bos(case.tokenizer), suite_of(tasks, "tiny_rolling"), data)
    tokenizer = with_bos(case.tokenizer)
    ours = evaluate(case.model, tokenizer, suite_of(tasks, "tiny_rolling"), data)
    theirs = by_hf(case.model, tokenizer, tasks, ["tiny_rolling"])
    assert [s.value for s in ours.scores] == pytest.approx([s.value for s in plain.scores])
    with torch.no_grad():
        bos = tokenizer.bos_token_id
        table = case.model(torch.tensor([[bos]])).logits[0, -1].log_softmax(-1)
        twice = case.model(torch.tensor([[bos, bos]])).logits
    assert torch.isfinite(twice).all()
    first = theirs["samples"]["tiny_rolling"][0]["filtered_resps"][0]
    own = ours.items["tiny_rolling"][0]["filtered_resps"][0]
    assert abs(first - own) > 1e-2
    assert table[bos] < 0


def test_generation_ends_at_the_first_stop_and_is_that_of_transformers(case, data, tasks):
    found = evaluate(case.model, case.tokenizer, suite_of(tasks, "tiny_writing_ru", limit=3), data)
    assert {score.lang for score in found.scores} == {"ru"}
    assert {score.extra["lang_role"] for score in found.scores} == {"target"}
    for item in found.items["tiny_writing_ru"]:
        ids = torch.tensor([case.tokenizer.encode(item["arguments"][0][0])])
        with torch.no_grad():
            new = case.model.generate(ids, max_new_tokens=6, do_sample=False, pad_token_id=0)
        text = case.tokenizer.decode(new[0, ids.shape[1] :], skip_special_tokens=True)
        text = min((text.split(stop)[0] for stop in ("\n\n", ".")), key=len)
        assert item["filtered_resps"][0].strip() == text.strip()


def test_a_killed_run_goes_on_and_a_finished_one_asks_the_model_nothing(
    case, data, tasks, tmp_path, monkeypatch
):
    suite = suite_of(tasks, "tiny_choice", "tiny_rolling", "tiny_writing_ru", limit=6)
    suite.batch_tokens = 64
    path, calls, limit = tmp_path / "items.jsonl", [], -1
    forward = type(case.model.model).forward

    def counted(self, *arguments, **options):
        calls.append(1)
        if len(calls) == limit:
            raise KeyboardInterrupt
        return forward(self, *arguments, **options)

    def run(journal=None):
        calls.clear()
        return evaluate(case.model, case.tokenizer, suite, data, progress=False, journal=journal)

    monkeypatch.setattr(type(case.model.model), "forward", counted)
    whole = run()
    needed = len(calls)
    limit = needed * 2 // 3
    with pytest.raises(KeyboardInterrupt):
        run(Journal(path))
    limit = -1
    again = run(Journal(path))
    assert 0 < len(calls) < needed
    for one, two in zip(whole.scores, again.scores, strict=True):
        assert (two.task, two.metric, two.n) == (one.task, one.metric, one.n)
        assert two.value == pytest.approx(one.value, rel=1e-5)
    last = run(Journal(path))
    assert not calls
    assert [s.value for s in last.scores] == [s.value for s in again.scores]


def test_a_task_that_samples_is_refused(case, data, tasks, tmp_path):
    source = (tasks / "writing.yaml").read_text().replace("do_sample: false", "do_sample: true")
    (tasks / "writing.yaml").write_text(source)
    with raises(DataError, "do_sample", "include_path"):
        evaluate(case.model, case.tokenizer, suite_of(tasks, "tiny_writing_ru"), data)


def test_an_unknown_task_is_named_before_anything_runs(case, data, tasks, monkeypatch):
    from franken.eval_suite import check_suite, lm_eval

    own = lm_eval._indexed
    monkeypatch.setattr(lm_eval, "_indexed", lambda places, defaults: own(places, defaults=False))
    with raises(ConfigError, "'tiny_chice'", "tiny_choice"):
        check_suite(suite_of(tasks, "tiny_chice"), data)


def test_global_randomness_is_left_alone(case, data, tasks):
    torch.manual_seed(3)
    random.seed(3)
    expected = torch.random.get_rng_state(), random.getstate()
    evaluate(case.model, case.tokenizer, suite_of(tasks, "tiny_choice", limit=2), data)
    assert torch.equal(torch.random.get_rng_state(), expected[0])
    assert random.getstate() == expected[1]


def test_own_multiple_choice_task_agrees_with_the_harness(case, data, tasks, tmp_path):
    """The native task of the same prompts: equal log-likelihoods where bos opens both."""
    from franken.config.eval_suite import EvalSuiteConfig

    tokenizer = with_bos(case.tokenizer)
    rows = data.task_rows("topic", "en", "test")
    options = ["science/technology", "travel", "politics", "sports", "health", "entertainment",
               "geography"]  # fmt: skip
    lines = [
        json.dumps({"q": row["text"], "options": options, "label": options.index(row["category"])})
        for row in rows
    ]
    (tmp_path / "data.jsonl").write_text("\n".join(lines))
    theirs = evaluate(case.model, tokenizer, suite_of(tasks, "tiny_choice"), data)
    task = TaskConfig(source="topic", prompt="{text} :", languages=["en"])
    ours = evaluate(case.model, tokenizer, EvalSuiteConfig(tasks={"topic": task}), data)
    assert len(ours.items["topic"]) == len(theirs.items["tiny_choice"])
    for own, other in zip(ours.items["topic"], theirs.items["tiny_choice"], strict=True):
        expected = dict(zip(options, [r[0] for r in other["filtered_resps"]], strict=True))
        found = dict(zip(own["options"], own["scores"], strict=True))
        assert found == pytest.approx(expected, abs=1e-4)


def test_names_tell_languages_in_the_datas_own_spelling(data):
    from franken.eval_suite.harness_results import language_of

    data.config.languages = ["swh_Latn", "ta"]
    names = {
        "belebele_swh_Latn": "swh_Latn", "xcopa_sw": "swh_Latn", "sib_swa_prompt_1": "swh_Latn",
        "multiblimp_tam": "ta", "include_base_44_tamil": "ta", "global_mmlu_ta_stem": "ta",
        "flores_eng_Latn-amh_Ethi_prompt_1": "am", "lambada_openai": "und", "xnli_en": "en",
    }  # fmt: skip
    assert {name: language_of(name, data) for name in names} == names


class Index:
    """What the harness lists of its tasks."""

    all_groups = ("mmlu_sw", "mmlu_de")
    all_tasks = ("mmlu_sw", "mmlu_sw_stem", "mmlu_de", "mmlu_de_stem", "mmlu_sw_few_shot", "sums")


def test_globs_mean_groups_in_the_languages_of_the_data(data):
    from franken.eval_suite.lm_eval import known_tasks

    data.config.languages = ["sw"]

    def found(*tasks, of_data=False):
        return known_tasks(Index(), LmEvalSuite(tasks=list(tasks), of_data=of_data), data)

    assert found("mmlu_*") == ["mmlu_sw", "mmlu_de"]
    assert found("mmlu_*", "sums", of_data=True) == ["mmlu_sw", "sums"]
    assert found("*_stem", "!mmlu_de*") == ["mmlu_sw_stem"]
    data.config.languages = ["ta"]
    with raises(ConfigError, "ta"):
        found("mmlu_*", of_data=True)


def test_a_hydra_llm_is_asked_in_the_table_of_a_tasks_language(data, tasks):
    from franken.composition.hydra import HydraModel, TableRouter
    from tests.composition.hydras import LINEAGE, base, other_table

    model, table = base("llama", False)
    router = TableRouter(("source", "target"), {"en": "source", "ru": "target"})
    tables = {"source": table, "target": other_table(table, size=330)}
    hydra = HydraModel(model, tables, lineage=LINEAGE, router=router)
    suite = suite_of(tasks, "tiny_choice", "tiny_writing_ru", limit=2)
    suite.tables = {"tiny_ch*": "source"}
    found = evaluate(hydra, None, suite, data, progress=False)
    view = hydra.view("target", ["target"])
    alone = evaluate(
        view.model,
        view.tokenizer,
        suite_of(tasks, "tiny_writing_ru", limit=2),
        data,
        progress=False,
    )
    assert found.items["tiny_writing_ru"] == alone.items["tiny_writing_ru"]
    assert {score.task for score in found.scores} == {"tiny_choice", "tiny_writing_ru"}


def test_the_key_counts_contents_of_local_tasks_and_data(tasks, tmp_path):
    from franken.steps.common.file_hashes import harness_hash

    suite = suite_of(tasks, "tiny_choice", local={"org/set": str(tmp_path / "set")})
    (tmp_path / "set").mkdir()
    seen = [harness_hash(suite)]
    for path in (tmp_path / "set" / "test.jsonl", tmp_path / "data.jsonl", tasks / "rolling.yaml"):
        path.write_text((path.read_text() if path.exists() else "") + "\n# more")
        seen.append(harness_hash(suite))
    assert all(one != other for one, other in itertools.pairwise(seen))
    moved = tmp_path / "elsewhere"
    tasks.rename(moved)
    again = harness_hash(suite_of(moved, "tiny_choice", local=suite.local))
    assert again == seen[-1]
