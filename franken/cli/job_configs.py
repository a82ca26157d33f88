"""The configs of a grid's jobs, composed no more often than their options differ.

Hydra composes every job from its files, half a second each, once to see whether it can be and once
to run it. Jobs that choose the same options differ in values alone, and these are put into what was
composed after all options, as Hydra puts them.
"""

from copy import deepcopy
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl, get_overrides_dirname
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf


class JobConfigs:
    """Takes the place of a loader's ``load_sweep_config``."""

    def __init__(self, loader: ConfigLoaderImpl, most: int = 32) -> None:
        """Compose with ``loader``.

        Args:
            loader: Hydra's.
            most: how many configs that were looked at are kept for the run, and how many
                compositions for further jobs; each takes a megabyte or two.
        """
        self._loader = loader
        self._most = most
        self._composed: dict[tuple[str, ...], DictConfig] = {}
        self._looked_at: dict[tuple[str, ...], DictConfig] = {}

    def load(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        """The config of a job, its own; errors are Hydra's.

        Args:
            master_config: of the grid.
            sweep_overrides: of the job.
        """
        job = tuple(sweep_overrides)
        if job in self._looked_at:
            return self._looked_at.pop(job)
        config = self._derive(master_config, [*sweep_overrides])
        if len(self._looked_at) < self._most:
            self._looked_at[job] = config
        return config

    def _derive(self, master_config: DictConfig, sweep_overrides: list[str]) -> DictConfig:
        asked: Any = OmegaConf.to_container(master_config.hydra.overrides.hydra)
        parsed = OverridesParser.create().parse_overrides([*asked, *sweep_overrides])
        config = deepcopy(self._options(master_config, [o for o in parsed if self._chooses(o)]))
        values = [override for override in parsed if not self._chooses(override)]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        own = [override for override in parsed if not override.is_hydra_override()]
        config.hydra.overrides.hydra = [o.input_line for o in parsed if o.is_hydra_override()]
        config.hydra.overrides.task = [override.input_line for override in own]
        shown = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = get_overrides_dirname(
            overrides=own, kv_sep=shown.kv_sep, item_sep=shown.item_sep,
            exclude_keys=shown.exclude_keys,
        )  # fmt: skip
        OmegaConf.copy_cache(from_config=master_config, to_config=config)
        return config

    def _options(self, master_config: DictConfig, chosen: list[Override]) -> DictConfig:
        lines = [str(override.input_line) for override in chosen]
        known = self._composed.get(tuple(lines))
        if known is None:
            known = self._loader.load_configuration(
                config_name=master_config.hydra.job.config_name, overrides=lines,
                run_mode=RunMode.RUN,
            )  # fmt: skip
            if len(self._composed) >= self._most:
                self._composed.pop(next(iter(self._composed)))
            self._composed[tuple(lines)] = known
        return known

    def _chooses(self, override: Override) -> bool:
        """Whether it chooses an option of a group; a mapping for a group's name is a value."""
        is_group = self._loader.repository.group_exists(override.key_or_group)
        return is_group and not isinstance(override.value(), dict)
