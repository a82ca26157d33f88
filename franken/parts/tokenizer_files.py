"""Tokenizers on disk: their identity, and files that load back as what was saved.

transformers 5 rebuilds a tokenizer from its class name: ``GemmaTokenizer`` takes vocabulary and
merges from ``tokenizer.json`` and makes its own normaliser and pre-tokenizer around them, and
``AutoTokenizer`` may choose the class by the model's family. An adapted tokenizer would come back
as another one. So every save is checked by loading, and the class is chosen accordingly.
"""

import json
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from franken.errors import ArtifactError, CompatibilityError
from franken.files import hash_json, read_json, write_json

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "sentencepiece.bpe.model",
    "spiece.model",
    "tekken.json",
    "chat_template.jinja",
    "chat_template.json",
)
"""Everything that a tokenizer may leave in a checkpoint directory."""

_GENERIC_CLASS = "PreTrainedTokenizerFast"  # transformers 4 and 5 both know this name


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase, *, roles: bool = True) -> str:
    """Hex sha256 of what a tokenizer does: pipeline, vocabulary, added tokens, special roles.

    Equal for a tokenizer and its saved and reloaded self; padding, truncation, chat template and
    class name do not count.

    Args:
        tokenizer: with a fast backend.
        roles: count special roles and what is put around a text, too; without them it says which
            id means which text, which an instruct model shares with its base.
    """
    backend = json.loads(_backend(tokenizer).to_str())
    model = backend["model"]
    if isinstance(model.get("merges"), list):
        model["merges"] = [
            merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]
        ]
    described = {
        key: backend.get(key) for key in ("model", "normalizer", "pre_tokenizer", "decoder")
    }
    described["added_tokens"] = sorted(backend["added_tokens"], key=lambda token: token["id"])
    if roles:
        described["post_processor"] = _adding_nothing_is_none(backend.get("post_processor"))
        described["roles"] = special_roles(tokenizer)
    return hash_json(described)


def special_roles(tokenizer: PreTrainedTokenizerBase) -> dict[str, str]:
    """Role (bos, eos, unk, pad, sep, cls, mask) -> token string, for the roles that are set."""
    named = {
        role: getattr(tokenizer, f"{role}_token")
        for role in ("bos", "eos", "unk", "pad", "sep", "cls", "mask")
    }
    return {role: str(token) for role, token in named.items() if token is not None}


def token_count(tokenizer: PreTrainedTokenizerBase) -> int:
    """Rows that a table needs: the highest id plus one (ids may have holes)."""
    return max(tokenizer.get_vocab().values(), default=-1) + 1


def vocabulary_difference(found: dict[str, int], wanted: dict[str, int]) -> str | None:
    """What keeps rows by the ids of one vocabulary from serving another; ``None``: nothing.

    Args:
        found: token -> id of the vocabulary that has rows; tokens beyond the others do no harm.
        wanted: token -> id of the vocabulary that needs them.
    """
    lacking = sorted(wanted.keys() - found.keys())
    moved = sorted(token for token in wanted if found.get(token, wanted[token]) != wanted[token])
    if not lacking and not moved:
        return None
    examples = ", ".join(map(repr, (lacking or moved)[:3]))
    extra = len(found.keys() - wanted.keys())
    return (
        f"has another vocabulary than the target tokenizer: of {len(wanted)} target tokens it "
        f"lacks {len(lacking)} and has {len(moved)} under other ids ({examples}, ...), and {extra} "
        "tokens are its own alone. Take vocab=from_pretrained with its tokenizer, or "
        "helper_model=trained"
    )


def save_tokenizer(tokenizer: PreTrainedTokenizerBase, directory: Path) -> None:
    """Write files from which ``load_tokenizer`` returns an equal tokenizer."""
    _backend(tokenizer)
    _write(tokenizer, directory)
    if tokenizer_identity(load_tokenizer(directory)) != tokenizer_identity(tokenizer):
        raise ArtifactError(
            f"the tokenizer {type(tokenizer).__name__} does not survive saving to {directory}; "
            "its tokenizer.json misses part of what it does"
        )


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """Load ``tokenizer.json`` as it stands, whatever class is named beside it."""
    if not (directory / "tokenizer.json").is_file():
        raise ArtifactError(f"{directory} holds no tokenizer.json; expected a fast tokenizer")
    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(directory)
    except Exception as error:  # the Rust side raises plain Exception on damaged JSON
        raise ArtifactError(f"the tokenizer in {directory} cannot be read: {error}") from error
    return tokenizer


def load_checkpoint_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory as ``AutoTokenizer`` sees it."""
    tokenizer = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    _backend(tokenizer)
    return tokenizer


def save_exported_tokenizer(
    tokenizer: PreTrainedTokenizerBase, directory: Path, *, identity: str | None = None
) -> str:
    """Write a tokenizer beside ``config.json`` so that ``AutoTokenizer`` returns an equal one.

    Tries the tokenizer's own class, then the generic class, then the generic class under an empty
    ``auto_map``: for some families (Qwen2, Phi-3) transformers 5.23 overrides a generic class
    unless the file claims custom code, which it then does not load.

    Args:
        tokenizer: any fast tokenizer.
        directory: holds the model's ``config.json``.
        identity: its ``tokenizer_identity``, where it is known already.

    Returns:
        The class name that was written.

    Raises:
        CompatibilityError: where every way comes back as another tokenizer.
    """
    wanted = identity or tokenizer_identity(tokenizer)
    own = type(tokenizer).__name__
    ways: list[dict[str, Any]] = [
        {} if own != "TokenizersBackend" else {"tokenizer_class": _GENERIC_CLASS},
        {"tokenizer_class": _GENERIC_CLASS},
        {"tokenizer_class": _GENERIC_CLASS, "auto_map": {"AutoTokenizer": [None, None]}},
    ]
    for way in ways:
        _write(tokenizer, directory, **way)
        loaded = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        if tokenizer_identity(loaded) == wanted:
            return str(read_json(directory / "tokenizer_config.json")["tokenizer_class"])
    raise CompatibilityError(
        f"AutoTokenizer turns the tokenizer in {directory} into a {type(loaded).__name__} that "
        "encodes otherwise; load it with PreTrainedTokenizerFast.from_pretrained, or keep the "
        "base model's kind of tokenizer"
    )


def _write(tokenizer: PreTrainedTokenizerBase, directory: Path, **overrides: Any) -> None:
    for name in TOKENIZER_FILES:
        (directory / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(str(directory))
    path = directory / "tokenizer_config.json"
    settings = read_json(path)
    # Class attributes such as Gemma's left padding are lost with the class unless written down.
    settings["padding_side"] = tokenizer.padding_side
    for private in ("is_local", "local_files_only", "auto_map"):
        settings.pop(private, None)
    write_json(path, settings | overrides)


def _backend(tokenizer: PreTrainedTokenizerBase) -> Any:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise CompatibilityError(
            f"{type(tokenizer).__name__} is no fast tokenizer (no tokenizer.json behind it); "
            "convert it to a tokenizers-library tokenizer first"
        )
    return backend


def _adding_nothing_is_none(post_processor: dict[str, Any] | None) -> dict[str, Any] | None:
    """Loading gives a tokenizer without post-processor one that adds nothing; they are equal."""
    if post_processor and post_processor.get("type") == "TemplateProcessing":
        pieces = post_processor["single"] + post_processor["pair"]
        if all("Sequence" in piece for piece in pieces):
            return None
    return post_processor
