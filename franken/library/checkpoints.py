"""``transfer_checkpoint``: a model on disk gets another tokenizer; its body is never loaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from franken.errors import ArtifactError, ConfigError
from franken.files import check_new_directory, new_directory
from franken.library.fitting import FittedRows, fit_rows, save_origins
from franken.library.given import LexiconLike, Pairs, Texts, gather
from franken.library.options import chosen
from franken.memory import give_back_freed_memory
from franken.parts.checkpoint import Checkpoint
from franken.parts.disk_surgery import replace_tables_on_disk
from franken.parts.table import pad_table, table_of_checkpoint
from franken.parts.tokenizer_files import load_checkpoint_tokenizer, load_plain_tokenizer
from franken.tokenizer.pipeline import reading_once


@dataclass
class CheckpointTransfer(FittedRows):
    """What ``transfer_checkpoint`` gives back."""

    directory: Path | None
    """A checkpoint that plain transformers loads, with map and report in ``token_map``; ``None``
    where none was asked for."""


def transfer_checkpoint(
    source_dir: str | Path,
    target_tokenizer: PreTrainedTokenizerBase | str | Path,
    target_dir: str | Path | None = None,
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
    link: bool = False,
    device: str = "cpu",
    alignment: Any = None,
    word_vectors: Any = None,
    helper_model: Any = None,
    **options: Any,
) -> CheckpointTransfer:
    """``transfer`` from a checkpoint to a checkpoint, for models of any size.

    Rows are those of :func:`~franken.transfer` to the bit. Only the table is read; shards of the
    body are copied or linked, and for known families no modelling code is imported.

    Args:
        source_dir: a transformers checkpoint of safetensors; a causal or masked language model.
        target_tokenizer: the new tokenizer, or a directory of one.
        target_dir: where the new checkpoint goes; must not exist, or be empty. ``None``: nothing
            is written, rows and map are given back.
        method: an initialiser (``docs/init_methods.md``) by name, or its options; none of those
            that train rows in the model.
        texts: lines of the target language, or a mapping from language to lines.
        source_texts: lines of the source language, for methods over word vectors.
        lexicon: pairs of a source and a target word, or a mapping from a word to its translations.
        pairs: sentence pairs, source first.
        helper: a model over the target tokenizer, alone or with its tokenizer; its directory; or
            its table.
        vectors: static vectors by language (``target`` and ``source`` for vectors of pieces).
        source_language: code of the language that the model knows.
        seed: of all draws; equal seeds give equal bytes.
        pad_to_multiple: add rows up to a multiple of this.
        link: hard-link shards of the body (they are then one file with the source's: never edit
            them in place) instead of copying them.
        device: where neighbours and products of some methods are computed.
        alignment: how words are aligned, as of ``transfer``.
        word_vectors: how vectors are trained, likewise.
        helper_model: how a helper is trained, likewise.
        options: of the method, e.g. ``temperature=0.5``.

    Returns:
        The map, the report and the rows (padding included); the checkpoint is written.

    Raises:
        ConfigError: for an unknown method or option, a value out of range, or a method that trains.
        DataError: names the argument that the method lacks.
        ArtifactError: where the source is no checkpoint, or the target exists.
        CompatibilityError: where the vocabularies cannot be joined.
    """
    name = method if isinstance(method, str) else getattr(method, "name", "")
    call = f"transfer_checkpoint(method={name!r})"
    config = chosen("init_method", method, options, call)
    if config.learned:
        raise ConfigError(
            f"{call} trains rows in the model, which is not loaded here; load it and call "
            "franken.transfer(...).save_pretrained(...)"
        )
    place = None if target_dir is None else Path(target_dir)
    if place is not None:
        check_new_directory(place)
    base = Path(source_dir)
    Checkpoint(base)  # refuses what is none
    given = gather(texts, source_texts, pairs, lexicon, source_language=source_language)
    makers = {
        "alignment": alignment, "word_vectors": word_vectors, "helper_model": helper_model
    }  # fmt: skip
    with reading_once():
        target = _tokenizer(target_tokenizer, call)
        source = table_of_checkpoint(base, load_plain_tokenizer(base), mapped=True)
        table, token_map, resources = fit_rows(
            config, source, target, given, seed, call=call, helper=helper, vectors=vectors,
            makers=makers, device=device,
        )  # fmt: skip
    del source  # with its tokenizer and what was read of it, before rows are written
    give_back_freed_memory()
    if pad_to_multiple is not None:
        table = pad_table(table, pad_to_multiple)
    if place is not None:
        with new_directory(place) as scratch:
            replace_tables_on_disk(base, table, scratch, link=link, lineage=table.lineage)
            save_origins(token_map, table.provenance, scratch)
    return CheckpointTransfer(
        tokenizer=target, map=token_map, table=table, resources=resources, directory=place
    )


def _tokenizer(what: Any, call: str) -> PreTrainedTokenizerBase:
    if isinstance(what, PreTrainedTokenizerBase):
        return what
    if not isinstance(what, str | Path):
        raise ConfigError(
            f"{call}: target_tokenizer is a {type(what).__name__}; expected a transformers "
            "tokenizer, or the directory of one"
        )
    if not Path(what).is_dir():
        raise ArtifactError(
            f"{call}: target_tokenizer {str(what)!r} is no directory; for a name on the hub give "
            "AutoTokenizer.from_pretrained(...)"
        )
    return load_checkpoint_tokenizer(Path(what), compare=False)
