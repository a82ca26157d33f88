"""``transfer``: a model with another tokenizer, its rows made by an initialiser."""

import tempfile
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from franken.errors import DataError
from franken.library.fitting import FittedRows, fit_rows, save_origins
from franken.library.given import Given, LexiconLike, Pairs, Texts, gather
from franken.library.options import chosen
from franken.library.origin import check_objects, lineage_of, mark, twin
from franken.memory import give_back_freed_memory
from franken.parts.body import quiet_transformers
from franken.parts.earlier_spellings import write_earlier_spellings
from franken.parts.surgery import put_table, take_table
from franken.parts.table import Table
from franken.parts.tokenizer_files import save_exported_tokenizer
from franken.seeds import derive_seed
from franken.token_map.resources import InitResources, text_of
from franken.token_map.token_map import TokenMap
from franken.tokenizer.pipeline import reading_once


@dataclass
class Transfer(FittedRows):
    """What ``transfer`` gives back."""

    model: PreTrainedModel
    """The model with the new vocabulary."""

    def save_pretrained(self, directory: str | Path, **options: Any) -> None:
        """Write model and tokenizer as plain transformers loads them; map and report beside them.

        Args:
            directory: made if need be.
            options: of ``PreTrainedModel.save_pretrained``.
        """
        place = Path(directory)
        with quiet_transformers():
            self.model.save_pretrained(str(place), **options)
        write_earlier_spellings(place)
        save_exported_tokenizer(self.tokenizer, place)
        save_origins(self.map, self.report, place)


def transfer(
    model: PreTrainedModel,
    source_tokenizer: PreTrainedTokenizerBase,
    target_tokenizer: PreTrainedTokenizerBase,
    *,
    method: Any = "focus",
    texts: Texts | None = None,
    source_texts: Texts | None = None,
    lexicon: LexiconLike | None = None,
    pairs: Pairs | None = None,
    helper: Any = None,
    vectors: Any = None,
    source_language: str = "en",
    seed: int = 0,
    pad_to_multiple: int | None = None,
    share_body: bool = True,
    alignment: Any = None,
    word_vectors: Any = None,
    helper_model: Any = None,
    **options: Any,
) -> Transfer:
    """Give a model another tokenizer, and rows to its tokens by the method that is named.

    What the method needs is fitted on the spot: word alignments from ``pairs``, static vectors and
    a helper model from ``texts``. With several target languages the arguments are mappings from
    language; with one, plain lists will do.

    Args:
        model: a causal or masked language model of a known family, on any device, tied or not. It
            stays as it is.
        source_tokenizer: its tokenizer.
        target_tokenizer: the new one.
        method: an initialiser (``docs/init_methods.md``) by name, or its options.
        texts: lines of the target language, or a mapping from language to lines; a mapping may hold
            the source language too.
        source_texts: lines of the source language, for methods over word vectors.
        lexicon: pairs of a source and a target word, or a mapping from a word to its translations.
        pairs: sentence pairs, source first.
        helper: a model over the target tokenizer, alone or with its tokenizer; its directory; or
            its table.
        vectors: static vectors by language (``target`` and ``source`` for vectors of pieces).
        source_language: code of the language that the model knows.
        seed: of all draws; equal seeds give equal bytes.
        pad_to_multiple: add rows up to a multiple of this.
        share_body: the new model shares the old one's body (train one, and the other changes too);
            ``False`` copies it.
        alignment: how words are aligned: an option of the group ``alignment``, by name, as a
            mapping with a ``name``, or as its dataclass.
        word_vectors: how vectors are trained, likewise.
        helper_model: how a helper is trained, likewise.
        options: of the method, e.g. ``temperature=0.5``.

    Returns:
        The model with its tokenizer, the map and the report.

    Raises:
        ConfigError: for an unknown method or option, or a value out of range.
        DataError: names the argument that the method lacks.
        CompatibilityError: where the vocabularies cannot be joined.
    """
    name = method if isinstance(method, str) else getattr(method, "name", "")
    call = f"transfer(method={name!r})"
    check_objects(
        call, model=model, source_tokenizer=source_tokenizer, target_tokenizer=target_tokenizer
    )
    config = chosen("init_method", method, options, call)
    given = gather(texts, source_texts, pairs, lexicon, source_language=source_language)
    makers = {
        "alignment": alignment, "word_vectors": word_vectors, "helper_model": helper_model
    }  # fmt: skip
    with reading_once():
        source = take_table(model, source_tokenizer, lineage="", copy=False)
        table, token_map, resources = fit_rows(
            config, source, target_tokenizer, given, seed, call=call, helper=helper,
            vectors=vectors, makers=makers,
            device="cuda" if model.device.type == "cuda" else "cpu",
        )  # fmt: skip
    # After what was fitted: it reads all over a mapped checkpoint, whose pages then stay.
    lineage = lineage_of(model)
    source, table = replace(source, lineage=lineage), replace(table, lineage=lineage)
    if config.learned:
        table, token_map = _learned(
            config, model, source, table, token_map, given, resources, seed, call
        )
    del source  # with its tokenizer and what was read of it, before the model's copy of the rows
    give_back_freed_memory()
    result = twin(model, share_body=share_body)
    put_table(
        result, table, previous=source_tokenizer, pad_to_multiple=pad_to_multiple, copy=True
    )  # fmt: skip
    mark(result, target_tokenizer, lineage)
    return Transfer(
        tokenizer=target_tokenizer, map=token_map, table=table, resources=resources, model=result
    )


def _learned(
    config: Any, model: PreTrainedModel, source: Table, start: Table, token_map: TokenMap,
    given: Given, resources: InitResources, seed: int, call: str,
) -> tuple[Table, TokenMap]:  # fmt: skip
    """Train what the start map made, on the texts, in a directory that is thrown away."""
    from franken.config.trainer import TrainerConfig
    from franken.data.datamodule import TextDataModule
    from franken.library.memory_data import MemoryData
    from franken.training.learners import LearnTask, learned_table

    if "monolingual" in config.needs() and not set(given.languages) & set(given.texts):
        raise DataError(f"{call} trains, and needs texts= of the target language")
    texts = resources.texts
    limit = float(getattr(config, "megabytes", float("inf")))
    data = MemoryData(given)
    where = "gpu" if model.device.type == "cuda" else "cpu"
    with tempfile.TemporaryDirectory(prefix="franken-") as scratch:
        module = partial(
            TextDataModule, data, data.config.mixtures["text"], start.tokenizer, seed=seed,
            work_dir=Path(scratch), source_language=given.source_language,
            languages=data.config.languages,
        )  # fmt: skip
        task = LearnTask(
            method=config,
            model=twin(model, share_body=False),
            source=source,
            start=start,
            token_map=token_map,
            data=lambda training: module(training=training),
            texts=lambda: iter(()) if texts is None else text_of(texts, given.languages, limit),
            trainer=TrainerConfig(accelerator=where),
            work_dir=Path(scratch),
            seed=derive_seed(seed, "init_method", config.name, "training"),
        )
        return learned_table(task)
