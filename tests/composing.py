"""Configs as of a command line, composed once for the options that are chosen."""

from hydra import compose, initialize_config_dir

from franken.cli.check import to_config
from franken.cli.compositions import Compositions, share_compositions
from franken.cli.paths import config_dir
from franken.config.register import register_schemas
from franken.config.root import Config

_shared = Compositions(most=100)


def compose_config(*overrides: str) -> Config:
    """The config of a job."""
    register_schemas()
    share_compositions(_shared)
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return to_config(compose("config", overrides=list(overrides)))
