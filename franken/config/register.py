"""Registers every schema with Hydra's ConfigStore, under the group ``schema``.

An option's YAML file begins with ``/schema/<group>/<name>@_here_`` in its defaults list, so that
values are typed and unknown keys are refused. Options that declare themselves come from
:mod:`franken.declare`.
"""

from collections.abc import Iterable

from hydra.core.config_store import ConfigStore

from franken.config import (
    base_model,
    data,
    eval_suite,
    pack,
    prompts,
    runtime,
    training,
)
from franken.config.root import Config
from franken.declare import GROUPS, options

SCHEMAS: dict[str, dict[str, type]] = {
    "base_model": {"load": base_model.LoadedModel, "pretrain": base_model.PretrainedModel},
    "data": {"microworld": data.MicroworldData, "files": data.FileData},
    "eval_set": {"set": data.EvaluationSource},
    "training": {"set": training.TrainingSet},
    "pack": dict(pack.OPTIONS),
    "prompts": dict(prompts.OPTIONS),
    "eval_suite": {"suite": eval_suite.EvalSuiteConfig, "lm_eval": eval_suite.LmEvalSuite},
    "recipe": {"recipe": runtime.RecipeConfig},
    "trainer": {"trainer": runtime.TrainerConfig},
    "logger": {"logger": runtime.LoggerConfig, "wandb": runtime.WandbLogger},
}
"""Group -> schema name -> class."""


def register_schemas(groups: Iterable[str] = GROUPS) -> None:
    """Fill the ConfigStore; safe to call more than once.

    Args:
        groups: whose declared options are wanted; what is common is always there.
    """
    store = ConfigStore.instance()
    # Hydra copies its sources, and with them every schema, whenever it composes or lists options.
    # The store is a singleton whose nodes are copied when they are read: one is enough.
    vars(store)["__deepcopy__"] = lambda memo: store
    known = vars(store).setdefault("franken_options", {})  # 150 schemas take a third of a second
    if not known:
        store.store(name="root_schema", node=Config, provider="franken")
        for group, schemas in SCHEMAS.items():
            for name, node in schemas.items():
                store.store(group=f"schema/{group}", name=name, node=node, provider="franken")
    for group in groups:
        if known.get(group) == options(group):
            continue
        known[group] = options(group)
        for name, option in known[group].items():
            store.store(group=f"schema/{group}", name=name, node=option, provider="franken")
            if not option.__module__.startswith("franken."):  # those of others have no YAML file
                store.store(group=group, name=name, node=option, provider=option.__module__)
