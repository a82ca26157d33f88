"""The JSON form of large tokenizers, of which merges are most: half a million pairs for Gemma.

To parse them and to write them again takes seconds and hundreds of megabytes; who needs the pieces
alone, or all of it under a hash, does without.
"""

import hashlib
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

_MERGES = '"merges":'
_PAIRS = "[["
_END = "}}"


def parted(written: str) -> tuple[dict[str, Any], bytes]:
    """What a backend's ``to_str`` gives: parsed, with ``merges`` empty; and their JSON.

    The key cannot stand inside a text: a quote is escaped there. Merges end the model, which ends
    the file; where they do not, or are none, all is parsed and the second is empty.
    """
    start = written.find(f"{_MERGES}{_PAIRS}") + len(_MERGES)
    if start < len(_MERGES) or not written.endswith(f"]]{_END}"):
        return json.loads(written), b""
    # As bytes: one emoji makes every letter of a text take four of them.
    merges = written[start : -len(_END)].encode()
    return json.loads(f"{written[:start]}[]{_END}"), merges


def hash_parted(described: dict[str, Any], merges: bytes) -> str:
    """``franken.files.hash_json`` of what :func:`parted` gives, or of a part of it.

    ``to_str`` writes pairs as Python's ``json`` writes them, so their JSON is put in as it is.
    """
    text = json.dumps(described, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    head, key, tail = text.partition(f"{_MERGES}[]") if merges else (text, "", "")
    digest = hashlib.sha256(head.encode())
    for part in (key[: -len("[]")].encode(), merges, tail.encode()):
        digest.update(part)
    return digest.hexdigest()


def first_value(path: Path, wanted: str) -> Any:
    """The value of one key of a file's JSON object; what comes after it is not parsed."""
    text, decoder = path.read_text(encoding="utf-8"), json.JSONDecoder()
    at = text.index("{") + 1
    while (start := text.find('"', at)) >= 0:
        key, at = decoder.raw_decode(text, start)
        colon = re.compile(r"\s*:\s*").match(text, at)
        if colon is None:
            return None
        value, at = decoder.raw_decode(text, colon.end())
        if key == wanted:
            return value
    return None


def wrapped(backend: "Tokenizer", **settings: Any) -> "PreTrainedTokenizerFast":
    """A tokenizer of transformers around this very backend, which nobody else has.

    The class takes a deep copy of what it is given, for half of the time.
    """
    from transformers import PreTrainedTokenizerFast

    setattr(backend, "__deepcopy__", lambda memo: backend)  # noqa: B010 - no attribute of the stub
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **settings)
    delattr(backend, "__deepcopy__")
    return tokenizer
