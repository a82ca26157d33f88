"""Configs composed no more often in one process than their options differ.

Hydra composes anew, a third of a second each, whenever it needs a config: when a command is
checked, to learn its mode, for a grid, and twice for each of its jobs. Those that choose the same
options differ in values alone, and these are put into a copy of what was composed, as Hydra puts
them.
"""

import os
from collections.abc import Iterable
from copy import deepcopy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime
from hydra.types import RunMode
from omegaconf import DictConfig, open_dict

from franken.cli.readings import read_options_once

_hydras_own = ConfigLoaderImpl._load_configuration_impl


class Compositions:
    """What was composed, by the files that it was read from and the options that were chosen."""

    def __init__(self, most: int = 32) -> None:
        """Remember no more than ``most``; each takes a megabyte or two."""
        self._most = most
        self._known: dict[Any, DictConfig] = {}

    def load(
        self,
        loader: ConfigLoaderImpl,
        config_name: str | None,
        overrides: list[str],
        run_mode: RunMode,
        from_shell: bool = True,
        validate_sweep_overrides: bool = True,
    ) -> DictConfig:
        """As a loader's own ``_load_configuration_impl``; errors are Hydra's."""
        parsed = OverridesParser.create().parse_overrides(overrides)
        if any(override.get_key_element() == "hydra.searchpath" for override in parsed):
            return _hydras_own(
                loader, config_name, overrides, run_mode, from_shell, validate_sweep_overrides
            )
        if validate_sweep_overrides:
            loader.validate_sweep_overrides_legal(parsed, run_mode, from_shell)
        placed = [override for override in parsed if not override.is_sweep_override()]
        chosen: list[Override] = []
        values: list[Override] = []
        for override in placed:
            (chosen if _chooses(override, loader) else values).append(override)
        config = deepcopy(self._options(loader, config_name, chosen, run_mode))
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        _tell(config, parsed)
        return config

    def _options(
        self,
        loader: ConfigLoaderImpl,
        config_name: str | None,
        chosen: Iterable[Override],
        run_mode: RunMode,
    ) -> DictConfig:
        """The config of these options alone.

        What is added keeps its order, which counts. A grid's config leaves out what a job must
        choose; where a job could be composed nothing was left out, and the two are equal.
        """
        added = [str(o.input_line) for o in chosen if o.is_add()]
        others = sorted(str(o.input_line) for o in chosen if not o.is_add())
        sources = ((source.scheme(), source.path) for source in loader.get_sources())
        asked = (*sources, JobRuntime.instance().get("name"), config_name, *added)
        key = (RunMode.RUN, asked, *others)
        if key not in self._known:
            key = (run_mode, asked, *others)
        known = self._known.pop(key, None) or self._with_these_chosen(asked, others)
        if known is None:
            known = _hydras_own(loader, config_name, [*added, *others], run_mode, False, False)
        self._known[key] = known
        if len(self._known) > self._most:
            self._known.pop(next(iter(self._known)))
        return known

    def _with_these_chosen(self, asked: Any, others: list[str]) -> DictConfig | None:
        """A config in which the options stand that are asked for besides what it was asked for."""
        for (mode, known_asked, *known_others), config in self._known.items():
            if (mode, known_asked) == (RunMode.RUN, asked) and set(known_others) <= set(others):
                choices = config.hydra.runtime.choices
                further = (line.split("=", 1) for line in set(others).difference(known_others))
                if all(len(line) == 2 and choices.get(line[0]) == line[1] for line in further):
                    return config
        return None


def share_compositions(compositions: Compositions | None = None) -> None:
    """From now on every loader of this process takes what any of them has composed.

    Args:
        compositions: where they are kept, by default in new ones.
    """
    load = (compositions or Compositions()).load
    read_options_once()
    patched: Any = ConfigLoaderImpl
    patched._load_configuration_impl = lambda loader, **asked: load(loader, **asked)


def _chooses(override: Override, loader: ConfigLoaderImpl) -> bool:
    """Whether it chooses an option of a group; a mapping for a group's name is a value."""
    is_group = loader.repository.group_exists(override.key_or_group)
    return is_group and not isinstance(override.value(), dict)


def _tell(config: DictConfig, overrides: list[Override]) -> None:
    """Enter what a config was composed of where Hydra enters it."""
    own = [override for override in overrides if not override.is_hydra_override()]
    config.hydra.overrides.hydra = [o.input_line for o in overrides if o.is_hydra_override()]
    config.hydra.overrides.task = [override.input_line for override in own]
    with open_dict(config.hydra):
        for key in config.hydra.job.env_copy:
            config.hydra.job.env_set[key] = os.environ[key]
    config.hydra.runtime.cwd = os.getcwd()
    shown = config.hydra.job.config.override_dirname
    config.hydra.job.override_dirname = get_overrides_dirname(
        own, kv_sep=shown.kv_sep, item_sep=shown.item_sep, exclude_keys=shown.exclude_keys
    )
