"""Finds every fault of a command line and of the config that it composes, before any work.

Hydra stops at the first fault; a person who mistyped three keys wants to hear of three. So the
config is composed of the sound options, the values are put into it one by one, as Hydra would, and
the dataclasses and the graph of what comes out are asked for faults.
"""

from collections.abc import Iterable
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from franken.cli.launchers import launcher_faults, quiet_about_presets
from franken.config.checks import Fault, collect_faults, faults_later, hint
from franken.config.root import Config
from franken.config.trainer import SET_BY_FRANKEN

JOB_NAME = "__main__"
"""As Hydra names what ``python -m franken`` runs; a job's config has it."""


def check_command_line(overrides: list[str], conf: Path, extra: str | None = None) -> list[Fault]:
    """Every fault of these overrides; an empty list means that the job can start."""
    return judge_command_line(overrides, conf, extra).faults


class Verdict(NamedTuple):
    """What is to be said of a command line."""

    faults: list[Fault]
    config: Config | None
    """Of the (first) job, where it could be composed."""
    hydra: DictConfig | None
    """Hydra's own part of it: directories, launcher, sweeper."""
    swept: list[str]
    """Keys that are given several values on the command line."""

    @property
    def grid(self) -> bool:
        """Whether the config itself asks for a grid, as ``-m`` does."""
        return self.hydra is not None and self.hydra.mode == RunMode.MULTIRUN


def judge_command_line(overrides: list[str], conf: Path, extra: str | None = None) -> Verdict:
    """Every fault of these overrides, and what they compose.

    Args:
        overrides: as typed, e.g. ``["+experiment=quickstart", "seed=0,1"]``.
        conf: the config directory.
        extra: a further config directory (``--config-dir``).
    """
    quiet_about_presets()
    with initialize_config_dir(str(conf), version_base="1.3", job_name=JOB_NAME):
        if extra is not None:  # as Hydra's own entry does; sources are read when it is created
            search = create_config_search_path(str(conf))
            before = SearchPathQuery(provider="schema")
            search.prepend("command-line", f"file://{Path(extra).resolve()}", before)
            GlobalHydra.instance().clear()
            Hydra.create_main_hydra2(JOB_NAME, search)
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None
        checker = _Checker(hydra.config_loader)
        faults = checker.check(overrides)
        return Verdict(faults, checker.config, checker.hydra, checker.swept)


class _Checker:
    def __init__(self, loader: ConfigLoader) -> None:
        assert isinstance(loader, ConfigLoaderImpl)
        self.repository = loader.repository
        self._known: dict[str, list[str]] = {}
        self.config: Config | None = None
        self.hydra: DictConfig | None = None
        self.swept: list[str] = []
        self.parser = OverridesParser.create(config_loader=loader)

    def check(self, overrides: list[str]) -> list[Fault]:
        typed, faults = self._parse(overrides)
        self.swept = [o.key_or_group for o in typed if o.is_sweep_override()]
        options = self._sound(typed, faults)
        try:
            config = compose("config", overrides=options, return_hydra_config=True)
            swept, more = self._parse(_sweep_params(config))
            faults += more
            chosen = {override.key_or_group for override in typed}
            swept = [o for o in swept if o.key_or_group not in chosen]
            sweep = self._sound(swept, faults)
            values = [o for o in (*swept, *typed) if not self._is_group(o)]
            faults += self._put(values, config)
            if sweep and not faults:  # once more, with what the first job of the sweep chooses
                config = compose("config", overrides=[*options, *sweep], return_hydra_config=True)
                faults += self._put(values, config)
        except (HydraException, OmegaConfBaseException) as error:
            return [*faults, Fault("config", _plain(error))]
        return faults or self._faults_of(config)

    def _sound(self, overrides: Iterable[Override], faults: list[Fault]) -> list[str]:
        """Those that choose an option, each with its first choice; what is wrong joins faults."""
        sound = []
        for override in filter(self._is_group, overrides):
            fault = self._group_fault(override)
            if fault is None:
                sound.append(_first_choice(override))
            else:
                faults.append(fault)
        return sound

    def _put(self, values: Iterable[Override], config: DictConfig) -> list[Fault]:
        faults = [self._value_fault(override, config) for override in values]
        return [fault for fault in faults if fault is not None]

    def _parse(self, overrides: Iterable[str]) -> tuple[list[Override], list[Fault]]:
        parsed: list[Override] = []
        faults: list[Fault] = []
        for text in overrides:
            try:
                parsed += self.parser.parse_overrides([text])
            except HydraException as error:
                faults.append(Fault(text, f"is no override, which is KEY=VALUE: {_plain(error)}"))
        return parsed, faults

    def _is_group(self, override: Override) -> bool:
        key = override.key_or_group
        return not key.startswith("schema") and bool(self._options(key))

    def _group_fault(self, override: Override) -> Fault | None:
        group = override.key_or_group
        if override.is_delete():
            return None
        valid = self._options(group)
        for choice in _choices(override):
            if choice is None or f"{choice}" in valid:
                continue
            return Fault(group, f"{choice!r} is no option.{hint(str(choice), valid)}")
        if group == "experiment" and not override.is_add():
            return Fault("experiment", f"write +experiment={_choices(override)[0]} (with a plus)")
        return None

    def _options(self, group: str) -> list[str]:
        """Options of a group, nested ones as ``paper/name``.

        Asks the loader's own repository: its ``get_group_options`` copies all schemas per call.
        """
        if group not in self._known:
            names = list(self.repository.get_group_options(group, ObjectType.CONFIG))
            for child in self.repository.get_group_options(group, ObjectType.GROUP):
                names += [f"{child}/{name}" for name in self._options(f"{group}/{child}")]
            self._known[group] = names
        return self._known[group]

    def _value_fault(self, override: Override, config: DictConfig) -> Fault | None:
        """What is wrong with a value. Where nothing is, the config has it, a sweep's first one."""
        key = override.key_or_group
        if override.is_add() or override.is_force_add():
            return self._added_fault(override, config)
        fault = _missing_key(key, config)
        if fault is not None:
            return fault
        if override.is_delete():
            try:
                ConfigLoaderImpl._apply_overrides_to_config([override], config)
            except (HydraException, OmegaConfBaseException) as error:
                return Fault(key, _plain(error))
            return None
        for value in reversed(_choices(override)):
            try:
                OmegaConf.update(config, key, value, merge=True)
            except (OmegaConfBaseException, ValueError, TypeError) as error:
                return Fault(key, f"cannot be {value!r}: {_plain(error)}")
        return None

    def _added_fault(self, override: Override, config: DictConfig) -> Fault | None:
        fault = _foreign_key(override.key_or_group, config)
        if fault is not None:
            return fault
        try:
            first = self.parser.parse_overrides([_first_choice(override)])
            ConfigLoaderImpl._apply_overrides_to_config(first, config)
        except (HydraException, OmegaConfBaseException) as error:
            group = override.key_or_group.partition(".")[0]
            how = f"write it into an option file of your own, {group}/NAME.yaml under --config-dir"
            return Fault(override.key_or_group, f"cannot be added here ({_plain(error)}); {how}")
        return None

    def _faults_of(self, composed: DictConfig) -> list[Fault]:
        self.hydra = composed.hydra
        launcher = str(OmegaConf.select(composed, "hydra.launcher._target_"))
        with open_dict(composed):
            del composed["hydra"]
        try:
            config = self.config = to_config(composed)
        except OmegaConfBaseException as error:
            key = getattr(error, "full_key", None) or "config"
            return [Fault(str(key), _plain(error))]
        return [*launcher_faults(launcher, config.sweep), *config_faults(config)]


def config_faults(config: Config) -> list[Fault]:
    """What the dataclasses and the graph find wrong, each fault once."""
    from franken.recipe import graph_faults

    own = {name: value for name, value in vars(config).items() if name != "recipe"}
    faults = [Fault(key, message) for key, message in config.faults()]
    faults += collect_faults(own)
    return list(dict.fromkeys([*faults, *graph_faults(config)]))


def to_config(composed: DictConfig) -> Config:
    """The dataclasses behind a composed config, interpolations resolved."""
    with faults_later():
        config = OmegaConf.to_object(composed)
    assert isinstance(config, Config)
    return config


def _choices(override: Override) -> list[Any]:
    if override.is_sweep_override():
        return [_unquote(choice) for choice in override.sweep_string_iterator()]
    value = override.value()
    return [value]


def _unquote(choice: Any) -> Any:
    text = str(choice)
    parsed = OverridesParser.create().parse_override(f"key={text}").value()
    return parsed


def _first_choice(override: Override) -> str:
    if not override.is_sweep_override():
        return override.input_line or ""
    first = next(iter(override.sweep_string_iterator()))
    return f"{override.get_key_element()}={first}"


def _sweep_params(base: DictConfig) -> list[str]:
    params = OmegaConf.select(base, "hydra.sweeper.params")
    return [f"{key}={value}" for key, value in (params or {}).items()]


def _missing_key(key: str, base: DictConfig) -> Fault | None:
    node: Any = base
    walked: list[str] = []
    for name in key.split("."):
        if not OmegaConf.is_config(node):
            return Fault(key, f"does not exist: {'.'.join(walked)} is a single value")
        if OmegaConf.is_dict(node) and name not in node:
            return Fault(key, _absent(walked, name, node))
        node = node[int(name)] if OmegaConf.is_list(node) else node._get_node(name)
        if hasattr(node, "_is_interpolation") and node._is_interpolation():
            return None
        walked.append(name)
    return None


def _foreign_key(key: str, base: DictConfig) -> Fault | None:
    """A key that would be added to a dataclass, where Hydra accepts it and nobody reads it."""
    node: Any = base
    walked: list[str] = []
    for name in key.split("."):
        if key.startswith("hydra.") or node._is_none() or OmegaConf.is_list(node):
            return None
        if not OmegaConf.is_dict(node):
            return Fault(key, f"does not exist: {'.'.join(walked)} is a single value")
        if name not in node:
            if not is_dataclass(OmegaConf.get_type(node)):
                return None  # a mapping takes any key
            return Fault(key, _absent(walked, name, node))
        node = node._get_node(name)
        walked.append(name)
    return None


def _absent(walked: list[str], name: str, node: DictConfig) -> str:
    if walked == ["trainer"] and name in SET_BY_FRANKEN:
        return f"is set by franken; use {SET_BY_FRANKEN[name]}"
    known = [str(k) for k in node if str(k) != "hydra"]
    where = f"{'.'.join(walked)} has" if walked else "The config has"
    return f"does not exist.{hint(name, known, what=where)}"


def _plain(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    kept = [x for x in lines if not x.startswith(("full_key:", "object_type=", "reference_type="))]
    return " ".join(kept)
