"""Tokenizers on disk: their identity, and files that load back as what was saved.

transformers 5 rebuilds a tokenizer from its class name: ``GemmaTokenizer`` takes vocabulary and
merges from ``tokenizer.json`` and makes its own normaliser and pre-tokenizer around them, and
``AutoTokenizer`` may choose the class by the model's family. An adapted tokenizer would come back
as another one. So every save is checked by loading, and the class is chosen accordingly.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path
from typing import Any

from franken.errors import ArtifactError, CompatibilityError
from franken.files import copy_file, hash_json, read_json, write_json
from franken.lazy import later
from franken.parts.stored_tokenizer import ROLES, StoredTokenizer
from franken.parts.tokenizer_json import first_value, hash_parted, parted

with later():
    from transformers import (
        AddedToken,
        AutoTokenizer,
        PreTrainedTokenizerBase,
        PreTrainedTokenizerFast,
    )

logger = logging.getLogger(__name__)

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

_GENERIC: dict[str, Any] = {"tokenizer_class": "PreTrainedTokenizerFast"}
TOKENIZER_WAYS: dict[str, dict[str, Any]] = {
    "class": _GENERIC, "auto_map": {**_GENERIC, "auto_map": {"AutoTokenizer": [None, None]}},
}  # fmt: skip
"""Words for ``tokenizer_config.json`` by which ``AutoTokenizer`` takes ``tokenizer.json`` as it
stands: the generic class, by the name that transformers 4 and 5 know, and for some families (Qwen2,
Phi-3) an empty ``auto_map`` besides: transformers 5.23 overrides a generic class unless the file
claims custom code, which it then does not load."""


def tokenizer_identity(
    tokenizer: PreTrainedTokenizerBase | StoredTokenizer, *, roles: bool = True
) -> str:
    """Hex sha256 of what a tokenizer does: pipeline, vocabulary, added tokens, special roles.

    Equal for a tokenizer and its saved and reloaded self; padding, truncation, chat template and
    class name do not count.

    Args:
        tokenizer: with a fast backend.
        roles: count special roles and what is put around a text, too; without them it says which
            id means which text, which an instruct model shares with its base.
    """
    written = _backend(tokenizer).to_str()
    own = special_roles(tokenizer) if roles else None
    known = hashlib.sha256(written.encode()).digest(), hash_json(own)
    if known not in _identities:
        while len(_identities) >= _IDENTITIES:
            _identities.pop(next(iter(_identities)))
        _identities[known] = _identity(written, own)
    return _identities[known]


_IDENTITIES = 64
_identities: dict[tuple[bytes, str], str] = {}
"""Of what was written and its roles: taking 260,000 pieces apart takes seconds, and steps ask for
the identity of one tokenizer several times."""


def _identity(written: str, roles: dict[str, str] | None) -> str:
    backend, merges = parted(written)
    model = backend["model"]
    if isinstance(model.get("merges"), list):
        model["merges"] = [
            merge.split(" ") if isinstance(merge, str) else merge for merge in model["merges"]
        ]
    described = {
        key: backend.get(key) for key in ("model", "normalizer", "pre_tokenizer", "decoder")
    }
    described["added_tokens"] = sorted(backend["added_tokens"], key=lambda token: token["id"])
    if roles is not None:
        described["post_processor"] = _adding_nothing_is_none(backend.get("post_processor"))
        described["roles"] = roles
    return hash_parted(described, merges)


def special_roles(tokenizer: PreTrainedTokenizerBase | StoredTokenizer) -> dict[str, str]:
    """Role (bos, eos, unk, pad, sep, cls, mask) -> token string, for the roles that are set."""
    if isinstance(tokenizer, StoredTokenizer):
        return tokenizer.roles
    named = {role: getattr(tokenizer, f"{role}_token") for role in ROLES}
    return {role: str(token) for role, token in named.items() if token is not None}


def token_count(tokenizer: PreTrainedTokenizerBase | StoredTokenizer) -> int:
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
    """Write files from which ``load_tokenizer`` returns an equal tokenizer.

    The files are read back once for each tokenizer: reading 260,000 pieces takes seconds.
    """
    identity = tokenizer_identity(tokenizer)
    _write(tokenizer, directory)
    _check_survival(tokenizer, identity, directory)


def _check_survival(tokenizer: PreTrainedTokenizerBase, identity: str, directory: Path) -> None:
    kind = identity, type(tokenizer)
    if kind in _survivors:
        return
    if tokenizer_identity(load_tokenizer(directory)) != identity:
        raise ArtifactError(
            f"the tokenizer {type(tokenizer).__name__} does not survive saving to {directory}; "
            "its tokenizer.json misses part of what it does"
        )
    _survivors.add(kind)


_survivors: set[tuple[str, type[PreTrainedTokenizerBase]]] = set()
"""Identity and class of tokenizers that were read back from what was written of them."""


def load_tokenizer(directory: Path) -> PreTrainedTokenizerFast:
    """Load ``tokenizer.json`` as it stands, whatever class is named beside it."""
    if not (directory / "tokenizer.json").is_file():
        raise ArtifactError(f"{directory} holds no tokenizer.json; expected a fast tokenizer")
    try:
        tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(
            directory, **_read_already(directory)
        )
    except Exception as error:  # the Rust side raises plain Exception on damaged JSON
        raise ArtifactError(f"the tokenizer in {directory} cannot be read: {error}") from error
    return tokenizer


def _read_already(directory: Path) -> dict[str, Any]:
    """The added tokens of ``tokenizer.json``, where nothing else says which there are.

    transformers 5.23 parses the whole file in Python for them, 1 of 2.7 seconds where it has
    260,000 pieces (findings/transformers_added_tokens_parse.sh); they stand before
    the model.
    """
    config = directory / "tokenizer_config.json"
    if not config.is_file() or "added_tokens_decoder" in read_json(config):
        return {}
    if any(
        (directory / name).exists() for name in ("special_tokens_map.json", "added_tokens.json")
    ):
        return {}
    added = first_value(directory / "tokenizer.json", "added_tokens") or []
    tokens = {fields.pop("id"): AddedToken(**fields) for fields in added}
    return {"added_tokens_decoder": tokens} if tokens else {}


def load_plain_tokenizer(directory: Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory for who asks for texts and ids alone.

    As ``load_checkpoint_tokenizer``, without what the class beside ``tokenizer.json`` would add to
    it (side of padding, names of inputs), for which transformers imports seconds long.
    """
    if (directory / "tokenizer.json").is_file():
        return load_tokenizer(directory)
    return _without_tokenizer_json(directory)


def load_checkpoint_tokenizer(directory: Path, *, compare: bool = True) -> PreTrainedTokenizerBase:
    """The tokenizer of a model directory: its ``tokenizer.json`` as it stands.

    ``AutoTokenizer`` may rebuild it by the class that stands beside it, with other rules: for Llama
    2 and Mistral v1 transformers 5.23 replaces the normaliser, and leading blanks are lost. What it
    would make of the file is compared, and a difference is named in a warning.

    Args:
        directory: of the model.
        compare: ``False``: for who runs no model of the directory. ``AutoTokenizer``, which reads
            the model's config and imports for it, is asked only where the class has no name.

    Returns:
        A plain ``PreTrainedTokenizerFast`` where there is a ``tokenizer.json``, else what
        ``AutoTokenizer`` makes of the other files.

    Raises:
        CompatibilityError: where no fast tokenizer can be made of the files.
    """
    tokenizer = load_plain_tokenizer(directory)
    if not (directory / "tokenizer.json").is_file():
        return tokenizer
    if not compare and _told_by_class(tokenizer, directory):
        return tokenizer
    try:
        rebuilt = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
    except Exception as error:  # code of its own, a class that transformers lacks, ...
        logger.warning(
            "AutoTokenizer cannot read %s (%s); its tokenizer.json can", directory, error
        )
        return tokenizer
    # The class knows what the files need not say: Gemma pads on the left.
    tokenizer.padding_side = rebuilt.padding_side
    tokenizer.model_input_names = rebuilt.model_input_names
    if getattr(rebuilt, "backend_tokenizer", None) is None:
        return tokenizer
    if changed := _changed_texts(tokenizer, rebuilt):
        logger.warning(
            "%s: transformers would rebuild this tokenizer as %s with other rules (%s), which cut "
            "or write %d of %d test texts otherwise, for example %r; the file is read as it stands",
            directory, type(rebuilt).__name__, ", ".join(_changed_steps(tokenizer, rebuilt)),
            len(changed), len(_TEST_TEXTS), changed[0],
        )  # fmt: skip
    return tokenizer


def _told_by_class(tokenizer: PreTrainedTokenizerBase, directory: Path) -> bool:
    """Give a tokenizer what the class named beside it knows, where there is such a class."""
    settings_file = directory / "tokenizer_config.json"
    settings = read_json(settings_file) if settings_file.is_file() else {}
    name = settings.get("tokenizer_class")
    if name == type(tokenizer).__name__:  # it has no class of its own, and knows its settings
        return True
    from transformers.models.auto.tokenization_auto import tokenizer_class_from_name

    kind: Any = tokenizer_class_from_name(str(name))
    if kind is None:
        return False
    for field in ("padding_side", "model_input_names"):
        setattr(tokenizer, field, settings.get(field, getattr(kind, field)))
    return True


_TEST_TEXTS = (
    " leading", "    x = 1\n\ty", "two  blanks ", "It's 1234.5%, isn't it?", "tab\tand\r\nline",
    "naïve e\u0301 ﬁ Ⅷ", "வணக்கம் ሰላም 你好", "🙂🏽 a\u00a0b", "\n\n", "▁x </s> <s>",
    "CamelCase_snake",
)  # fmt: skip
"""Where rebuilt tokenizers are known to differ: blanks, digits, joined and composed characters."""


def _changed_texts(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> list[str]:
    """Test texts that two tokenizers read or write otherwise."""
    backends = one.backend_tokenizer, other.backend_tokenizer
    found = []
    for text in _TEST_TEXTS:
        ids = [backend.encode(text).ids for backend in backends]
        texts = [backend.decode(ids[0], skip_special_tokens=False) for backend in backends]
        if ids[0] != ids[1] or texts[0] != texts[1]:
            found.append(text)
    return found


def _changed_steps(one: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase) -> list[str]:
    steps = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
    found = [
        step
        for step in steps
        if repr(getattr(one.backend_tokenizer, step))
        != repr(getattr(other.backend_tokenizer, step))
    ]
    return found or ["model"]


def _without_tokenizer_json(directory: Path) -> PreTrainedTokenizerBase:
    tekken = directory / "tekken.json"
    if tekken.is_file():
        return _from_tekken(tekken)
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            directory, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        found = [name for name in TOKENIZER_FILES if (directory / name).exists()]
        raise ArtifactError(
            f"{directory} has no tokenizer.json, and AutoTokenizer makes no tokenizer of "
            f"{', '.join(found) or 'files none of which is a tokenizer'}: {error}"
        ) from error
    _backend(tokenizer)
    return tokenizer


def _from_tekken(path: Path) -> PreTrainedTokenizerFast:
    """Mistral's own format, turned into a ``tokenizers`` one by transformers."""
    from transformers.integrations.mistral.tokenizer import MistralConverter

    try:
        converter = MistralConverter(str(path))
    except ImportError as error:
        raise CompatibilityError(
            f"{path.parent} has its tokenizer as tekken.json alone, which only mistral-common "
            "reads; install it with `pip install franken[mistral]`, or put the tokenizer.json of "
            "the same model beside it"
        ) from error
    backend = converter.converted()
    names = {
        role: token
        for role, token in _TEKKEN_ROLES.items()
        if backend.token_to_id(token) is not None
    }
    return PreTrainedTokenizerFast(tokenizer_object=backend, **names)


_TEKKEN_ROLES = {
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "pad_token": "<pad>",
}


def save_exported_tokenizer(
    tokenizer: PreTrainedTokenizerBase, directory: Path, *, identity: str | None = None,
    way: str | None = None,
) -> str:  # fmt: skip
    """Write a tokenizer beside ``config.json`` so that ``AutoTokenizer`` returns an equal one.

    Tries the tokenizer's own class, then those of ``TOKENIZER_WAYS``.

    Args:
        tokenizer: any fast tokenizer.
        directory: holds the model's ``config.json``.
        identity: its ``tokenizer_identity``, where it is known already.
        way: key of ``TOKENIZER_WAYS`` that is known to work for the model's family. A tokenizer
            without a class of its own is then written so, and read back without the imports of
            ``AutoTokenizer``.

    Returns:
        The class name that was written.

    Raises:
        CompatibilityError: where every way comes back as another tokenizer.
    """
    wanted = identity or tokenizer_identity(tokenizer)
    own = type(tokenizer).__name__
    if own == "TokenizersBackend" and way in TOKENIZER_WAYS:
        _write(tokenizer, directory, **TOKENIZER_WAYS[way])
        _check_survival(tokenizer, wanted, directory)
        return str(TOKENIZER_WAYS[way]["tokenizer_class"])
    ways: list[dict[str, Any]] = [
        {} if own != "TokenizersBackend" else _GENERIC,
        *TOKENIZER_WAYS.values(),
    ]
    for settings in ways:
        _write(tokenizer, directory, **settings)
        loaded = AutoTokenizer.from_pretrained(directory, trust_remote_code=False)
        if tokenizer_identity(loaded) == wanted:
            return str(read_json(directory / "tokenizer_config.json")["tokenizer_class"])
    raise CompatibilityError(
        f"AutoTokenizer turns the tokenizer in {directory} into a {type(loaded).__name__} that "
        "encodes otherwise; load it with PreTrainedTokenizerFast.from_pretrained, or keep the "
        "base model's kind of tokenizer"
    )


def export_stored_tokenizer(tokenizer: StoredTokenizer, directory: Path, way: str) -> bool:
    """What ``save_exported_tokenizer`` writes, by files alone.

    Args:
        tokenizer: of the directory of a table.
        directory: holds the model's ``config.json``.
        way: key of ``TOKENIZER_WAYS`` that is known to work for the model's family.

    Returns:
        Whether that can be told from the files: whether ``save_tokenizer`` wrote them of a
        tokenizer that has no class of its own. Nothing is written otherwise.
    """
    source = tokenizer.directory
    settings = read_json(source / "tokenizer_config.json")
    found = {name for name in TOKENIZER_FILES if (source / name).exists()}
    copied = {"tokenizer.json", "chat_template.jinja"} & found
    plain = settings.get("tokenizer_class") == "TokenizersBackend"
    if not plain or found - copied != {"tokenizer_config.json"} or way not in TOKENIZER_WAYS:
        return False
    for name in sorted(copied):
        copy_file(source / name, directory / name)
    write_json(directory / "tokenizer_config.json", settings | TOKENIZER_WAYS[way])
    return True


def _write(tokenizer: PreTrainedTokenizerBase, directory: Path, **overrides: Any) -> None:
    for name in TOKENIZER_FILES:
        (directory / name).unlink(missing_ok=True)
    tokenizer.save_pretrained(str(directory))
    path = directory / "tokenizer_config.json"
    settings = read_json(path)
    # Class attributes such as Gemma's left padding are lost with the class unless written down.
    settings["padding_side"] = tokenizer.padding_side
    if isinstance(settings.get("extra_special_tokens"), list):  # a mapping in transformers 4
        settings["additional_special_tokens"] = settings.pop("extra_special_tokens")
    for private in ("is_local", "local_files_only", "auto_map"):
        settings.pop(private, None)
    write_json(path, settings | overrides)


def _backend(tokenizer: PreTrainedTokenizerBase | StoredTokenizer) -> Any:
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
