"""Tune a Hydra LLM on pairs that are read in one vocabulary and written in another."""

from typing import Any

from franken.composition.hydra import assemble_hydra
from franken.composition.hydra.writing import save_hydra_body
from franken.config.data import TEXT_ROLES, Mixture
from franken.config.steps import HydraTrainStep
from franken.config.training import Trainable
from franken.data import open_data
from franken.data.generated_pairs import WithPairs
from franken.data.mismatched_pairs import Mismatched
from franken.data.segments import Flow, SegmentDataModule, SegmentEncoder
from franken.data.source import TEXT_STREAMS
from franken.errors import CompatibilityError
from franken.files import write_json
from franken.parts.restore import restore_body, restore_table
from franken.parts.segmented import segmented
from franken.parts.table import save_table
from franken.steps.context import StepContext
from franken.steps.models import HERE, open_hydra_model, read_places, write_model
from franken.training import make_loggers, train_model

_CHANGES_BODY = (Trainable.body, Trainable.full, Trainable.embeddings_and_edge_layers)


def run(step: HydraTrainStep, context: StepContext) -> dict[str, Any]:
    """Saves the tuned tables (and the body where it changed) and refers to the rest.

    An ordinary model is taken as one with the table ``default``, and stays an ordinary model. What
    did not train is saved as it was read, whatever its format while the rest trained.

    Raises:
        CompatibilityError: for a table that the model lacks, or a model that carries a delta.
    """
    places = read_places(context.inputs["model"])
    if places["deltas"]:
        raise CompatibilityError(
            f"step {context.name!r}: a Hydra LLM with a delta cannot be trained; train before the "
            "delta is made"
        )
    ref = open_hydra_model(context.inputs["model"], context.store)
    hydra = assemble_hydra(ref)
    for name in step.tables:
        hydra.router.check(name)
    mixture = step.data.mixtures[step.split]
    languages = mixture.languages or [step.data.source_language, *step.data.languages]
    flow = Flow(
        {language: hydra.router.by_language(language)
         for language in {step.data.source_language, *languages}},
        tuple(step.directions), step.prompt or step.data.parallel_template, step.copies,
    )  # fmt: skip
    written = written_tables(flow, mixture, languages, step.data.source_language)
    others = [name for name in {*flow.tables.values(), *step.tables} if name not in written]
    view = hydra.view(written[0], [*written[1:], *sorted(others)], joint=True)
    embedding = segmented(view.model)
    assert embedding is not None
    embedding.written = tuple(written)
    for name, table in hydra.tables.items():
        table.frozen = name not in step.tables or step.trainable is Trainable.body
    source = open_data(step.data)
    if step.pairs:
        source = WithPairs(source, context.inputs["pairs"].path / "pairs")
    if step.mismatched:
        source = Mismatched(source, step.mismatched)
    datamodule = SegmentDataModule(
        encoder=SegmentEncoder(
            {name: table.tokenizer for name, table in view.tables.items()}, view.layout.offsets,
            view.layout.total, written,
        ),
        flow=flow,
        source=source, mixture=mixture, training=step.training, seed=context.seed,
        work_dir=context.scratch / "corpus", source_language=step.data.source_language,
        languages=languages,
    )  # fmt: skip
    loggers = make_loggers(
        context.logger, context.run_dir / "curves" / context.name, group=context.experiment,
        job_type=context.name, run_id=context.key, config=context.log_config,
    )  # fmt: skip
    report = train_model(
        view.model, None, datamodule, step.training, step.trainable, context.trainer,
        work_dir=context.scratch, seed=context.seed, loggers=loggers,
    )  # fmt: skip
    content = {**report.to_json(), "mixture": datamodule.mixture_report(), "written": written}
    write_json(context.directory / "training.json", content)

    several = "tables" in places
    tables = dict(places["tables"]) if several else {"default": places["table"]}
    for name in step.tables if step.trainable is not Trainable.body else []:
        rows = hydra.tables[name]
        restore_table(rows.embedding, rows.head, ref.tables[name])
        save_table(rows.table(), context.directory / "tables" / name)
        tables[name] = [HERE, "", f"tables/{name}"]
    body, fingerprint = places["body"], places["fingerprint"]
    if step.trainable in _CHANGES_BODY:
        restore_body(hydra.body, ref.body)
        fingerprint = save_hydra_body(hydra, context.directory / "body")
        body = [HERE, "", "body"]
    routing = places.get("routing", {})
    write_model(
        context, body=body, table=tables[routing.get("default") or next(iter(tables))],
        deltas=[], lineage=places["lineage"], fingerprint=fingerprint,
        tables=tables if several else None, routing=routing if several else None,
    )  # fmt: skip
    summary = {k: v for k, v in content.items() if isinstance(v, int | float | str)}
    return {"tables": step.tables, "written": written, "training": summary}


def written_tables(
    flow: Flow, mixture: Mixture, languages: list[str], source_language: str
) -> list[str]:
    """Tables that the texts of a mixture are written in, target languages' first."""
    roles = {role for role in TEXT_ROLES if mixture.shares.get(role, 0) > 0}
    targets = [language for language in languages if language != source_language]
    found: list[str] = []
    if "parallel" in roles and "to_target" in flow.directions:
        found += targets
    if roles & set(TEXT_STREAMS):
        found += [*targets, *([source_language] if source_language in languages else [])]
    backward = "to_source" in flow.directions
    if "parallel" in roles and backward and flow.copies > 0:
        found += targets
    again = flow.copies > 0 and "to_target" in flow.directions
    if "instructions" in roles or ("parallel" in roles and (backward or again)):
        found.append(source_language)
    return list(dict.fromkeys(flow.of(language) for language in found))
