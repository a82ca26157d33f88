"""Make the first rows of a table for a new tokenizer, through a token map."""

from typing import Any

from franken.config.steps import InitialiseStep
from franken.data import DataSource, open_data
from franken.files import write_json
from franken.init_method import InitResources, initialise
from franken.parts.table import load_table, save_table
from franken.parts.tokenizer_files import load_tokenizer
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import HERE, open_model, read_places, write_model


def run(step: InitialiseStep, context: StepContext) -> dict[str, Any]:
    """Writes the table, and beside it the token map that says where each row came from."""
    base = context.inputs["base"]
    source = load_table(open_model(base, context.store).table)
    tokenizer = load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
    resources = _resources(open_data(step.data), step.data.languages)
    seed = derive_seed(context.seed, "init_method", step.method.name)
    table, token_map = initialise(source, tokenizer, step.method, resources, seed)
    save_table(table, context.directory / "table")
    token_map.save(context.directory / "token_map")
    write_json(context.directory / "report.json", table.provenance)
    places = read_places(base)
    write_model(
        context, body=places["body"], table=[HERE, "", "table"], deltas=places["deltas"],
        lineage=places["lineage"], fingerprint=places["fingerprint"],
    )  # fmt: skip
    return {"method": step.method.name, "rows": token_map.counts()}


def _resources(data: DataSource, languages: list[str]) -> InitResources:
    known = [language for language in languages if data.has("lexicon", language)]
    return InitResources(lexicons={language: data.lexicon(language) for language in known})
