"""The graph of a recipe is checked whole before any work."""

from typing import Any

import pytest

from franken.alignment.ibm1 import Ibm1Alignment
from franken.composition.swap import SpecialRows, SwapComposition
from franken.config.base_model import PretrainedModel
from franken.config.data import DataConfig, MicroworldData, Mixture
from franken.config.recipe import RecipeConfig
from franken.config.root import Config
from franken.errors import ConfigError, DataError
from franken.init_method.focus import FocusInit
from franken.init_method.lexicon import LexiconInit
from franken.init_method.salt import SaltInit
from franken.library.given import Given
from franken.library.memory_data import MemoryData
from franken.recipe import build_graph, graph_faults
from franken.steps.align import AlignStep
from franken.steps.initialise import InitialiseStep
from tests.faults import nearest, raises, unnamed

MIXTURES = {"pretraining": Mixture(), "adaptation": Mixture()}


def config_of(steps: dict[str, Any], evaluate: list[str], **more: Any) -> Config:
    recipe = RecipeConfig(
        name="test", steps=steps, evaluate=evaluate, export=more.pop("export", [])
    )
    return Config(recipe=recipe, **more)


def base() -> dict[str, Any]:
    return {
        "step": "pretrain",
        "model": PretrainedModel(),
        "data": MicroworldData(mixtures=MIXTURES),
    }


def tune(model: str, **more: Any) -> dict[str, Any]:
    return {"step": "train", "model": model, "data": MicroworldData(mixtures=MIXTURES), **more}


def messages(config: Config) -> str:
    return "\n".join(map(str, graph_faults(config)))


def test_steps_run_in_the_order_of_their_references() -> None:
    graph = build_graph(config_of({"b": tune("a"), "a": base(), "c": tune("b")}, ["c"]))
    assert [name for name in graph.needed() if ":" not in name] == ["a", "b", "c"]


def test_steps_that_nothing_asks_for_are_not_needed() -> None:
    graph = build_graph(config_of({"a": base(), "b": tune("a"), "idle": tune("b")}, ["b"]))
    assert "idle" not in graph.needed()


def test_all_faults_are_named_together() -> None:
    steps = {
        "a": base(),
        "b": {**tune("a"), "trainable": "embedings"},
        "c": {"step": "trian", "model": "a"},
        "d": {**tune("a"), "modle": "a"},
        "e": tune("a", split="adaption"),
        "f": {"step": "train"},
    }
    text = messages(config_of(steps, ["a"]))
    assert not unnamed(
        text, "recipe.steps.b.trainable", nearest("embeddings"), nearest("train"),
        "recipe.steps.d.modle", nearest("adaptation"), "recipe.steps.f.model",
    )  # fmt: skip


def test_an_unknown_reference_names_the_nearest_step() -> None:
    text = messages(config_of({"first": base(), "b": tune("frist")}, ["b"]))
    assert not unnamed(text, "recipe.steps.b.model", nearest("first"))


def test_a_circle_is_shown() -> None:
    assert "a -> b -> a" in messages(config_of({"a": tune("b"), "b": tune("a")}, ["a"]))


def test_a_part_of_the_wrong_type_is_refused() -> None:
    steps = {"a": base(), "v": {"step": "build_vocab", "base": "a"}, "t": tune("v")}
    found = messages(config_of(steps, ["t"]))
    assert not unnamed(found, "recipe.steps.t.model", "'v'", "vocabulary", "model")


def test_a_swap_between_strangers_is_refused() -> None:
    steps = {"a": base(), "b": base(), "s": {"step": "swap", "body": "a", "table": "b"}}
    text = messages(config_of(steps, ["s"]))
    assert "descends from 'a'" in text
    assert "relative_of" in text


def test_rows_from_the_base_need_a_base() -> None:
    composition = SwapComposition(special_rows=SpecialRows.from_base)
    swap = {"step": "swap", "body": "a", "table": "a", "composition": composition}
    assert "recipe.steps.s.base" in messages(config_of({"a": base(), "s": swap}, ["s"]))


def test_evaluating_what_is_no_model_is_refused() -> None:
    steps = {"a": base(), "v": {"step": "build_vocab", "base": "a"}}
    assert "recipe.evaluate" in messages(config_of(steps, ["v", "nothing"]))


def test_a_run_without_targets_is_refused() -> None:
    assert not unnamed(messages(config_of({"a": base()}, [])), "recipe.evaluate")


def test_building_a_faulty_graph_raises() -> None:
    with raises(ConfigError, "recipe.steps.a.step", "'x'"):
        build_graph(config_of({"a": {"step": "x"}}, ["a"]))


def test_an_export_shows_the_scores_of_its_own_model() -> None:
    graph = build_graph(config_of({"a": base()}, ["a"], export=["a"]))
    assert graph.steps["export:a"].references() == {"model": "a", "scores": "evaluate:a"}


def initialised(**more: Any) -> dict[str, Any]:
    vocabulary = {"step": "build_vocab", "base": "a"}
    method = more.pop("method", FocusInit())
    initial = {
        "step": "initialise",
        "base": "a",
        "tokenizer": "v",
        "method": method,
        "data": MicroworldData(mixtures=MIXTURES),
        **more,
    }
    return {"a": base(), "v": vocabulary, "i": initial}


def test_steps_that_a_method_needs_are_added_and_shared() -> None:
    second = initialised()["i"]
    graph = build_graph(config_of({**initialised(), "j": second}, ["i", "j"]))
    vectors = graph.steps["piece_vectors"]
    assert vectors.references() == {"tokenizer": "v"}
    for name in ("i", "j"):
        assert graph.steps[name].references()["piece_vectors"] == "piece_vectors"
    assert "word_vectors" not in graph.steps


def test_methods_over_two_vocabularies_have_side_steps_of_their_own() -> None:
    other = {**initialised()["i"], "tokenizer": "w"}
    steps = {**initialised(), "w": {"step": "build_vocab", "base": "a"}, "j": other}
    graph = build_graph(config_of(steps, ["i", "j"]))
    assert graph.steps["j"].references()["piece_vectors"] == "piece_vectors:j"
    assert graph.steps["piece_vectors:j"].references()["tokenizer"] == "w"


def test_a_recipe_may_name_the_step_of_a_side_resource() -> None:
    mine = {"step": "vectors", "unit": "pieces", "base": "a", "tokenizer": "v"}
    steps = {**initialised(resources={"piece_vectors": "mine"}), "mine": mine}
    graph = build_graph(config_of(steps, ["i"]))
    assert graph.steps["i"].references()["piece_vectors"] == "mine"
    assert "piece_vectors" not in graph.steps
    wrong = initialised(resources={"piece_vector": "v", "helper": "v"}, method=SaltInit())
    faults = messages(config_of(wrong, ["i"]))
    assert "'piece_vectors'" in faults
    right = initialised(resources={"helper": "v"}, method=SaltInit())
    assert "recipe.steps.i.helper" in messages(config_of(right, ["i"]))


@pytest.mark.parametrize(("step", "names"), [
    (InitialiseStep(method=LexiconInit()), ["init_method=lexicon", "data.lexicon", "sw, am"]),
    (AlignStep(alignment=Ibm1Alignment()), ["alignment=ibm1", "data.parallel.train", "'sw'"]),
], ids=["lexicon", "parallel"])  # fmt: skip
def test_a_step_whose_data_are_not_there_says_so_before_any_step_is_run(step, names) -> None:
    step.data = DataConfig(languages=["sw", "am"])
    with raises(DataError, *names):
        step.check(MemoryData(Given()))
