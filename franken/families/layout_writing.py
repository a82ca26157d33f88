"""Writes ``layouts.json`` from the models of the transformers that is installed."""

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import AutoConfig, AutoTokenizer, PretrainedConfig, PreTrainedTokenizerFast
from transformers.core_model_loading import revert_weight_conversion

from franken.errors import CompatibilityError
from franken.families.anatomy import Anatomy, text_config
from franken.families.discovery import discover, skeleton
from franken.families.layouts import FILE, body_digest, is_plain
from franken.families.objective import language_model_types, model_classes
from franken.files import read_json, write_json
from franken.parts.control_tokens import is_id_field
from franken.parts.earlier_spellings import write_earlier_spellings
from franken.parts.tokenizer_files import TOKENIZER_WAYS

log = logging.getLogger(__name__)


def write_layouts() -> int:
    """Write the file anew.

    Returns:
        How many classes of models it knows.
    """
    found = {name: entry for family in language_model_types() for name, entry in layouts(family)}
    lines = [f'"{name}": {json.dumps(found[name], sort_keys=True)}' for name in sorted(found)]
    FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    return len(found)


def layouts(family: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Class name -> entry of ``layouts.json``, for each head of a type that can be known so."""
    for kind in model_classes(family):
        try:
            entry = _entry(family, kind)
        except CompatibilityError as error:
            log.info("%s: %s", kind, error)
            continue
        except Exception as error:  # a default config that its own class refuses
            log.info("%s: %s: %s", kind, type(error).__name__, error)
            continue
        if entry is not None:
            yield kind, entry


def _entry(family: str, kind: str) -> dict[str, Any] | None:
    config = AutoConfig.for_model(family, architectures=[kind])
    renamed = {*config.attribute_map, *config.attribute_map.values()}
    defaults = {name: value for name, value in vars(config).items() if _of_vocabulary(name)}
    if config.is_encoder_decoder or text_config(config) is not config or renamed & defaults.keys():
        return None
    if not defaults.keys() >= {"vocab_size", "tie_word_embeddings"}:
        return None
    found = {}
    for tied in (True, False):
        with contextlib.suppress(CompatibilityError):
            found[tied] = _read(config, kind, tied=tied)
    body = next(iter(found.values()), None)
    if body is None or any(other != body for other in found.values()):
        return None
    anatomy, digest = body
    config.tie_word_embeddings = defaults.get("tie_word_embeddings", False)
    with tempfile.TemporaryDirectory() as place:
        config.save_pretrained(place)
        if not is_plain(read_json(Path(place) / "config.json")):
            return None
        return {
            "type": family, "anatomy": _facts(anatomy), "body": digest, "defaults": defaults,
            "tied": list(found), "rotary": _may_have_both(Path(place)),
            "tokenizer": _tokenizer_way(Path(place)),
        }  # fmt: skip


def _read(config: PretrainedConfig, kind: str, *, tied: bool) -> tuple[Anatomy, str] | None:
    config.tie_word_embeddings = tied
    anatomy, model = discover(config), skeleton(config)
    names = anatomy.body_names(model.state_dict())
    digest = body_digest(names, anatomy)
    plain = type(model).__name__ == kind and _are_written(model, names)
    return (anatomy, digest) if plain and digest is not None else None


def _of_vocabulary(name: str) -> bool:
    return name == "tie_word_embeddings" or "vocab" in name or is_id_field(name)


def _are_written(model: Any, names: list[str]) -> bool:
    """Whether files spell the body as the model does."""
    meta = {name: torch.empty(1, device="meta") for name in names}
    try:
        return set(revert_weight_conversion(model, meta)) == set(names)
    except Exception:  # tensors that are taken apart need more than a name
        return False


def _facts(anatomy: Anatomy) -> dict[str, Any]:
    """What differs from the defaults of the class."""
    usual = asdict(Anatomy(anatomy.family))
    return {
        field.name: value
        for field in fields(Anatomy)
        if field.name not in ("family", "width")
        and (value := asdict(anatomy)[field.name]) != usual[field.name]
    }


def _may_have_both(place: Path) -> bool:
    """Whether rotary settings in both spellings are read as those of version 5 alone."""
    before = read_json(place / "config.json")
    write_earlier_spellings(place)
    both: bool = read_json(place / "config.json") != before
    write_json(place / "config.json", before)
    return both


def _tokenizer_way(place: Path) -> str:
    """By which words ``tokenizer_config.json`` has ``AutoTokenizer`` take the file as it stands."""
    backend = Tokenizer(WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    PreTrainedTokenizerFast(tokenizer_object=backend).save_pretrained(place)
    settings = read_json(place / "tokenizer_config.json")
    for name, words in TOKENIZER_WAYS.items():
        write_json(place / "tokenizer_config.json", settings | words)
        try:
            found = AutoTokenizer.from_pretrained(place, trust_remote_code=False)
        except Exception:  # whatever a family's class says of a tokenizer of another kind
            continue
        if type(found) is PreTrainedTokenizerFast:
            return name
    return "none"
