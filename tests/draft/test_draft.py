"""Draft models: their vocabulary, their layers, and counts of accepted tokens."""

from pathlib import Path
from typing import Any

import pytest
import torch

from franken.draft.__main__ import layers_of, main
from franken.draft.acceptance import measure_acceptance
from franken.draft.build import make_draft
from franken.draft.tuning import tune_on_target
from franken.errors import ConfigError
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.init_method.weighted_pooling import PoolingScheme, WeightedPoolingInit
from franken.parts.thinning import without_layers
from tests.faults import raises
from tests.parts.tiny import LINES, logits_of, save_checkpoint, some_ids, tiny_model, tiny_tokenizer

GAMMA, NEW = 3, 20
LAST_FIRST = WeightedPoolingInit(scheme=PoolingScheme.last_first)


@pytest.fixture
def tokenizer() -> Any:
    return tiny_tokenizer("byte_level", size=330)


def model(**settings: Any) -> Any:
    made = tiny_model("llama", rows=330, max_position_embeddings=256, **settings)
    made.generation_config.eos_token_id = None
    return made


def continued(network: Any, ids: list[int], count: int) -> list[int]:
    """Plain greedy, without a cache."""
    for _ in range(count):
        ids = [*ids, int(logits_of(network, torch.tensor([ids]))[0, -1].argmax())]
    return ids


def slow_passes(target: Any, draft: Any, ids: list[int]) -> int:
    """Rounds of speculative decoding, from the target's greedy text alone."""
    text, at, rounds = continued(target, ids, NEW), len(ids), 0
    while at < len(text):
        proposed = continued(draft, text[:at], min(GAMMA, len(text) - at - 1))[at:]
        while proposed and text[at] == proposed[0]:
            at, proposed = at + 1, proposed[1:]
        at, rounds = at + 1, rounds + 1
    return rounds


def test_assisted_text_is_the_plain_one_and_passes_are_counted(tokenizer: Any) -> None:
    target, draft = model(), model()
    with torch.no_grad():  # near enough to be right at times
        for parameter in draft.parameters():
            parameter.add_(
                0.03 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
            )
    found = measure_acceptance(target, draft, tokenizer, LINES, gamma=GAMMA, new_tokens=NEW)
    assert found.same_as_plain == len(LINES)
    assert found.new_tokens == len(LINES) * NEW
    rounds = sum(slow_passes(target, draft, tokenizer(line).input_ids) for line in LINES)
    assert found.target_passes == rounds
    assert found.length == pytest.approx(len(LINES) * NEW / rounds)
    assert 1 < found.length < GAMMA + 1


def test_a_target_that_drafts_for_itself_is_always_right(tokenizer: Any) -> None:
    found = measure_acceptance(model(), model(), tokenizer, LINES[:1], gamma=GAMMA, new_tokens=NEW)
    assert found.length == pytest.approx(GAMMA + 1)
    assert found.rate == pytest.approx(1)


def test_the_same_vocabulary_leaves_the_donor_as_it_is(tokenizer: Any) -> None:
    donor = model()
    draft = make_draft(donor, tokenizer, tokenizer, LAST_FIRST)
    ids = some_ids(330)
    assert torch.equal(logits_of(draft, ids), logits_of(donor, ids))
    assert not draft.config.tie_word_embeddings


def test_rows_are_the_last_piece_and_a_decaying_mean(tokenizer: Any) -> None:
    donor, wider = model(), tiny_tokenizer("byte_level", size=360)
    small = tiny_tokenizer("byte_level", size=280)
    donor = tiny_model("llama", rows=280)
    draft = make_draft(
        donor, small, wider, LAST_FIRST, rows=384, overrides={"<unused0>": "water cat"}
    )
    assert draft.config.vocab_size == draft.get_output_embeddings().weight.shape[0] == 384
    old, read = donor.get_input_embeddings().weight, draft.get_input_embeddings().weight
    written = draft.get_output_embeddings().weight
    token = max((name for name in wider.get_vocab() if name not in small.get_vocab()), key=len)
    texts = {wider.get_vocab()[token]: wider.decode([wider.get_vocab()[token]])}
    texts[wider.get_vocab()["<unused0>"]] = "water cat"
    for row, text in texts.items():
        ids = small.encode(text, add_special_tokens=False)
        assert len(ids) > 1
        torch.testing.assert_close(read[row], old[ids[-1]])
        weights = torch.tensor([0.5**place for place in range(len(ids))])
        torch.testing.assert_close(written[row], (weights / weights.sum()) @ old[ids])


def test_layers_go_by_name_and_the_rest_stays() -> None:
    whole = tiny_model("gemma3_text", rows=96, num_hidden_layers=4)
    short = without_layers(whole, [1, 2])
    assert short.config.num_hidden_layers == 2
    assert len(short.config.layer_types) == 2
    body = whole.model.layers
    for new, old in enumerate([0, 3]):
        for mine, theirs in zip(
            short.model.layers[new].parameters(), body[old].parameters(), strict=True
        ):
            assert torch.equal(mine, theirs)
    ids = some_ids(96)
    assert torch.equal(logits_of(without_layers(whole, []), ids), logits_of(whole, ids))
    for bad in ([4], [0, 1, 2, 3]):
        with raises(ConfigError, "drop_layers", bad):
            without_layers(whole, bad)


def test_tuning_brings_the_draft_to_its_target(tokenizer: Any) -> None:
    target, draft = model(), model(seed=1)
    losses = tune_on_target(draft, target, tokenizer, LINES, steps=25, lr=1e-2)
    assert sum(losses[-5:]) < 0.7 * sum(losses[:5])
    same = tune_on_target(model(), target, tokenizer, LINES, steps=1, lr=0.0)
    assert same[0] == pytest.approx(0, abs=1e-6)


def test_the_command_writes_a_draft_that_transformers_loads(tmp_path: Path, tokenizer: Any) -> None:
    target = save_checkpoint(model(), tokenizer, tmp_path / "target")
    small = tiny_tokenizer("byte_level", size=280)
    donor = save_checkpoint(tiny_model("llama", rows=280), small, tmp_path / "donor")
    out = tmp_path / "draft"
    assert main(["build", str(target), str(donor), "--drop-layers", "1", "-o", str(out)]) == 0
    assert main(["measure", str(target), str(out), "--prompts", "1", "--new-tokens", "4"]) == 0
    assert main(["build", str(target), str(donor), "--drop-layers", "x", "-o", str(out)]) == 2


def test_ranges_of_layers() -> None:
    assert layers_of("10-12,25") == [10, 11, 12, 25]
    assert layers_of("") == []


def test_any_initialiser_without_side_resources_will_do(tokenizer: Any) -> None:
    donor = tiny_model("llama", rows=280)
    draft = make_draft(donor, tiny_tokenizer("byte_level", size=280), tokenizer, SubtokenMeanInit())
    assert draft.config.vocab_size == 330
