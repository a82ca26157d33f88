"""Configs are copied, merged and written as OmegaConf itself does it; options are read once."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from omegaconf import DictConfig, ListConfig, OmegaConf, omegaconf
from omegaconf.base import Node

from franken.cli import compositions, readings
from franken.cli.paths import config_dir
from franken.cli.readings import read_options_once
from franken.cli.walks import walk_through_configs_so
from franken.cli.writings import write_by_libyaml
from franken.config.register import register_schemas

register_schemas()
OWN = DictConfig.__deepcopy__, ListConfig.__deepcopy__, DictConfig._re_parent, ListConfig._re_parent


class Colour(Enum):
    red = 1


@dataclass
class Inner:
    sizes: list[int] = field(default_factory=lambda: [1, 2])
    either: int | str = 3
    colour: Colour = Colour.red
    nothing: dict[str, float] | None = None


@dataclass
class Outer:
    inner: Inner = field(default_factory=Inner)
    needed: str = "???"
    same: int = "${inner.sizes.0}"  # type: ignore[assignment]
    free: Any = None
    sub: Inner | None = "${inner}"  # type: ignore[assignment]


@pytest.fixture(autouse=True)
def hydras_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that other tests have composed or read before."""
    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", compositions._hydras_own)
    monkeypatch.setattr(ConfigRepository, "load_config", readings._hydras_own)


@pytest.fixture
def walking(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind, (copy, tell) in {DictConfig: (0, 2), ListConfig: (1, 3)}.items():
        monkeypatch.setattr(kind, "__deepcopy__", OWN[copy])  # put back afterwards
        monkeypatch.setattr(kind, "_re_parent", OWN[tell])
    walk_through_configs_so()


def example() -> DictConfig:
    config = OmegaConf.structured(Outer)
    config.free = {"a": [{"b": None}, "${same}"], "c": b"bytes"}
    OmegaConf.set_struct(config, True)
    OmegaConf.set_readonly(config.free.a, True)
    assert isinstance(config, DictConfig)
    return config


def composed() -> DictConfig:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        return compose("config", ["+experiment=quickstart", "seed=3"], return_hydra_config=True)


def described(node: Node | None, parent: Node | None) -> Any:
    """All that a node is, and all below it; that it knows its parent."""
    if node is None:
        return None
    assert node._get_parent() is parent
    meta = {**vars(node._metadata), "resolver_cache": list(node._metadata.resolver_cache)}
    own = {k: v for k, v in vars(node).items() if k not in ("_metadata", "_parent", "_content")}
    own.pop("_flags_cache")
    content = vars(node).get("_content")
    if isinstance(content, dict):
        content = {key: described(value, node) for key, value in content.items()}
    elif isinstance(content, list):
        content = [described(value, node) for value in content]
    elif isinstance(content, Node):
        content = described(content, node)
    return type(node), meta, own, content


def nodes(config: Any) -> Iterator[Any]:
    yield config
    content = vars(config).get("_content")
    below = content.values() if isinstance(content, dict) else content
    for node in below if isinstance(content, dict | list) else ():
        yield from nodes(node)


@pytest.mark.parametrize("make", [example, composed])
def test_a_copy_is_omegaconfs(make: Any, request: pytest.FixtureRequest) -> None:
    config = make()
    expected = described(deepcopy(config), None)
    request.getfixturevalue("walking")
    copy = deepcopy(config)
    assert described(copy, None) == expected
    assert not {id(node) for node in nodes(copy)} & {id(node) for node in nodes(config)}


@pytest.mark.usefixtures("walking")
def test_a_copy_is_its_own() -> None:
    config = example()
    copy = deepcopy(config)
    copy.inner.sizes.append(9)
    OmegaConf.set_readonly(copy.free.a, False)
    copy.free.a[0].b = 5
    assert config.inner.sizes == [1, 2]
    assert config.free.a[0].b is None
    assert OmegaConf.is_readonly(config.free.a[0])
    assert copy.same == 1
    assert copy.inner._get_parent() is copy
    assert deepcopy(config.inner)._get_parent() is config  # as that of OmegaConf


def test_options_are_merged_as_before(request: pytest.FixtureRequest) -> None:
    expected = described(composed(), None)
    request.getfixturevalue("walking")
    assert described(composed(), None) == expected


def test_an_option_is_read_once_and_a_config_is_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    own, read = readings._hydras_own, []

    def load(repository: ConfigRepository, config_path: str) -> Any:
        found = own(repository, config_path)
        if found is not None and found.path.startswith("file:"):
            read.append(config_path)
        return found

    monkeypatch.setattr(readings, "_hydras_own", load)
    expected = OmegaConf.to_container(composed())
    read_options_once()
    first = composed()
    once = list(read)
    assert len(set(once)) == len(once) > 10
    first.vocab.size, first.data.languages = 1, []
    assert OmegaConf.to_container(composed()) == expected
    assert read == once


@pytest.mark.parametrize("own", [True, False], ids=["OmegaConf's", "ours"])
def test_nodes_that_learn_their_parents_ask_for_flags_anew(
    own: bool, request: pytest.FixtureRequest
) -> None:
    if not own:
        request.getfixturevalue("walking")
    config = example()
    assert not OmegaConf.is_readonly(config.inner.sizes)  # from now on it knows
    config.inner._metadata.flags["readonly"] = True
    config._re_parent()
    assert OmegaConf.is_readonly(config.inner.sizes)


@pytest.mark.parametrize("make", [example, composed])
def test_configs_are_written_as_omegaconf_writes_them(
    make: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = make()
    expected = OmegaConf.to_yaml(config)
    monkeypatch.setattr(omegaconf, "get_omega_conf_dumper", omegaconf.get_omega_conf_dumper)
    write_by_libyaml()
    assert issubclass(omegaconf.get_omega_conf_dumper(), yaml.CDumper)
    assert OmegaConf.to_yaml(config) == expected
