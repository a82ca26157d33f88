"""Routers and routed models (graftllm notes, invariant 15)."""

import pytest
import torch

from franken.config.router import RouterFeature, RouterLevel, TrainedRouter
from franken.errors import DataError
from franken.eval_suite.readout import read_out
from franken.eval_suite.scoring import Request, log_probs
from franken.parts.weights import LoadedWeights
from franken.skillpack import pack_difference
from franken.skillpack.evaluation import pack_of_task
from franken.skillpack.experts import Experts
from franken.skillpack.routed import RoutedModel
from franken.skillpack.router import Router, losses_and_features, train_router
from tests.parts.tiny import tiny_model
from tests.skillpack.pairs import exact_policy, tuned_copy


@pytest.fixture
def experts(tmp_path):
    model = tiny_model()
    packs = {}
    for seed, name in enumerate(("one", "two")):
        tuned = tuned_copy(model, seed=seed, size=0.2)
        packs[name] = pack_difference(
            LoadedWeights(model), LoadedWeights(tuned), exact_policy(), tmp_path / name, name=name
        )
    return Experts(model, packs)


def fixed_router(experts, weights, config=None):
    """A router that gives every request the same weights."""
    router = Router(16, experts.names, config or TrainedRouter(width=0, top_k=len(weights)))
    with torch.no_grad():
        router.net.weight.zero_()
        router.net.bias.copy_(torch.tensor(weights).clamp(min=1e-30).log())
    return router.eval()


def requests():
    generator = torch.Generator().manual_seed(0)
    found = []
    for size in (3, 9, 9, 14):
        context = tuple(torch.randint(3, 96, (size,), generator=generator).tolist())
        for tail in (1, 2, 3):
            ids = torch.randint(3, 96, (tail,), generator=generator).tolist()
            found.append(Request(context, tuple(ids)))
    return found


def score(readout):
    return torch.cat(log_probs(readout, requests(), batch_tokens=64))


@pytest.mark.parametrize("level", list(RouterLevel))
@pytest.mark.parametrize("feature", list(RouterFeature))
@pytest.mark.parametrize("expert", [0, 1, 2])
@torch.no_grad()
def test_all_weight_on_one_pack_is_that_pack(experts, level, feature, expert):
    weights = [1.0 if index == expert else 0.0 for index in range(3)]
    config = TrainedRouter(width=0, top_k=1, level=level, feature=feature)
    routed = RoutedModel(experts, fixed_router(experts, weights, config))
    with experts.acting(expert):
        expected = score(read_out(experts.model))
    torch.testing.assert_close(score(routed.readout()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", list(RouterLevel))
@torch.no_grad()
def test_several_packs_mix_their_predictions(experts, level):
    weights = [0.2, 0.5, 0.3]
    config = TrainedRouter(width=0, top_k=3, level=level)
    routed = RoutedModel(experts, fixed_router(experts, weights, config))
    own = []
    for expert in range(3):
        with experts.acting(expert):
            own.append(score(read_out(experts.model)))
    expected = sum(w * values.exp() for w, values in zip(weights, own, strict=True)).log()
    torch.testing.assert_close(score(routed.readout()), expected, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_equal_packs_make_the_router_irrelevant(tmp_path):
    model = tiny_model()
    tuned = tuned_copy(model, size=0.05)
    pack = pack_difference(
        LoadedWeights(model), LoadedWeights(tuned), exact_policy(), tmp_path / "p", name="p"
    )
    experts = Experts(model, {"a": pack, "b": pack})
    found = [
        score(RoutedModel(experts, fixed_router(experts, weights)).readout())
        for weights in ([0.0, 1.0, 0.0], [0.0, 0.4, 0.6])
    ]
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-5)


def test_acting_experts_leave_the_model_as_it_was(experts):
    before = {n: t.clone() for n, t in experts.model.state_dict().items()}
    for expert in (1, 2, 0, 2):
        with experts.acting(expert):
            pass
    assert all(torch.equal(before[n], t) for n, t in experts.model.state_dict().items())


def test_uncertain_requests_go_to_the_plain_model(experts):
    config = TrainedRouter(width=0, top_k=1, abstain=0.6)
    gates = fixed_router(experts, [0.1, 0.5, 0.4], config).gates(torch.zeros(2, 16))
    assert gates.tolist() == [[1.0, 0.0, 0.0]] * 2
    sure = fixed_router(experts, [0.1, 0.7, 0.2], config).gates(torch.zeros(2, 16))
    assert sure.tolist() == [[0.0, 1.0, 0.0]] * 2


def examples(experts):
    """Requests on which one pack or the other is better, told apart by their first tokens."""
    generator = torch.Generator().manual_seed(3)
    found = []
    for index in range(80):
        expert = 1 + index % 2
        head = torch.randint(10 if expert == 1 else 50, 30 if expert == 1 else 70, (6,),
                             generator=generator)  # fmt: skip
        with experts.acting(expert), torch.no_grad():
            ids = head[None]
            for _ in range(4):
                ids = torch.cat([ids, experts.model(ids).logits[:, -1:].argmax(-1)], dim=1)
        found.append((ids[0].tolist(), 6))
    return found


@pytest.mark.parametrize(
    ("level", "feature", "width"),
    [
        (RouterLevel.sequence, RouterFeature.hidden, 32),
        (RouterLevel.sequence, RouterFeature.embedding, 0),
        (RouterLevel.token, RouterFeature.hidden, 32),
    ],
)
def test_a_router_learns_who_answers_best(experts, tmp_path, level, feature, width):
    config = TrainedRouter(level=level, feature=feature, width=width, temperature=0.2, epochs=60)
    router, report = train_router(experts, examples(experts), config, seed=0)
    _, losses = losses_and_features(experts, examples(experts), config)
    best = losses.min(dim=1).values.mean()
    blind = losses.mean(dim=0).min()  # always the same expert
    assert report.regret < 0.5 * float(blind - best)
    assert sum(map(sum, report.confusion)) == 8 * (4 if level is RouterLevel.token else 1)
    features = torch.randn(5, 16)
    router.save(tmp_path / "router")
    again = Router.load(tmp_path / "router")
    assert torch.equal(again.gates(features), router.gates(features))


def test_too_few_examples_are_refused(experts):
    with pytest.raises(DataError, match="2 examples are too few"):
        train_router(experts, [([1, 2, 3], 1)] * 2, TrainedRouter(), seed=0)
    with pytest.raises(DataError, match="has a response"):
        train_router(experts, [([1, 2, 3], 3)] * 10, TrainedRouter(), seed=0)


def test_the_map_of_tasks_prefers_the_narrower_entry():
    tasks = {"reading": "r", "@id": "i", "reading@tr": "t"}
    assert pack_of_task("reading", "en", tasks) == "r"
    assert pack_of_task("reading", "id", tasks) == "i"
    assert pack_of_task("reading", "tr", tasks) == "t"
    assert pack_of_task("topics", "en", tasks) is None
