"""franken's scorer against lm-eval's hf backend: the same tasks, items, batch and threads.

    python benchmarks/evaluation.py --model DIR --data DIR

``--model`` is a checkpoint of SmolLM2-135M, ``--data`` a directory with ``eval/sib200`` and
``eval/global_mmlu_lite``. Three tasks: four-option questions behind five worked examples that all
share, topics without examples, and rolling log-likelihoods of as many texts as questions, of four
sentences each. Every measurement is a process of its own, the two sides alternate, CPU time of all
threads counts (the machine may be busy), the least of the repeats is shown.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOPICS = ["science/technology", "travel", "politics", "sports", "health", "entertainment",
          "geography"]  # fmt: skip
TASKS = {
    "questions": """
task: questions
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/questions.jsonl, dev: {folder}/shots.jsonl}}}}
test_split: test
fewshot_split: dev
fewshot_config: {{sampler: first_n}}
num_fewshot: 5
output_type: multiple_choice
doc_to_text: "{{{{q}}}}\\nA. {{{{a}}}}\\nB. {{{{b}}}}\\nC. {{{{c}}}}\\nD. {{{{d}}}}\\nAnswer:"
doc_to_choice: ["A", "B", "C", "D"]
doc_to_target: label
metric_list: [{{metric: acc}}]
""",
    "topics": """
task: topics
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/topics.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "Given the categories science/technology, travel, politics, sports, health, \
entertainment, or geography; what category does the text: '{{{{text}}}}' belong to: \\n\\n"
doc_to_choice: {topics}
doc_to_target: label
metric_list: [{{metric: acc}}]
""",
    "rolling": """
task: rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/rolling.jsonl}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: bits_per_byte}}]
""",
}


def write_tasks(data: Path, folder: Path, questions: int, topics: int) -> None:
    mmlu = data / "eval" / "global_mmlu_lite" / "en"
    for name, source, count in (("questions", "test", questions), ("shots", "dev", 5)):
        rows = read_rows(mmlu / f"{source}.jsonl")
        own = [
            {"q": r["question"], **{k: r[f"option_{k}"] for k in "abcd"},
             "label": "ABCD".index(r["answer"])}
            for r in rows[:count]
        ]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, own)))
    lines = (data / "eval" / "sib200" / "swh_Latn" / "test.tsv").read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines[1 : topics + 1]]
    own = [{"text": text.strip('"'), "label": TOPICS.index(topic)} for _, topic, text in rows]
    (folder / "topics.jsonl").write_text("\n".join(map(json.dumps, own)))
    sentences = [line.split("\t")[2].strip('"') for line in lines[1 : 4 * questions + 1]]
    own = [{"text": " ".join(sentences[at : at + 4])} for at in range(0, len(sentences), 4)]
    (folder / "rolling.jsonl").write_text("\n".join(map(json.dumps, own)))
    for name, text in TASKS.items():
        content = text.format(folder=folder, topics=json.dumps(TOPICS))
        (folder / f"{name}.yaml").write_text(content)


def read_rows(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def one(side: str, task: str, folder: Path, model_path: str, batch: int, threads: int) -> dict:
    import torch
    from lm_eval import evaluate
    from lm_eval.tasks import TaskManager
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from franken.products import asking

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(model_path, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(model_path)
    if side == "hf":
        from lm_eval.models.huggingface import HFLM

        lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch, device="cpu")
    else:
        from franken.eval_suite.encoding import Encoder
        from franken.eval_suite.harness_model import HarnessModel
        from franken.eval_suite.readout import read_out

        texts = read_rows(folder / f"{task}.jsonl")
        longest = max(len(tokenizer.encode(" ".join(map(str, row.values())))) for row in texts)
        shots = {"questions": 5 * longest, "topics": 60, "rolling": 1}[task]
        lm = HarnessModel(
            read_out(model), Encoder(tokenizer), batch_tokens=batch * (longest + shots)
        )
    manager = TaskManager(include_path=str(folder), include_defaults=False)
    loaded = manager.load([task])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started, cpu = time.perf_counter(), time.process_time()
    with asking(model) if side != "hf" else torch.inference_mode():
        found = evaluate(lm=lm, task_dict=loaded, bootstrap_iters=0)
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - started}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scores = [
        [r if isinstance(r, float) else r[0] for r in s["filtered_resps"]]
        for s in found["samples"][task]
    ]
    return {**spent, "start_mb": before / 1024, "peak_mb": peak / 1024, "scores": scores}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="HuggingFaceTB/SmolLM2-135M")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--topics", type=int, default=48)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        side, task, folder = options.one
        shape = options.batch, options.threads
        print(json.dumps(one(side, task, Path(folder), options.model, *shape)))
        return
    if not (options.data / "eval").is_dir():
        print(f"skipped: {options.data} has no eval/ (--data)")
        return
    with tempfile.TemporaryDirectory() as folder:
        write_tasks(options.data, Path(folder), options.questions, options.topics)
        for task in options.tasks:
            runs: dict[str, list[dict]] = {"hf": [], "franken": []}
            for _ in range(options.repeats):
                for side in runs:
                    command = [sys.executable, __file__, "--one", side, task, folder,
                               "--model", options.model, "--batch", str(options.batch),
                               "--threads", str(options.threads)]  # fmt: skip
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        sys.exit(done.stderr)
                    runs[side].append(json.loads(done.stdout.splitlines()[-1]))
            report(task, runs)


def report(task: str, runs: dict[str, list[dict]]) -> None:
    best = {side: min(own, key=lambda run: run["cpu"]) for side, own in runs.items()}
    ours, theirs = (best[side]["scores"] for side in ("franken", "hf"))
    same = sum(a.index(max(a)) == b.index(max(b)) for a, b in zip(ours, theirs, strict=True))
    apart = max(
        abs(x - y) for a, b in zip(ours, theirs, strict=True) for x, y in zip(a, b, strict=True)
    )
    print(
        f"{task}: {len(ours)} items, predictions equal {same}, log-likelihoods within {apart:.1e}"
    )
    for side, run in best.items():
        print(f"  {side:<8} CPU {run['cpu']:7.1f} s  peak {run['peak_mb']:6.0f} MB")
    print(f"  {best['hf']['cpu'] / best['franken']['cpu']:.1f} times as fast")


if __name__ == "__main__":
    main()
