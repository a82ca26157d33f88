"""Options by name: the values of the command line's option, changed by keyword, checked."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from franken.config.checks import checked, faults_later, hint
from franken.errors import ConfigError


def options(group: str, name: str, /, **values: Any) -> Any:
    """The options that ``group=name`` has on the command line, some of them changed.

    Args:
        group: a config group, e.g. ``init_method``, ``vocab``, ``pack``, ``word_vectors``.
        name: one of its options, e.g. ``focus``.
        values: fields by name; nested ones as mappings.

    Returns:
        A dataclass of the group.

    Raises:
        ConfigError: for an unknown option or field (the nearest name is given), and for values that
            the command line refuses too; all of them at once.
    """
    return chosen(group, name, values, f"{group}={name}")


def chosen(group: str, what: Any, values: Mapping[str, Any], where: str) -> Any:
    """Options from a name, a mapping with a ``name``, or a dataclass that is ready.

    Args:
        group: the config group.
        what: the option.
        values: fields that are changed.
        where: what the caller knows this as, for messages.

    Raises:
        ConfigError: as :func:`options`; also for ``values`` beside a finished dataclass.
    """
    if is_dataclass(what) and not isinstance(what, type):
        if values:
            raise ConfigError(
                f"{where}: {', '.join(values)} beside a finished {type(what).__name__}; set it "
                "there, or name the option by its string"
            )
        return checked(what, where)
    if isinstance(what, Mapping):
        values = {**what, **values}
        what = values.pop("name", "")
    return checked(_merged(_named(group, str(what), where), values, where), where)


def _named(group: str, name: str, where: str) -> Any:
    """What ``group=name`` is before anything is changed; a declaration says it all."""
    from omegaconf import OmegaConf

    from franken.declare import GROUPS
    from franken.declare import options as declared

    if group in GROUPS and name in declared(group):
        return OmegaConf.structured(declared(group)[name])
    return _composed(group, name, where)


def _composed(group: str, name: str, where: str) -> Any:
    """An option that people wrote as a file."""
    from hydra import compose, initialize_config_dir

    from franken.cli.paths import config_dir
    from franken.config.register import register_schemas
    from franken.declare import GROUPS

    register_schemas({group} & set(GROUPS), common=group not in GROUPS)
    with initialize_config_dir(str(config_dir()), version_base="1.3", job_name="library"):
        known = _names(group)
        if name not in known:
            raise ConfigError(f"{where}: {group} has no option {name!r}.{hint(name, known)}")
        return compose(overrides=[f"+{group}={name}"])[group]


def typed(schema: Any, values: Mapping[str, Any], where: str) -> Any:
    """A dataclass with these values, checked as :func:`options` does.

    Raises:
        ConfigError: for an unknown field, or a value out of range.
    """
    from omegaconf import OmegaConf

    return checked(_merged(OmegaConf.structured(schema), values, where), where)


def _merged(node: Any, values: Mapping[str, Any], where: str) -> Any:
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    node._set_parent(None)  # keys of messages then begin inside the group
    unknown = [key for key in values if key not in node]
    if unknown:
        names = list(map(str, node))
        raise ConfigError(
            "\n".join(f"{where}: {key}: does not exist.{hint(key, names)}" for key in unknown)
        )
    try:
        with faults_later():  # what calls this checks it, and names the caller
            return OmegaConf.to_object(OmegaConf.merge(node, _plain(values)))
    except OmegaConfBaseException as error:
        message = f"{where}: {error.full_key or error.key}: {str(error).splitlines()[0]}"
        raise ConfigError(message) from error


def _names(group: str) -> list[str]:
    from hydra.core.global_hydra import GlobalHydra

    return list(GlobalHydra.instance().config_loader().get_group_options(group))


def _plain(value: Any) -> Any:
    """Nested dataclasses as mappings, so that a part of them can be changed."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value
