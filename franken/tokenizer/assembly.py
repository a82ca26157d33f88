"""Put a pipeline together again: as the ``tokenizers`` backend, as a tokenizer of transformers."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from franken.config.base_model import TokenizerKind
from franken.parts.tokenizer_json import wrapped
from franken.tokenizer.pipeline import Pipeline, kind_of_spec, remember, settings_of

if TYPE_CHECKING:
    from tokenizers import AddedToken, Tokenizer
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
"""What an added token says beside its content and id."""


def build(pipeline: Pipeline) -> "PreTrainedTokenizerFast":
    """Put a pipeline together again.

    The class is the plain ``PreTrainedTokenizerFast``, so that every loader takes
    ``tokenizer.json`` as it stands, whatever ``model_type`` a neighbouring ``config.json`` names.
    """
    spec = spec_of(pipeline)
    tokenizer = wrapped(backend_of(spec), **pipeline.settings)
    if pipeline.is_bpe and len(tokenizer) == len(pipeline.pieces):
        remember(tokenizer, _as_read(tokenizer, spec))
    return tokenizer


def backend_of(spec: dict[str, Any]) -> "Tokenizer":
    """What ``Tokenizer.from_str`` makes of the JSON of a ``spec`` (:func:`spec_of`).

    The JSON of hundreds of thousands of merges is never written: it takes twice the time.
    """
    from tokenizers import Tokenizer

    if spec["model"]["type"] != "BPE":
        return Tokenizer.from_str(json.dumps(spec, ensure_ascii=False))
    model = spec["model"]
    backend = empty_backend(spec)
    backend.model = bpe_of(model, model["vocab"], model["merges"])
    backend.add_tokens([added_token(token) for token in spec["added_tokens"]])
    return backend


def empty_backend(spec: dict[str, Any]) -> "Tokenizer":
    """A tokenizer with the rules of a BPE ``spec``, without vocabulary and added tokens."""
    from tokenizers import Tokenizer

    model = {**spec["model"], "vocab": {}, "merges": []}
    return Tokenizer.from_str(json.dumps({**spec, "added_tokens": [], "model": model}))


def bpe_of(model: Mapping[str, Any], vocab: dict[str, int], merges: list[tuple[str, str]]) -> "BPE":
    """A BPE model with the options of ``model``, the ``model`` of a ``tokenizer.json``."""
    from tokenizers.models import BPE

    own = {"type", "vocab", "merges"}
    options = {name: value for name, value in model.items() if name not in own}
    given = {name: value for name, value in options.items() if value is not None}
    return BPE(vocab=vocab, merges=merges, **given)


def added_token(token: Mapping[str, Any]) -> "AddedToken":
    """An added token as ``tokenizer.json`` has it, for the backend."""
    from tokenizers import AddedToken

    return AddedToken(token["content"], **{flag: token[flag] for flag in FLAGS})


def spec_of(pipeline: Pipeline) -> dict[str, Any]:
    """The complete ``tokenizer.json`` form of a pipeline, in time linear in its pieces."""
    model = dict(pipeline.spec["model"])
    if pipeline.kind is TokenizerKind.sentencepiece_unigram:
        unk, floor = pipeline.unk, min(pipeline.scores.values(), default=0.0)
        # The list has no holes: an id without a piece gets one that no text can hold.
        vocab: list[list[Any]] = [[f"\ufdd1{index}", floor] for index in range(pipeline.size)]
        for piece, index in pipeline.pieces.items():
            vocab[index] = [piece, pipeline.scores.get(piece, floor)]
        model["vocab"] = vocab
        model["unk_id"] = None if unk is None else pipeline.pieces[unk]
    else:
        # Added tokens may only be left out of the model where they follow it without a gap.
        tail = _tail(pipeline)
        inside = {p: i for p, i in pipeline.pieces.items() if i not in tail}
        model["vocab"] = dict(sorted(inside.items(), key=lambda item: item[1]))
        if pipeline.is_bpe:
            model["merges"] = pipeline.merges
    added = [{**token, "id": pipeline.pieces[token["content"]]} for token in pipeline.added]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": sorted(added, key=lambda token: token["id"]),
        **{part: pipeline.spec.get(part) for part in ("normalizer", "pre_tokenizer")},
        "post_processor": _with_ids(pipeline.spec.get("post_processor"), pipeline.pieces),
        "decoder": pipeline.spec.get("decoder"),
        "model": model,
    }


def _tail(pipeline: Pipeline) -> set[int]:
    """Ids of the unbroken run of added tokens at the end, for byte-level BPE (as in Llama 3)."""
    if pipeline.kind is not TokenizerKind.byte_level_bpe:
        return set()
    ids = {pipeline.pieces[token["content"]] for token in pipeline.added}
    tail, index = set(), pipeline.size - 1
    while index in ids:
        tail.add(index)
        index -= 1
    holes = index + 1 - (len(pipeline.pieces) - len(tail))
    return set() if holes else tail


def _with_ids(part: Any, pieces: dict[str, int]) -> Any:
    """A post-processor whose special tokens carry the ids of ``pieces``."""
    if isinstance(part, list):
        if len(part) == 2 and isinstance(part[0], str) and isinstance(part[1], int):
            return [part[0], pieces.get(part[0], part[1])]
        return [_with_ids(item, pieces) for item in part]
    if not isinstance(part, dict):
        return part
    if "tokens" in part and "ids" in part:
        ids = [
            pieces.get(token, old) for token, old in zip(part["tokens"], part["ids"], strict=True)
        ]
        return {**part, "ids": ids}
    return {key: _with_ids(value, pieces) for key, value in part.items()}


def _as_read(tokenizer: "PreTrainedTokenizerFast", spec: dict[str, Any]) -> Pipeline:
    """What ``pipeline_of`` would read from a tokenizer that a BPE ``spec`` was built into."""
    backend, rules = tokenizer.backend_tokenizer, empty_backend(spec)
    for part in ("normalizer", "pre_tokenizer", "post_processor", "decoder"):
        setattr(rules, part, getattr(backend, part))
    found = json.loads(rules.to_str())
    del found["added_tokens"]
    added = [
        {"id": index, "content": token.content, **{flag: getattr(token, flag) for flag in FLAGS}}
        for index, token in sorted(backend.get_added_tokens_decoder().items())
    ]
    model = spec["model"]
    return Pipeline(
        kind=kind_of_spec(found),
        spec=found,
        pieces={**model["vocab"], **{token["content"]: token["id"] for token in added}},
        merges=list(model["merges"]),
        added=added,
        settings=settings_of(tokenizer),
    )
