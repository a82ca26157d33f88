"""A tokenizer's files as they stand, without transformers: for those who exchange tables on disk.

To read them as transformers does takes an import of seconds. Here is only what needs no judgement:
``tokenizer.json`` by the ``tokenizers`` library, and roles that ``tokenizer_config.json`` names.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from franken.files import read_json
from franken.parts.tokenizer_json import first_value

if TYPE_CHECKING:
    from tokenizers import Tokenizer

ROLES = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")


class StoredTokenizer:
    """What a ``PreTrainedTokenizerFast`` of the directory would say of vocabulary and roles."""

    def __init__(self, directory: Path, roles: dict[str, str]) -> None:
        self.directory, self.roles = directory, roles
        self._added: dict[int, str] = {
            token["id"]: token["content"]
            for token in first_value(directory / "tokenizer.json", "added_tokens") or ()
        }

    @classmethod
    def of(cls, directory: Path) -> StoredTokenizer | None:
        """The tokenizer of a directory; ``None`` where transformers has to say what its files mean.

        That is where there are older files beside ``tokenizer.json`` which it would merge in, and
        where a role, or another token that the settings name, is none of the added tokens.
        """
        settings_file = directory / "tokenizer_config.json"
        if not (settings_file.is_file() and (directory / "tokenizer.json").is_file()):
            return None
        try:
            settings = read_json(settings_file)
            named = settings.get("added_tokens_decoder", {}).values()
            merged = ("special_tokens_map.json", "added_tokens.json")
            if "added_tokens_decoder" not in settings and any(
                (directory / name).exists() for name in merged
            ):
                return None
            roles = {
                role: _text(settings[f"{role}_token"])
                for role in ROLES
                if settings.get(f"{role}_token") is not None
            }
            found = cls(directory, roles)
            known = {*found._added.values()}
            wanted = {*roles.values(), *(token["content"] for token in named)}
        except (ValueError, KeyError, TypeError, AttributeError):  # damaged: to be told elsewhere
            return None
        return found if wanted <= known else None

    @cached_property
    def backend_tokenizer(self) -> Tokenizer:
        """As the file has it."""
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self.directory / "tokenizer.json"))

    @cached_property
    def _vocabulary(self) -> dict[str, int]:
        found: dict[str, int] = self.backend_tokenizer.get_vocab()
        return found

    def get_vocab(self) -> dict[str, int]:
        """Token -> id; not to be changed."""
        return self._vocabulary

    def strings(self, ids: Iterable[int]) -> dict[int, str]:
        """Id -> token, of those ids that are one; added ones are found without reading the rest."""
        wanted = set(ids)
        if not wanted <= self._added.keys():
            tokens = {index: self.backend_tokenizer.id_to_token(index) for index in wanted}
            return {index: token for index, token in tokens.items() if token is not None}
        return {index: self._added[index] for index in wanted}

    @property
    def pad_token_id(self) -> int | None:
        """Id of the padding token."""
        return None if "pad" not in self.roles else self.get_vocab()[self.roles["pad"]]


def _text(token: Any) -> str:
    """Of a token that is written as such, or with its settings."""
    text: str = token["content"] if isinstance(token, dict) else token
    if not isinstance(text, str):
        raise TypeError(f"{token!r} is no token")
    return text
