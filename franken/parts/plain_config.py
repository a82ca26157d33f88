"""The fields of a config that a vocabulary changes, edited in the JSON file as it stands.

What stands in for ``PretrainedConfig`` and ``GenerationConfig`` where a known layout
(:mod:`franken.families.layouts`) tells the defaults of fields that a file leaves out: importing
them takes longer than exchanging a table. All other fields stay as they are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class PlainConfig:
    """Fields of a JSON file as attributes; what is set to anything new is written back."""

    def __init__(self, raw: Mapping[str, Any], defaults: Mapping[str, Any], file: str) -> None:
        vars(self).update({**defaults, **raw})
        self._raw, self._defaults, self._file = dict(raw), dict(defaults), file

    def changed(self) -> dict[str, Any]:
        """The content of the file with what was set since."""
        given = {name: value for name, value in vars(self).items() if name[0] != "_"}
        return {name: value for name, value in self._raw.items() if name[0] == "_"} | {
            name: value
            for name, value in given.items()
            if name in self._raw or value != self._defaults.get(name)
        }

    def save_pretrained(self, directory: str) -> None:
        """Write the file, as transformers formats it."""
        text = json.dumps(self.changed(), indent=2, sort_keys=True) + "\n"
        (Path(directory) / self._file).write_text(text, encoding="utf-8")


class PlainModelConfig(PlainConfig):
    """In the place of a ``PretrainedConfig`` of one text model."""

    def get_text_config(self) -> PlainModelConfig:
        """Itself."""
        return self
