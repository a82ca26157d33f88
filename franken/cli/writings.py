"""Configs written as YAML by libyaml, which most builds of PyYAML have.

Hydra writes three files per job and one per grid: in Python a twentieth of a grid whose steps are
all stored.
"""

from typing import Any

import yaml
from omegaconf import omegaconf
from omegaconf._utils import get_omega_conf_dumper


def write_by_libyaml() -> None:
    """From now on this process writes configs so.

    The text is that of OmegaConf's own writer, but that signs beyond Unicode's first plane are
    escaped.
    """
    if not yaml.__with_libyaml__:
        return

    known = get_omega_conf_dumper()

    class Dumper(yaml.CDumper):
        yaml_representers = known.yaml_representers
        yaml_multi_representers = known.yaml_multi_representers

    patched: Any = omegaconf
    patched.get_omega_conf_dumper = lambda: Dumper
