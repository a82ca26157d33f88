"""Registers every schema with Hydra's ConfigStore, under the group ``schema``.

An option's YAML file begins with ``/schema/<group>/<name>@_here_`` in its defaults list, so that
values are typed and unknown keys are refused. All of them are declared, see :mod:`franken.declare`.
"""

from collections.abc import Iterable

from hydra.core.config_store import ConfigStore

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
            store.store(group=f"schema/{group}", name=name, node=node, provider="franken")
            if not node.__module__.startswith("franken."):  # those of others have no YAML file
                store.store(group=group, name=name, node=node, provider=node.__module__)
