"""Errors by what they name: the class, and the keys, paths and values, not the English."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import pytest

from franken.config.checks import collect_faults, faults_later
from franken.errors import FrankenError, did_you_mean

E = TypeVar("E", bound=BaseException)


def faults_of(cls: Any, **values: Any) -> dict[str, str]:
    """Key -> message of everything wrong with these values."""
    with faults_later():
        return {fault.key: fault.message for fault in collect_faults(cls(**values))}


@contextmanager
def raises(cls: type[E] | tuple[type[E], ...], *names: object) -> Iterator[pytest.ExceptionInfo[E]]:
    """Expect an error of ``cls`` whose message names all of ``names``: keys, paths, values.

    A name stands alone: ``12`` is not in ``112``, nor ``vocab.size`` in ``vocab.sizes``. The
    class alone says too little where franken has five of them, so its own errors need names.
    """
    ours = isinstance(cls, type) and issubclass(cls, FrankenError)
    assert names or not ours, "say which key, path or value this very case names"
    with pytest.raises(cls) as caught:
        yield caught
    message = str(caught.value)
    # the error's traceback holds this frame: a circle would keep files open that it left half read
    del caught
    missing = unnamed(message, *names)
    assert not missing, f"{missing} not named in: {message}"


def unnamed(message: object, *names: object) -> list[str]:
    """Those of ``names`` that do not stand in the message."""
    return [str(name) for name in names if not _stands(str(name), str(message))]


def nearest(name: str) -> str:
    """How a message offers ``name``, alone or first, in the place of a mistyped one."""
    return did_you_mean(name, [name]).strip(" ?")


def _stands(name: str, text: str) -> bool:
    before = r"(?<!\w)" if re.match(r"\w", name) else ""
    after = r"(?!\w)" if re.search(r"\w$", name) else ""
    return re.search(before + re.escape(name) + after, text) is not None
