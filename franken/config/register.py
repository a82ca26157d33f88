"""Registers every schema with Hydra's ConfigStore, under the group ``schema``.

An option's YAML file begins with ``/schema/<group>/<name>@_here_`` in its defaults list, so that
values are typed and unknown keys are refused. All of them are declared, see :mod:`franken.declare`.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from hydra.core.config_store import ConfigNode, ConfigStore
from omegaconf import DictConfig, OmegaConf

from franken.config.root import Config
from franken.declare import GROUPS, preset_groups, schemas


def register_schemas(groups: Iterable[str] = GROUPS, *, common: bool = True) -> None:
    """Fill the ConfigStore; safe to call more than once.

    Args:
        groups: whose declared options are wanted.
        common: the root and the schemas of presets too, without which an option of ``groups``
            can be composed by itself alone.
    """
    store = ConfigStore.instance()
    # Hydra copies its sources, and with them every schema, whenever it composes or lists options.
    # The store is a singleton whose nodes are copied when they are read: one is enough.
    vars(store)["__deepcopy__"] = lambda memo: store
    known = vars(store).setdefault("franken_schemas", {})  # 150 schemas take a third of a second
    if common and "" not in known:
        known[""] = {}
        store.store(name="root_schema", node=Config, provider="franken")
    for group in dict.fromkeys((*(preset_groups() if common else ()), *groups)):
        if known.get(group) == schemas(group):
            continue
        known[group] = schemas(group)
        for name, node in known[group].items():
            _store_unread(store, f"schema/{group}", name, node)
            if not node.__module__.startswith("franken."):  # those of others have no YAML file
                store.store(group=group, name=name, node=node, provider=node.__module__)


def _store_unread(store: ConfigStore, group: str, name: str, schema: Any) -> None:
    """As ``ConfigStore.store``, but a schema becomes a config when it is read: most never are."""
    folder = store.repo
    for part in group.split("/"):
        folder = folder.setdefault(part, {})
    folder[f"{name}.yaml"] = _Schema(f"{name}.yaml", schema, group, None, "franken")


class _Schema(ConfigNode):
    """Hydra puts a copy of ``node`` into a copy of this, whose own then stands."""

    @property  # type: ignore[override]
    def node(self) -> DictConfig:
        own = self._own
        return own if isinstance(own, DictConfig) else _config_of(own)

    @node.setter
    def node(self, value: Any) -> None:
        self._own = value


@cache
def _config_of(schema: Any) -> DictConfig:
    config = OmegaConf.structured(schema)
    assert isinstance(config, DictConfig)
    return config
