"""Exports are read by a fresh process that has never heard of franken."""

import json

import torch
import yaml
from safetensors.torch import load_file

from franken.errors import ArtifactError
from franken.parts.body import save_body
from franken.parts.card import CardFacts, model_card, score_table
from franken.parts.delta import save_lora
from franken.parts.export import export_model
from franken.parts.model import ModelRef, assemble, ref_of
from franken.parts.special_rows import with_special_rows
from franken.parts.table import load_table, save_table, table_of_checkpoint
from tests.faults import raises
from tests.parts.test_delta import with_adapter
from tests.parts.tiny import (
    LINES,
    logits_of,
    save_checkpoint,
    some_ids,
    tiny_model,
    tiny_tokenizer,
)
from tests.plain import run_plain

READER = """
import json, sys, torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer
torch.set_num_threads(1)
request = json.loads(sys.argv[1])
answers = []
for item in request:
    tokenizer = AutoTokenizer.from_pretrained(item["directory"])
    model = AutoModelForCausalLM.from_pretrained(item["directory"])
    ids = torch.tensor(item["ids"])
    with torch.no_grad():
        save_file({"logits": model(input_ids=ids).logits}, item["answer"])
    answers.append({
        "class": type(tokenizer).__name__,
        "encoded": [tokenizer(line).input_ids for line in item["lines"]],
        "eos": model.generation_config.eos_token_id,
        "tied": model.get_input_embeddings().weight is model.get_output_embeddings().weight,
        "template": tokenizer.chat_template,
    })
print(json.dumps(answers))
"""


def read_in_fresh_process(directories, tmp_path):
    """Load each export elsewhere; returns what it said and the logits it computed."""
    ids = some_ids(96)
    request = [
        {
            "directory": str(directory),
            "ids": ids.tolist(),
            "lines": LINES,
            "answer": str(tmp_path / f"answer{index}.safetensors"),
        }
        for index, directory in enumerate(directories)
    ]
    answers = json.loads(run_plain(READER, json.dumps(request)).splitlines()[-1])
    return [
        (answer, load_file(item["answer"])["logits"])
        for answer, item in zip(answers, request, strict=True)
    ]


def gemma_swap(tmp_path, *, template=None):
    """An instruct body under an adapted table of a wider vocabulary."""
    base = save_checkpoint(
        tiny_model("gemma2", rows=100), tiny_tokenizer(), tmp_path / "gemma_base"
    )
    table = table_of_checkpoint(base)
    donor = tiny_model("gemma2", rows=100, seed=4)
    donor.generation_config.eos_token_id = [1, 5]
    donor_table = load_like(table, donor.get_input_embeddings().weight)
    donor_table.tokenizer.chat_template = template
    table.tokenizer = tiny_tokenizer(size=105)
    table.input = torch.randn(120, 16, generator=torch.Generator().manual_seed(1))
    save_table(with_special_rows(table, donor_table), tmp_path / "gemma_table")
    fingerprint = save_body(
        donor, tmp_path / "gemma_body", tokenizer=tiny_tokenizer(), lineage=table.lineage
    )
    return ModelRef(
        tmp_path / "gemma_body", tmp_path / "gemma_table", (), table.lineage, fingerprint
    )


def load_like(table, weight):
    from dataclasses import replace

    return replace(table, input=weight.detach().clone(), tokenizer=tiny_tokenizer())


def llama_with_delta(tmp_path):
    """An untied byte-level model with a LoRA delta."""
    base = save_checkpoint(
        tiny_model("llama", tied=True, rows=100), tiny_tokenizer(), tmp_path / "llama_base"
    )
    table = table_of_checkpoint(base)
    table.tokenizer = tiny_tokenizer("byte_level", size=300)
    generator = torch.Generator().manual_seed(1)
    table.input = torch.randn(300, 16, generator=generator)
    table.output = torch.randn(300, 16, generator=generator)
    save_table(table, tmp_path / "llama_table")
    save_lora(with_adapter("llama"), tmp_path / "delta", body=table.lineage)
    return ref_of(base, tmp_path / "llama_table", deltas=(tmp_path / "delta",))


def qwen_scratch(tmp_path):
    """A family for which AutoTokenizer insists on its own class."""
    base = save_checkpoint(
        tiny_model("qwen2", tied=False, rows=110, dtype=torch.bfloat16),
        tiny_tokenizer(),
        tmp_path / "qwen_base",
        max_shard_size="6KB",
    )
    save_table(table_of_checkpoint(base, tiny_tokenizer(size=105)), tmp_path / "qwen_table")
    return ref_of(base, tmp_path / "qwen_table")


def test_exports_give_the_assembled_logits_and_encodings_in_a_fresh_process(tmp_path):
    template = "<start_of_turn>{{ messages[0].content }}<end_of_turn>"
    refs = [gemma_swap(tmp_path, template=template), llama_with_delta(tmp_path)]
    refs.append(qwen_scratch(tmp_path))
    directories = [tmp_path / f"export{index}" for index in range(len(refs))]
    for ref, directory in zip(refs, directories, strict=True):
        export_model(ref, directory, card="# A card\n")
        assert (directory / "README.md").read_text() == "# A card\n"
    read = read_in_fresh_process(directories, tmp_path)
    for ref, (answer, logits) in zip(refs, read, strict=True):
        model, tokenizer = assemble(ref, merge=True)
        assert torch.equal(logits, logits_of(model, some_ids(96)))
        assert answer["encoded"] == [tokenizer(line).input_ids for line in LINES]
        assert answer["tied"] == load_table(ref.table).tied
        assert answer["class"] == "TokenizersBackend"
    assert read[0][0]["eos"] == [1, 5]
    assert read[0][0]["template"] == template
    assert not list(tmp_path.glob(".*"))


def test_an_export_shares_no_file_with_its_parts(tmp_path):
    ref = qwen_scratch(tmp_path)
    export_model(ref, tmp_path / "export", card="x")
    for path in (tmp_path / "export").iterdir():
        assert path.stat().st_nlink == 1


def test_an_export_does_not_overwrite(tmp_path):
    ref = qwen_scratch(tmp_path)
    export_model(ref, tmp_path / "export", card="x")
    with raises(ArtifactError, tmp_path / "export"):
        export_model(ref, tmp_path / "export", card="x")


def test_an_export_of_a_changed_body_is_refused_and_leaves_nothing(tmp_path):
    ref = qwen_scratch(tmp_path)
    save_checkpoint(tiny_model("qwen2", tied=False, rows=110), None, ref.body)
    for path in ref.body.glob("model-*"):
        path.unlink()
    (ref.body / "model.safetensors.index.json").unlink(missing_ok=True)
    with raises(ArtifactError, ref.body, ref.fingerprint[:12]):
        export_model(ref, tmp_path / "export", card="x")
    assert not (tmp_path / "export").exists()


def test_a_card_tells_recipe_parts_provenance_and_scores(tmp_path):
    ref = llama_with_delta(tmp_path)
    card = model_card(
        ref,
        CardFacts(
            title="Tiny for Tamil",
            recipe="franken_adapter",
            command="python -m franken +experiment=x",
            base_model="org/base",
            languages=["en", "ta", "no"],
            license="apache-2.0",
            keys={"adapt": "0123456789abcdef0123"},
            scores=[
                {"task": "sib", "lang": "ta", "metric": "acc", "value": 0.5, "n": 204},
                {"task": "a|b", "lang": "no", "metric": "acc", "value": 1, "stderr": 0.01},
            ],
            notes=["A note."],
        ),
    )
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["franken", "franken_adapter"],
        "language": ["en", "ta", "no"],
        "base_model": "org/base",
        "license": "apache-2.0",
    }
    for piece in (
        "# Tiny for Tamil",
        "A note.",
        "AutoModelForCausalLM",
        "python -m franken +experiment=x",
        ref.fingerprint[:16],
        "300 rows of 16, untied",
        "`0123456789abcdef`",
        "| sib | ta | acc | 0.5000 |  | 204 |",
        "| a\\|b | no | acc | 1 | 0.0100 |  |",
        '"method": "checkpoint"',
    ):
        assert piece in body
    assert str(tmp_path) not in card


def test_a_score_table_has_only_the_columns_that_are_used():
    assert score_table([{"task": "t", "metric": "m", "value": 1.0}]).splitlines()[0] == (
        "| task | metric | value | stderr | n |"
    )
