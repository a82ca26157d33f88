"""Routers and routed models (graftllm notes, invariant 15)."""

from typing import ClassVar

import pytest
import torch

from franken.config.data import DataConfig, Mixture
from franken.data.encoding import RecordEncoder
from franken.data.source import Instruction
from franken.errors import DataError
from franken.eval_suite.readout import read_out
from franken.eval_suite.scoring import Request, log_probs
from franken.parts.weights import LoadedWeights
from franken.router.base import RouterFeature, RouterLevel
from franken.router.sequence import SequenceRouter
from franken.seeds import derive_seed
from franken.skillpack import pack_difference
from franken.skillpack.evaluation import pack_of_task
from franken.skillpack.experts import Experts
from franken.skillpack.routed import RoutedModel
from franken.skillpack.router import (
    PackRouter,
    features_of,
    losses_and_features,
    train_router,
)
from franken.steps.route import RouteStep, router_examples
from tests.faults import raises
from tests.parts.tiny import tiny_model, tiny_tokenizer
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
    router = PackRouter(16, experts.names, config or SequenceRouter(width=0, top_k=len(weights)))
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
    config = SequenceRouter(width=0, top_k=1, level=level, feature=feature)
    routed = RoutedModel(experts, fixed_router(experts, weights, config))
    with experts.acting(expert):
        expected = score(read_out(experts.model))
    torch.testing.assert_close(score(routed.readout()), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("level", list(RouterLevel))
@torch.no_grad()
def test_several_packs_mix_their_predictions(experts, level):
    weights = [0.2, 0.5, 0.3]
    config = SequenceRouter(width=0, top_k=3, level=level)
    routed = RoutedModel(experts, fixed_router(experts, weights, config))
    own = []
    for expert in range(3):
        with experts.acting(expert):
            own.append(score(read_out(experts.model)))
    expected = sum(w * values.exp() for w, values in zip(weights, own, strict=True)).log()
    torch.testing.assert_close(score(routed.readout()), expected, rtol=1e-4, atol=1e-5)


def particular_router(experts, config):
    """A router that sends different requests to different packs."""
    generator = torch.Generator().manual_seed(5)
    router = PackRouter(16, experts.names, config)
    with torch.no_grad():
        router.net.weight.copy_(30 * torch.randn(3, 16, generator=generator))
        router.net.bias.zero_()
    return router.eval()


def ids(seed, size):
    generator = torch.Generator().manual_seed(seed)
    return tuple(torch.randint(3, 96, (size,), generator=generator).tolist())


@pytest.mark.parametrize("level", list(RouterLevel))
@pytest.mark.parametrize("feature", list(RouterFeature))
@torch.no_grad()
def test_a_score_depends_neither_on_later_tokens_nor_on_other_requests(experts, level, feature):
    config = SequenceRouter(width=0, level=level, feature=feature, prefix_tokens=4)
    readout = RoutedModel(experts, particular_router(experts, config)).readout()
    start = (2,)
    for seed in range(6):
        asked, text = ids(seed, 5), ids(seed + 50, 12)
        plain = [
            Request(asked, text[:1]), Request(asked, text[:3]), Request(start, text[:2], False),
            Request(start, text[:6], False),
        ]  # fmt: skip
        # Each goes on as others do, so that rows could be shared, and up to the next pack's.
        others = [
            Request(asked, text),
            Request(asked + text, text[:4]),
            Request(start, asked + text),
        ]
        others += [Request(start, text[:7], False), Request(start, text, False)]
        others += [Request(start + text[:3], text[3:]), Request(asked, text[:3] + ids(9, 5))]
        alone = [log_probs(readout, [request], batch_tokens=64)[0] for request in plain]
        together = log_probs(readout, plain + others, batch_tokens=64)[: len(plain)]
        for one, other in zip(alone, together, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
        # The first tokens of a longer answer, and of a longer text whose prefix is the same.
        longer = log_probs(readout, others[:1] + others[4:5], batch_tokens=64)
        torch.testing.assert_close(longer[0][:3], alone[1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(longer[1][:6], alone[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("feature", list(RouterFeature))
@torch.no_grad()
def test_the_router_sees_the_prompt_or_the_prefix_of_a_text(experts, feature):
    config = SequenceRouter(width=0, feature=feature, prefix_tokens=4)
    router = particular_router(experts, config)
    readout = RoutedModel(experts, router).readout()
    picked = set()
    for seed in range(12):
        text = ids(seed, 20)
        for request, shown in (
            (Request(text[:5], text[5:]), text[:5]),
            (Request(text[:15], text[15:]), text[:15]),
            (Request((2,), text, False), (2, *text[:4])),
        ):
            states, _ = features_of(experts.model, config, input_ids=torch.tensor([shown]))
            expert = int(router.gates(states.mean(dim=1)).argmax())
            with experts.acting(expert):
                expected = log_probs(read_out(experts.model), [request], batch_tokens=64)[0]
            found = log_probs(readout, [request], batch_tokens=64)[0]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
            picked.add(expert)
    assert len(picked) > 1


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
    config = SequenceRouter(width=0, top_k=1, abstain=0.6)
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
    config = SequenceRouter(level=level, feature=feature, width=width, temperature=0.2, epochs=60)
    router, report = train_router(experts, examples(experts), config, seed=0)
    _, losses = losses_and_features(experts, examples(experts), config)
    best = losses.min(dim=1).values.mean()
    blind = losses.mean(dim=0).min()  # always the same expert
    assert report.regret < 0.5 * float(blind - best)
    assert sum(map(sum, report.confusion)) == 8 * (4 if level is RouterLevel.token else 1)
    features = torch.randn(5, 16)
    router.save(tmp_path / "router")
    again = PackRouter.load(tmp_path / "router")
    assert torch.equal(again.gates(features), router.gates(features))


class Texts:
    """A source of two texts per language and one instruction."""

    lines: ClassVar = {"en": ["a b", "to be or not " * 9], "id": ["c", "di sana ada " * 9]}

    def has(self, role, lang):
        return role == "monolingual" and lang in self.lines

    def texts(self, role, lang):
        return iter(self.lines[lang])

    def instructions(self):
        return iter([Instruction("1 + 1 =", "2", "sums")])


def test_a_router_is_shown_text_of_the_source_language_too():
    data = DataConfig(
        source_language="en", languages=["id", "tr"], mixtures={"instructions": Mixture()}
    )
    config = SequenceRouter(examples=8, prefix_tokens=6)
    step = RouteStep(data=data, language_share=0.8, router=config)
    encoder = RecordEncoder(tiny_tokenizer())
    found = router_examples(step, config, Texts(), encoder)
    texts = [item for lang in ("en", "id") for item in encoder.encode(Texts.lines[lang])]
    assert [ids for ids, _ in found[1:]] == [item.ids.tolist() for item in texts]
    for (ids, seen), item in zip(found[1:], texts, strict=True):
        assert seen == min(7, len(item.ids) // 2)  # bos and the prefix, at most half
        assert seen < len(ids)
    assert {seen for _, seen in found[1:]} >= {7}


def test_too_few_examples_are_refused(experts):
    with raises(DataError, "2 examples", "router.examples"):
        train_router(experts, [([1, 2, 3], 1)] * 2, SequenceRouter(), seed=0)
    with raises(DataError, "router", "router.examples"):
        train_router(experts, [([1, 2, 3], 3)] * 10, SequenceRouter(), seed=0)


def test_one_example_that_is_left_to_train_on_is_refused(experts):
    """It has no spread by which features could be scaled."""
    seed = next(
        seed for seed in range(99)
        if torch.randperm(3, generator=_held_out(seed))[0] == 1
    )  # fmt: skip
    examples = [([1, 2, 3], 1), ([4, 5, 6], 1), ([7, 8, 9], 3)]  # the last has no response
    with raises(DataError, "of 2", "router.examples"):
        train_router(experts, examples, SequenceRouter(epochs=1), seed=seed)


def test_features_that_never_vary_leave_a_router_finite(experts):
    examples = [([1, 2, 3, 4], 2)] * 12
    router, report = train_router(experts, examples, SequenceRouter(epochs=1), seed=0)
    assert all(bool(torch.isfinite(value).all()) for value in router.state_dict().values())
    assert report.regret == report.regret


def _held_out(seed):
    return torch.Generator().manual_seed(derive_seed(seed, "router", "held out"))


def test_the_map_of_tasks_prefers_the_narrower_entry():
    tasks = {"reading": "r", "@id": "i", "reading@tr": "t", "text@target": "l", "text@tr": "u"}
    found = {
        (task, lang): pack_of_task(task, lang, tasks, "en")
        for task in ("reading", "topics", "text") for lang in ("en", "id", "tr", "sw")
    }  # fmt: skip
    assert {key: value for key, value in found.items() if value is not None} == {
        ("reading", "en"): "r", ("reading", "id"): "i", ("reading", "tr"): "t",
        ("reading", "sw"): "r", ("topics", "id"): "i", ("text", "id"): "i", ("text", "tr"): "u",
        ("text", "sw"): "l",
    }  # fmt: skip
