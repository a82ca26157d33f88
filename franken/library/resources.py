"""Side resources of initialisers, fitted on the spot from what a caller has."""

from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase

from franken.alignment import WordTable
from franken.errors import CompatibilityError, DataError
from franken.library.given import Given
from franken.library.options import chosen
from franken.parts.table import Table
from franken.parts.tokenizer_files import token_count, vocabulary_difference
from franken.seeds import derive_seed
from franken.token_map.resources import InitResources
from franken.word_vectors import VectorSpace
from franken.word_vectors.base import Lines, WordVectors


def fit_resources(
    config: Any, source: Table, target: PreTrainedTokenizerBase, given: Given, seed: int, *,
    call: str, helper: Any = None, vectors: Any = None, makers: Mapping[str, Any] | None = None,
) -> InitResources:  # fmt: skip
    """What a method's options ask for, as a recipe's steps would make it.

    Args:
        config: options of the method.
        source: the old table.
        target: the new tokenizer.
        given: texts, pairs and lexicons.
        seed: of vectors and helpers.
        call: what the caller called, for messages.
        helper: a target-language model, see :func:`helper_table`.
        vectors: static vectors, see :func:`spaces_of`.
        makers: group -> its option: how alignments, vectors and helpers are made.

    Raises:
        DataError: names the argument that the method needs and the caller left out.
    """
    needs = {str(getattr(need, "value", need)) for need in config.needs()}
    makers = makers or {}
    resources = InitResources(
        source_language=given.source_language,
        languages=list(given.languages),
        lexicons=dict(given.lexicons),
        texts=lambda language: iter(given.texts.get(language, tuple)()),
    )  # fmt: skip
    if "lexicon" in needs and not given.lexicons:
        raise DataError(f"{call} needs lexicon=: pairs of a source word and a target word")
    for need, usual in _ALIGNERS.items():
        if need in needs:
            asked = None if need == "gold_alignment" else makers.get("alignment")
            resources.alignments = _alignments(given, asked or usual, call)
    unit = next((u for u in ("word_vectors", "piece_vectors") if u in needs), None)
    if unit is not None:
        made = spaces_of(vectors) if vectors is not None else None
        if made is None:
            option = chosen("word_vectors", makers.get("word_vectors") or "trained", {}, call)
            if unit == "word_vectors":
                made = _word_spaces(option, given, seed, call)
            else:
                sides = {"target": target}
                if "source_piece_vectors" in needs:
                    sides["source"] = source.tokenizer
                made = _piece_spaces(option, sides, given, seed, call)
        setattr(resources, unit, made)
    if "helper" in needs or helper is not None:
        resources.helper = _helper(helper, target, given, seed, makers.get("helper_model"), call)
    return resources


_ALIGNERS = {"alignment": "ibm1", "symmetric_alignment": "fast_align", "gold_alignment": "gold"}
"""What a method needs -> the aligner where the caller names none."""


def _alignments(given: Given, option: Any, call: str) -> dict[str, WordTable]:
    if not given.pairs:
        raise DataError(
            f"{call} needs pairs=: sentence pairs, source first, from which words are aligned"
        )
    config = chosen("alignment", option, {}, call)
    return {language: config.align(pairs, language) for language, pairs in given.pairs.items()}


def _word_spaces(config: WordVectors, given: Given, seed: int, call: str) -> dict[str, VectorSpace]:
    languages = [given.source_language, *given.languages]
    missing = [language for language in languages if language not in given.texts]
    if config.reads_text and missing:
        what = "source_texts=" if missing == [given.source_language] else "texts="
        raise DataError(
            f"{call} needs text of {', '.join(missing)} to train word vectors on: give {what}, or "
            "vectors= for every language, the source's included"
        )
    return config.of_words(languages, _lines_of(given), partial(derive_seed, seed, "word_vectors"))


def _piece_spaces(
    config: WordVectors, sides: Mapping[str, Any], given: Given, seed: int, call: str
) -> dict[str, VectorSpace]:
    languages = [language for language in given.languages if language in given.texts]
    if config.reads_text and not languages:
        raise DataError(
            f"{call} needs texts= of the target language to train vectors of its pieces on, or "
            "vectors={'target': ...}"
        )
    return config.of_pieces(sides, languages, _lines_of(given), derive_seed(seed, "piece_vectors"))


def _lines_of(given: Given) -> Lines:
    return lambda language, most: islice(given.texts[language](), most)


def spaces_of(vectors: Mapping[str, Any]) -> dict[str, VectorSpace]:
    """Vectors by language (or ``target`` and ``source`` for pieces), brought into one form.

    Args:
        vectors: values are a ``VectorSpace``, a path to a ``.vec``, ``.vec.gz`` or ``.bin``,
            gensim's ``KeyedVectors``, or a mapping from word to vector.

    Raises:
        DataError: for anything else.
    """
    if not isinstance(vectors, Mapping):
        raise DataError(
            f"vectors= is a {type(vectors).__name__}; expected a mapping from language, the "
            "source's included, to its vectors"
        )
    return {key: _space(key, value) for key, value in vectors.items()}


def _space(key: str, value: Any) -> VectorSpace:
    from franken.word_vectors.common.read import read_vectors

    if isinstance(value, VectorSpace):
        return value
    if isinstance(value, str | Path):
        return read_vectors(Path(value).expanduser())
    if hasattr(value, "index_to_key"):
        return VectorSpace(list(value.index_to_key), torch.tensor(value.vectors).float())
    if isinstance(value, Mapping) and value:
        rows = [torch.as_tensor(row).float() for row in value.values()]
        return VectorSpace(list(value), torch.stack(rows))
    raise DataError(
        f"vectors[{key!r}] is a {type(value).__name__}; expected a VectorSpace, a path to fastText "
        "vectors, gensim's KeyedVectors, or a mapping from word to vector"
    )


def _helper(
    helper: Any, target: PreTrainedTokenizerBase, given: Given, seed: int, option: Any, call: str
) -> Table:
    if helper is not None:
        return helper_table(helper, target, call)
    from franken.helper_model import train_helper
    from franken.training.environment import isolated

    texts: dict[str, Any] = {
        language: given.texts[language] for language in given.languages if language in given.texts
    }
    if not texts:
        raise DataError(
            f"{call} needs helper=: a model over the target tokenizer, or texts= to train a small "
            "one on"
        )
    config = chosen("helper_model", option or "trained", {}, call)
    with isolated(None):
        return train_helper(config, target, texts, seed)[0]


def helper_table(helper: Any, target: PreTrainedTokenizerBase, call: str) -> Table:
    """Rows of a target-language model.

    Args:
        helper: a model over the target tokenizer, alone or as (model, tokenizer); the directory of
            one; or its table.
        target: the target tokenizer.
        call: for messages.

    Raises:
        CompatibilityError: where its vocabulary is another.
    """
    if isinstance(helper, Table):
        return helper
    if isinstance(helper, str | Path):
        from franken.helper_model import read_helper

        return read_helper(Path(helper).expanduser(), target)[0]
    from transformers import PreTrainedModel  # seconds, where no model is at hand

    model, own = helper if isinstance(helper, tuple) else (helper, None)
    if not isinstance(model, PreTrainedModel):
        raise CompatibilityError(
            f"{call}: helper= is a {type(helper).__name__}; expected a model, (model, tokenizer), "
            "the directory of a checkpoint, or a Table"
        )
    fault = own and vocabulary_difference(own.get_vocab(), target.get_vocab())
    if fault:
        raise CompatibilityError(f"{call}: helper= {fault}")
    rows = _rows(model.get_input_embeddings(), target, call)
    head: Any = model.get_output_embeddings()
    own_head = head is not None and head.weight is not model.get_input_embeddings().weight
    output = _rows(head, target, call) if own_head else None
    same_width = output is not None and output.shape[1] == rows.shape[1]
    return Table(
        target, rows, output if same_width else None, None, f"helper:{model.config.model_type}",
        {"method": "helper model"},
    )  # fmt: skip


def _rows(module: Any, target: PreTrainedTokenizerBase, call: str) -> torch.Tensor:
    count, weight = token_count(target), module.weight.detach()
    if weight.shape[0] < count:
        raise CompatibilityError(
            f"{call}: helper= has {weight.shape[0]} rows, the target tokenizer {count} tokens; the "
            "helper must be a model over that very tokenizer"
        )
    rows: torch.Tensor = weight[:count].to("cpu", copy=True)
    return rows
