"""Configs as of a command line, composed once for the options that are chosen."""

import re
from copy import deepcopy
from functools import cache

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig

from franken.cli.check import to_config
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.config.root import Config


def compose_config(*overrides: str) -> Config:
    """The config of a job. Values are put into it as Hydra does, after all options."""
    options = tuple(filter(_chooses_an_option, overrides))
    config = deepcopy(_composed(options))
    values = [text for text in overrides if text not in options]
    parsed = OverridesParser.create().parse_overrides(values)
    ConfigLoaderImpl._apply_overrides_to_config(parsed, config)
    return to_config(config)


@cache
def _composed(options: tuple[str, ...]) -> DictConfig:
    register_schemas()
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config", overrides=list(options))


def _chooses_an_option(override: str) -> bool:
    found = re.match(r"[+~]*([\w/]+)(@[\w.]+)?=", override)
    return found is not None and (config_dir() / found[1]).is_dir()
