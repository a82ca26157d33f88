"""Option files that a process reads once, however often it composes a config of them.

Schemas are asked for anew: what is registered may change.
"""

from copy import copy, deepcopy
from typing import Any

from hydra._internal.config_repository import ConfigRepository
from hydra.plugins.config_source import ConfigResult

_hydras_own = ConfigRepository.load_config


def read_options_once() -> None:
    """From now on Hydra's repositories give copies of what any of them has read."""
    known: dict[tuple[Any, ...], ConfigResult] = {}

    def load(repository: ConfigRepository, config_path: str) -> ConfigResult | None:
        sources = ((source.scheme(), source.path) for source in repository.get_sources())
        key = (config_path, *sources)
        if key in known:
            return _copied(known[key])
        found = _hydras_own(repository, config_path)
        if found is None or found.path.startswith("structured:"):
            return found
        known[key] = found
        return _copied(found)

    patched: Any = ConfigRepository
    patched.load_config = load


def _copied(known: ConfigResult) -> ConfigResult:
    made = copy(known)
    made.config, made.header = deepcopy(known.config), dict(known.header)
    made.defaults_list = [copy(default) for default in known.defaults_list or ()]
    return made
