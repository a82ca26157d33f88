"""Configs of a grid's jobs are Hydra's own, composed once for each choice of options."""

from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from franken.cli.job_configs import JobConfigs
from franken.cli.paths import config_dir
from franken.config.register import register_schemas

register_schemas()
ASKED = ["+experiment=init/compare", "hydra.job.chdir=true", "hydra/job_logging=none"]
JOBS = [
    ["init_method=mean", "seed=1", "+experiment=init/compare"],
    ["init_method=mean", "seed=2", "+experiment=init/compare"],
    ["init_method=focus", "seed=2", "+experiment=init/compare", "init_method.temperature=0.5"],
    ["seed=3", "~logger", "+trainer.max_time=1", "data.languages=[tr]", "pack={name: other}"],
]


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoaderImpl]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture(scope="module")
def grid(loader: ConfigLoaderImpl) -> DictConfig:
    return loader.load_configuration("config", ASKED, run_mode=RunMode.MULTIRUN)


def counted(loader: ConfigLoaderImpl, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Overrides of each composition from now on."""
    seen: list[list[str]] = []
    compose = loader.load_configuration

    def load(*, overrides: list[str], **others: object) -> DictConfig:
        seen.append(overrides)
        return compose(overrides=overrides, **others)

    monkeypatch.setattr(loader, "load_configuration", load)
    return seen


def test_every_job_has_the_config_that_hydra_composes(
    loader: ConfigLoaderImpl, grid: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = [OmegaConf.to_container(loader.load_sweep_config(grid, job)) for job in JOBS]
    composed = counted(loader, monkeypatch)
    configs = JobConfigs(loader)
    found = [configs.load(grid, job) for job in JOBS]
    assert [OmegaConf.to_container(config) for config in found] == expected
    assert len(composed) == 3  # two jobs choose the same options
    assert OmegaConf.is_struct(found[0])
    assert all(config.hydra.job.chdir for config in found)


def test_a_config_that_was_looked_at_is_handed_over_once(
    loader: ConfigLoaderImpl, grid: DictConfig
) -> None:
    configs = JobConfigs(loader, most=1)
    looked_at = [configs.load(grid, job) for job in JOBS[:2]]
    run = [configs.load(grid, job) for job in JOBS[:2]]
    assert [a is b for a, b in zip(run, looked_at, strict=True)] == [True, False]
    assert run == looked_at
    assert configs.load(grid, JOBS[0]) is not run[0]  # a job's config is its own


def test_errors_are_hydras(loader: ConfigLoaderImpl, grid: DictConfig) -> None:
    with pytest.raises(HydraException):
        JobConfigs(loader).load(grid, ["init_method=nothing"])
    with pytest.raises(HydraException):
        JobConfigs(loader).load(grid, ["seeds=1"])
