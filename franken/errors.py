"""The project's errors: each message says what was asked, what was found, and what to do."""

import difflib
from collections.abc import Iterable


class FrankenError(Exception):
    """Base of every error that franken raises on purpose.

    Raised as itself where nothing that was given is at fault: a training that diverges, a run that
    ended before its last step. Start the same command again, or change what the message names.
    """


class ConfigError(FrankenError):
    """A config key, value, option, argument or reference is wrong.

    The message has the key as it is typed (``training.adaptation.lr``, or the argument of a
    function), what it holds, what is valid, and the nearest valid name. Nothing was started.
    """


class DataError(FrankenError):
    """A data file, data set or argument does not have the promised form, or is missing.

    The message names the file and line, or the argument (``texts=``, ``lexicon=``), and the form
    that is expected. Mend the data, name another source, or leave the language out.
    """


class ArtifactError(FrankenError):
    """A stored artefact is damaged, missing or of the wrong kind.

    The message names the file. ``python -m franken.store verify`` looks at all of them; what is
    removed is made again by the next run. Checkpoints of others: download them anew.
    """


class CompatibilityError(FrankenError):
    """Two parts do not fit: a table on a foreign body, another hidden size, another tokenizer.

    The message names both and what each has. Parts only go together where they descend from one
    base model; make the table, pack or delta for the model that it shall be used on.
    """


def did_you_mean(word: str, valid: Iterable[str]) -> str:
    """`` Did you mean 'swap'?``, where a valid name is near to ``word``; else nothing."""
    close = difflib.get_close_matches(word, list(valid), n=2)
    return f" Did you mean {' or '.join(map(repr, close))}?" if close else ""
