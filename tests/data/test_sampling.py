import pytest

from franken.config.data import Mixture, Sampling, Unit
from franken.data.mixing import StreamKey, StreamSize, stream_probabilities
from franken.data.sampling import language_probabilities, temperature, unimax


def test_unimax_by_hand() -> None:
    # Smallest first: a is capped at 5 * 10 = 50 (its even part would be 100); b gets half of the
    # remaining 250, which is under its cap of 200; c gets the rest.
    assert unimax({"c": 1000, "a": 10, "b": 40}, 300, 5) == {"a": 50, "b": 125, "c": 125}


def test_unimax_caps_the_middle_language_too() -> None:
    # a: min(100, 20) = 20; b: min(140, 100) = 100; c: 180.
    assert unimax({"a": 10, "b": 50, "c": 500}, 300, 2) == {"a": 20, "b": 100, "c": 180}


@pytest.mark.parametrize("epochs", [1, 3.5, 5])
@pytest.mark.parametrize("budget", [100, 12_345, 10**9])
def test_unimax_properties(budget: float, epochs: float) -> None:
    sizes = {"a": 11, "b": 170, "c": 2_000, "d": 10**7}
    parts = unimax(sizes, budget, epochs)
    assert sum(parts.values()) == pytest.approx(min(budget, epochs * sum(sizes.values())))
    for language, part in parts.items():
        assert part <= epochs * sizes[language] * (1 + 1e-12)


def test_unimax_is_even_when_all_are_large() -> None:
    assert unimax({"a": 1e9, "b": 2e9, "c": 7e9}, 300, 5) == {"a": 100, "b": 100, "c": 100}


def test_temperature_between_proportional_and_uniform() -> None:
    sizes = {"a": 100.0, "b": 400.0}
    assert temperature(sizes, 1)["a"] / temperature(sizes, 1)["b"] == pytest.approx(1 / 4)
    assert temperature(sizes, 2)["a"] / temperature(sizes, 2)["b"] == pytest.approx(1 / 2)
    assert temperature(sizes, 1e9)["a"] == pytest.approx(1, abs=1e-6)


def test_source_share_is_exact_and_the_sampler_spreads_the_rest() -> None:
    mixture = Mixture({"monolingual": 1.0}, source_share=0.308, sampling=Sampling.proportional)
    sizes = {"en": 10**9, "sw": 100, "ta": 300}
    found = language_probabilities(sizes, mixture, 1000, "en")
    assert found == pytest.approx({"en": 0.308, "sw": 0.692 / 4, "ta": 0.692 * 3 / 4})


def test_source_share_without_other_languages_has_no_effect() -> None:
    mixture = Mixture({"monolingual": 1.0}, source_share=0.3)
    assert language_probabilities({"en": 5}, mixture, 10, "en") == {"en": 1.0}


def sizes_of(**tokens: tuple[int, int]) -> dict[StreamKey, StreamSize]:
    """``role_language=(records, tokens)``."""
    return {
        StreamKey(*name.split("_")): StreamSize(records, count, 4 * count, 4 * count)
        for name, (records, count) in tokens.items()
    }


def test_shares_of_roles_count_tokens() -> None:
    mixture = Mixture({"monolingual": 0.65, "documents": 0.35}, source_share=0.308)
    sizes = sizes_of(
        monolingual_en=(100, 900), monolingual_sw=(50, 900), documents_en=(3, 900),
        documents_sw=(2, 900),
    )  # fmt: skip
    found = stream_probabilities(sizes, mixture, 10**6, "en")
    assert found[StreamKey("documents", "en")] == pytest.approx(0.35 * 0.308)
    assert found[StreamKey("monolingual", "sw")] == pytest.approx(0.65 * 0.692)
    assert sum(found.values()) == pytest.approx(1)


def test_equal_instances_of_instructions_and_adaptation_data() -> None:
    # Franken-Adapter 2.7: as many instances of D_it as of D_la. Instructions are 10 tokens long,
    # sentences 20, documents 200: expected records are tokens drawn over record length.
    mixture = Mixture(
        {"instructions": 1.0, "monolingual": 0.65, "documents": 0.35}, unit=Unit.instances
    )
    sizes = sizes_of(
        instructions_en=(1000, 10_000), monolingual_sw=(100, 2_000), documents_sw=(10, 2_000)
    )
    found = stream_probabilities(sizes, mixture, 10**6, "en")
    records = {key.role: share / sizes[key].record_tokens for key, share in found.items()}
    assert records["instructions"] == pytest.approx(records["monolingual"] + records["documents"])
    assert records["monolingual"] / records["documents"] == pytest.approx(0.65 / 0.35)


def test_samplers_go_by_the_whole_stream() -> None:
    # Of a stream larger than training needs only a part is tokenised; its size counts all the same.
    sizes = {
        StreamKey("monolingual", "sw"): StreamSize(10, 100, 400, 400),
        StreamKey("monolingual", "ta"): StreamSize(10, 100, 400, 1200),
    }
    mixture = Mixture({"monolingual": 1.0}, sampling=Sampling.proportional)
    found = stream_probabilities(sizes, mixture, 1000, "en")
    assert found[StreamKey("monolingual", "ta")] == pytest.approx(0.75)
