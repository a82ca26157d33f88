"""Configs are Hydra's own, composed once for each choice of options."""

from collections.abc import Iterator
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from franken.cli import compositions
from franken.cli.compositions import Compositions, share_compositions
from franken.cli.paths import config_dir
from franken.config.register import register_schemas

register_schemas()
ASKED = ["+experiment=init/compare", "hydra.job.chdir=true", "hydra/job_logging=none"]
JOBS = [
    ["init_method=mean", "seed=1", "+experiment=init/compare"],
    ["init_method=mean", "seed=2", "+experiment=init/compare"],
    ["+experiment=init/compare", "init_method=mean"],
    ["init_method=focus", "seed=2", "+experiment=init/compare", "init_method.temperature=0.5"],
    ["seed=3", "~logger", "+trainer.max_time=1", "data.languages=[tr]", "pack={name: other}"],
    ["hydra.job.env_copy=[FRANKEN_SEEN]", "hydra.job.name=mine"],
]


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoaderImpl]:
    with initialize_config_dir(str(config_dir()), version_base="1.3"):
        yield GlobalHydra.instance().config_loader()


@pytest.fixture
def composed(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """What is composed anew from now on, while compositions are shared."""
    own = compositions._hydras_own
    seen: list[list[str]] = []

    def compose(loader: Any, name: Any, overrides: list[str], *others: Any) -> DictConfig:
        seen.append(overrides)
        return own(loader, name, overrides, *others)

    monkeypatch.setattr(ConfigLoaderImpl, "_load_configuration_impl", own)  # put back afterwards
    monkeypatch.setattr(ConfigRepository, "load_config", ConfigRepository.load_config)
    monkeypatch.setattr(compositions, "_hydras_own", compose)
    return seen


def content(config: DictConfig) -> Any:
    return OmegaConf.to_container(config)


def test_grids_and_jobs_have_the_configs_that_hydra_composes(
    loader: ConfigLoaderImpl, composed: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRANKEN_SEEN", "yes")
    sweep = [*ASKED, "seed=1,2", "init_method=mean,focus"]
    grid = loader.load_configuration("config", sweep, run_mode=RunMode.MULTIRUN)
    expected = [loader.load_sweep_config(grid, job) for job in JOBS]
    assert expected[-1].hydra.job.env_set == {"FRANKEN_SEEN": "yes"}
    share_compositions()
    assert loader.load_configuration("config", sweep, run_mode=RunMode.MULTIRUN) == grid
    found = [loader.load_sweep_config(grid, job) for job in JOBS]
    assert list(map(content, found)) == list(map(content, expected))
    assert len(composed) == 5  # the grid, and four choices of options
    assert loader.load_sweep_config(grid, JOBS[0]) is not found[0]  # a job's config is its own
    assert len(composed) == 5
    assert OmegaConf.is_struct(found[0])


def test_a_grid_takes_what_was_composed_for_a_job(
    loader: ConfigLoaderImpl, composed: list[list[str]]
) -> None:
    alone = content(loader.load_configuration("config", ["seed=1,2"], run_mode=RunMode.MULTIRUN))
    share_compositions()
    loader.load_configuration("config", ["seed=2"], run_mode=RunMode.RUN)
    again = loader.load_configuration("config", ["seed=1,2"], run_mode=RunMode.MULTIRUN)
    assert content(again) == alone
    assert composed == [[]]


def test_no_more_are_kept_than_asked_for(
    loader: ConfigLoaderImpl, composed: list[list[str]]
) -> None:
    share_compositions(Compositions(most=1))
    for method in ("mean", "mean", "focus", "mean"):
        loader.load_configuration("config", [f"init_method={method}"], run_mode=RunMode.RUN)
    assert composed == [["init_method=mean"], ["init_method=focus"], ["init_method=mean"]]


def test_an_option_that_stands_already_is_chosen_without_composing(
    loader: ConfigLoaderImpl, composed: list[list[str]]
) -> None:
    asked = ["init_method=lexicon", "word_vectors=trained", "seed=1"]  # both are the defaults
    alone = content(loader.load_configuration("config", asked, run_mode=RunMode.RUN))
    share_compositions()
    loader.load_configuration("config", ["init_method=lexicon"], run_mode=RunMode.RUN)
    again = loader.load_configuration("config", asked, run_mode=RunMode.RUN)
    assert content(again) == alone
    loader.load_configuration("config", ["word_vectors=trained"], run_mode=RunMode.RUN)
    assert composed == [["init_method=lexicon"], ["word_vectors=trained"]]


@pytest.mark.parametrize("fault", ["init_method=nothing", "seeds=1", "seed=1,2"])
@pytest.mark.usefixtures("composed")
def test_errors_are_hydras(loader: ConfigLoaderImpl, fault: str) -> None:
    share_compositions()
    with pytest.raises(HydraException):
        loader.load_configuration("config", [fault], run_mode=RunMode.RUN)
