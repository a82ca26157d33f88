"""Draws per script and position: statistics of large classes, copies, and the release's quirk."""

import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import DrawClasses, Provenance, apply_map, initialise
from franken.init_method.embedding_structure import EmbeddingStructureInit, class_of
from franken.token_map.explain import phrase
from franken.token_map.storage import load_map, save_map
from franken.tokenizer.scripts import main_script
from tests.faults import unnamed
from tests.init_method.tiny import (
    RESOURCES,
    edited,
    hand_made_map,
    source_table,
    target_tokenizer,
    text_ids,
)

KIND = TokenizerKind.sentencepiece_bpe


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("house", "Latin"), ("ቤት", "Ethiopic"), ("வீடு", "Tamil"), ("дом", "Cyrillic"),
        ("家", "Han"), ("123", "Common"), ("a1", "Latin"), ("1a2", "Common"), ("", "Unknown"),
        ("\ue000", "Unknown"), ("სახლი", "Georgian"),
    ],
)  # fmt: skip
def test_the_script_of_most_letters(text, script):
    assert main_script(text) == script


def test_classes_leave_the_word_start_out_and_know_it():
    assert class_of(b" nyumba", position=True) == "Latin, word-initial"
    assert class_of(b"nyumba", position=True) == "Latin, word-medial"
    assert class_of(b" nyumba", position=False) == "Latin"
    assert class_of(b" ", position=False) == "Common"
    assert class_of("ቤ".encode()[:2], position=True) == "incomplete letters"
    assert class_of(None, position=True) is None


def test_rows_have_the_mean_and_deviation_of_their_class():
    """2,000 draws of each of two classes with far-apart statistics."""
    generator = torch.Generator().manual_seed(1)
    old = torch.cat([
        torch.randn(500, 4, generator=generator) * 0.1 + 5.0,
        torch.randn(500, 4, generator=generator) * 3.0 - 1.0,
    ])  # fmt: skip
    source = torch.tensor([0] * 500 + [1] * 500, dtype=torch.int32)
    target = torch.tensor([0] * 2000 + [1] * 2000, dtype=torch.int32)
    token_map = hand_made_map(
        [{}] * 4000, [2] * 4000, source_rows=1000, classes=DrawClasses(["a", "b"], source, target)
    )
    assert token_map.faults() == []
    made = apply_map(token_map, old)
    for index in (0, 1):
        members, drawn = old[source == index], made[target == index]
        scale = members.std(0, unbiased=False)
        assert bool(((drawn.mean(0) - members.mean(0)).abs() < 4 * scale / 2000**0.5).all())
        assert torch.allclose(drawn.std(0), scale, rtol=0.07)


def test_classes_partition_the_new_rows_and_unseen_ones_draw_from_all():
    source, target = source_table(KIND), target_tokenizer(KIND)
    table, token_map = initialise(source, target, EmbeddingStructureInit(), RESOURCES, 0)
    classes = token_map.notes["classes"]
    counts = token_map.counts()
    assert (
        sum(item["drawn"] for item in classes.values()) == counts["computed"] + counts["fallback"]
    )
    assert "Ethiopic, word-medial" in token_map.notes["unseen_classes"]
    fallen = token_map.provenance == Provenance.fallback
    assert {token_map.classes.target[row].item() for row in fallen.nonzero().flatten()} == {-1}
    assert bool((table.input[fallen].abs() < 1e3).all())


def test_identity_may_be_left_out():
    source, target = source_table(KIND), target_tokenizer(KIND)
    config = EmbeddingStructureInit(copy_overlap=False)
    _, token_map = initialise(source, target, config, RESOURCES, 0)
    assert token_map.counts()["copied"] == 0
    assert token_map.counts()["special"] > 2


def test_parity_overwrites_control_tokens_as_the_release_does():
    source, target = source_table(KIND), target_tokenizer(KIND)
    fixed, fixed_map = initialise(source, target, EmbeddingStructureInit(), RESOURCES, 0)
    quirky, quirky_map = initialise(
        source, target, EmbeddingStructureInit(parity=True), RESOURCES, 0
    )
    special = fixed_map.provenance == Provenance.special
    assert quirky_map.counts()["special"] == 0
    assert bool((fixed.input[special] != quirky.input[special]).any(dim=1).all())
    assert torch.equal(fixed.input[~special], quirky.input[~special])


def test_a_class_of_one_row_draws_from_all_unless_allowed():
    source, target = source_table(KIND), target_tokenizer(KIND)
    many, _ = initialise(source, target, EmbeddingStructureInit(min_rows=10_000), RESOURCES, 0)
    _, drawn = initialise(source, target, EmbeddingStructureInit(min_rows=10_000), RESOURCES, 0)
    assert drawn.counts()["computed"] == 0
    assert bool(torch.isfinite(many.input).all())


def test_draws_follow_the_token_not_its_id_or_the_chunk():
    source, target = source_table(KIND, tied=False), target_tokenizer(KIND)
    ids = text_ids(target)
    moved = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    first, token_map = initialise(source, target, EmbeddingStructureInit(), RESOURCES, 0)
    second, _ = initialise(source, edited(target, moved), EmbeddingStructureInit(), RESOURCES, 0)
    for old, new in moved.items():
        assert torch.equal(first.input[old], second.input[new])
        assert torch.equal(first.output[old], second.output[new])
    for chunk in (1, 17, 10_000):
        assert torch.equal(apply_map(token_map, source.input, chunk_rows=chunk), first.input)
    drawn = token_map.provenance == Provenance.computed
    other, _ = initialise(source, target, EmbeddingStructureInit(), RESOURCES, 1)
    assert bool((other.input[drawn] != first.input[drawn]).any(dim=1).all())


def test_classes_survive_the_disk_are_explained_and_checked(tmp_path):
    source, target = source_table(KIND), target_tokenizer(KIND)
    table, token_map = initialise(source, target, EmbeddingStructureInit(), RESOURCES, 0)
    save_map(token_map, tmp_path / "map")
    loaded = load_map(tmp_path / "map")
    assert torch.equal(apply_map(loaded, source.input), table.input)
    row = int((token_map.provenance == Provenance.computed).nonzero()[0])
    assert not unnamed(phrase(loaded, row), loaded.classes.names[loaded.classes.target[row]])
    assert table.provenance["without_weights"] == token_map.counts()["fallback"]
    loaded.classes.target[row] = len(loaded.classes.names)
    assert any("of a class past" in fault for fault in loaded.faults())
    loaded.classes.target[row] = 0
    loaded.classes.source[loaded.classes.source == 0] = -1
    assert any("has no source row" in fault for fault in loaded.faults())
