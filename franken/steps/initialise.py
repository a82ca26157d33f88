"""Make the first rows of a table for a new tokenizer, through a token map."""

from typing import Any

from franken.alignment import align_pairs
from franken.alignment.gold import has_links
from franken.config.alignment import GoldAlignment
from franken.config.steps import InitialiseStep
from franken.data import open_data
from franken.files import write_json
from franken.init_method import (
    InitResources,
    closeness,
    fit_map,
    initialise,
)
from franken.init_method.gold_alignment import GoldAlignmentInit
from franken.measure import measured
from franken.parts.table import Table, load_table, save_table
from franken.parts.tokenizer_files import load_tokenizer
from franken.seeds import derive_seed
from franken.steps.context import StepContext
from franken.steps.models import HERE, open_model, read_places, write_model
from franken.token_map.storage import save_map


def run(step: InitialiseStep, context: StepContext) -> dict[str, Any]:
    """Writes the table, and beside it the token map that says where each row came from."""
    base = context.inputs["base"]
    source = load_table(open_model(base, context.store).table)
    tokenizer = load_tokenizer(context.inputs["tokenizer"].path / "tokenizer")
    resources = _resources(step, context)
    seed = derive_seed(context.seed, "init_method", step.method.name)
    with measured() as cost:
        table, token_map = initialise(source, tokenizer, step.method, resources, seed)
        if step.method.learned:
            from franken.steps.learn import learn

            table, token_map = learn(step, context, source, table, token_map)
    save_table(table, context.directory / "table")
    save_map(token_map, context.directory / "token_map")
    step.method.save_beside(token_map, source, context.directory)
    write_json(context.directory / "report.json", table.provenance)
    places = read_places(base)
    write_model(
        context, body=places["body"], table=[HERE, "", "table"], deltas=places["deltas"],
        lineage=places["lineage"], fingerprint=places["fingerprint"],
    )  # fmt: skip
    return {
        "method": step.method.name, "rows": token_map.counts(), "fit_seconds": cost.seconds,
        "fit_peak_bytes": cost.peak_bytes, "gold": _to_gold(step, source, table, seed),
    }  # fmt: skip


def _to_gold(
    step: InitialiseStep, source: Table, table: Table, seed: int
) -> dict[str, float | int] | None:
    """How near the rows are to those of the true word links; ``None`` where the data has none."""
    data, known = open_data(step.data), {}
    for language in step.data.languages:
        if data.has("parallel", language) and has_links(data.pairs(language)):
            known[language] = align_pairs(data.pairs(language), GoldAlignment(), language)
    if not known:
        return None
    resources = InitResources(step.data.source_language, step.data.languages, alignments=known)
    reference = fit_map(source, table.tokenizer, GoldAlignmentInit(), resources, seed)
    return closeness(table.input, reference, source.input)


def _resources(step: InitialiseStep, context: StepContext) -> InitResources:
    """What the method needs, from the data and from the steps that made it."""
    data, languages = open_data(step.data), step.data.languages
    known = [language for language in languages if data.has("lexicon", language)]
    resources = InitResources(
        source_language=step.data.source_language,
        languages=list(languages),
        lexicons={language: data.lexicon(language) for language in known},
        texts=lambda language: data.texts("monolingual", language),
    )
    given = {name: artifact.path for name, artifact in context.inputs.items()}
    for name in ("alignment", "gold_alignment"):
        if name in given:
            from franken.alignment import load_tables

            resources.alignments = load_tables(given[name])
    for name in ("word_vectors", "piece_vectors"):
        if name in given:
            from franken.word_vectors import load_spaces

            setattr(resources, name, load_spaces(given[name]))
    if "helper" in given:
        resources.helper = load_table(given["helper"] / "table")
    return resources
