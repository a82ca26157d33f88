"""SALT: the properties that follow from its equation, its oracles, and its options."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.config.checks import collect_faults
from franken.errors import CompatibilityError, DataError
from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.salt import (
    AuxKind,
    Mapping,
    SaltAnchors,
    SaltInit,
    SaltSolver,
    Selector,
    SelectorKind,
    Surface,
    Weighting,
)
from franken.token_map import row_norms
from franken.token_map.builder import MapBuilder
from franken.token_map.options import Fallback, Overlap, OverlapMode, Rescale
from franken.token_map.overlap import overlap_readings
from franken.token_map.sparsemax import sparsemax
from franken.tokenizer.pieces import canonical_bytes
from franken.word_vectors import VectorSpace
from tests.faults import faults_of, raises
from tests.init_method.donor import (
    KIND,
    alike,
    anchor_pairs,
    anchors_of,
    computed_ids,
    donor_resources,
    helper_table,
    make,
    word_space,
)
from tests.init_method.tiny import source_table, source_tokenizer, target_tokenizer

TARGET = target_tokenizer(KIND)
HELPER = alike(helper_table(TARGET).input, TARGET)
FEW = SaltInit(selector=Selector(SelectorKind.topk, k=5))
"""Fewer neighbours than the helper's 16 dimensions: the normal case."""
MANY = SaltInit(selector=Selector(SelectorKind.topk, k=40))


def random_matrix(rows: int, columns: int, seed: int = 5) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, columns, generator=generator)


def new_rows(config: SaltInit, **options) -> tuple[torch.Tensor, torch.Tensor]:
    """Computed rows in float64, and their ids."""
    _, table, token_map = make(config, **options)
    ids = torch.tensor(computed_ids(token_map))
    assert len(ids) > 50
    return table.input[ids].double(), ids


def test_rows_are_those_of_the_published_steps_one_token_at_a_time() -> None:
    """Steps 2 to 4 of the paper, dense, in float64, with the map X that the code never makes."""
    config = SaltInit(selector=Selector(temperature=0.1))
    source, table, token_map = make(config, rows=HELPER)
    pairs = zip(*anchor_pairs(token_map), strict=True)
    vectors, known = word_space(TARGET).lookup(
        [TARGET.decode([i]).strip() for i in range(len(TARGET))]
    )
    pool = [(int(index), int(column)) for index, column in pairs if known[index]]
    ids, columns = (torch.tensor(part) for part in zip(*pool, strict=True))
    unit = torch.nn.functional.normalize(vectors.double(), dim=1)
    sizes = []
    for row in computed_ids(token_map):
        chosen = sparsemax(unit[ids] @ unit[row] / 0.1) > 0
        linear = (
            torch.linalg.pinv(HELPER[ids[chosen]].double()) @ source.input[columns[chosen]].double()
        )
        expected = HELPER[row].double() @ linear
        weights = sum(abs(weight) for _, weight in token_map.row(row))
        torch.testing.assert_close(table.input[row].double(), expected, atol=2e-6 * weights, rtol=0)
        sizes.append(int(chosen.sum()))
    assert len(set(sizes)) > 1  # k is the token's own
    notes = token_map.notes["weights"][0]["anchors_per_token"]
    assert (notes["min"], notes["max"]) == (min(sizes), max(sizes))


@pytest.mark.parametrize("config", [FEW, MANY], ids=["few", "many"])
def test_rotating_or_scaling_the_helper_changes_nothing(config: SaltInit) -> None:
    before, _ = new_rows(config, rows=HELPER)
    rotation = torch.linalg.qr(random_matrix(16, 16)).Q
    for rows in (HELPER @ rotation, HELPER * -7.5):
        torch.testing.assert_close(new_rows(config, rows=rows)[0], before, atol=1e-3, rtol=1e-3)


def test_a_linear_map_of_the_source_is_a_linear_map_of_the_result() -> None:
    source = source_table(KIND)
    matrix = random_matrix(12, 12)
    mapped = replace(source, input=source.input @ matrix)
    before, after = (new_rows(FEW, source=table)[0] for table in (source, mapped))
    torch.testing.assert_close(after, before @ matrix.double(), atol=1e-3, rtol=1e-3)


def test_a_token_that_equals_a_neighbour_gets_the_neighbours_row() -> None:
    """Its vector too, so that the neighbour is among the chosen."""
    _, _, token_map = make(FEW)
    row, (column, twin) = computed_ids(token_map)[3], list(anchors_of(token_map).items())[40]
    rows = HELPER.clone()
    rows[row] = rows[twin]
    config = replace(FEW, aux=AuxKind.helper)
    source, table, token_map = make(config, rows=rows)
    torch.testing.assert_close(table.input[row], source.input[column], atol=1e-5, rtol=1e-5)
    assert dict(token_map.row(row))[column] == pytest.approx(1, abs=1e-5)


def test_an_offset_of_the_helper_matters_unless_the_fit_is_centred() -> None:
    shifted = HELPER + 5
    before, after = new_rows(FEW, rows=HELPER)[0], new_rows(FEW, rows=shifted)[0]
    assert (after - before).abs().max() > 0.1
    centred = replace(FEW, solver=SaltSolver(center=True))
    before, after = new_rows(centred, rows=HELPER)[0], new_rows(centred, rows=shifted)[0]
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)


def test_a_general_map_of_the_helper_matters_with_few_neighbours_only() -> None:
    bent = HELPER @ (torch.eye(16) + 0.5 * random_matrix(16, 16, seed=6))
    before, after = new_rows(FEW, rows=HELPER)[0], new_rows(FEW, rows=bent)[0]
    assert (after - before).abs().max() > 0.1
    # With at least as many as dimensions each map reproduces the token; but of the many weights
    # that do, the shortest are chosen, so the rows agree where the source is linear in the helper.
    linear = HELPER @ random_matrix(16, 12)
    source = linear_source(linear)
    before, after = (new_rows(MANY, rows=rows, source=source)[0] for rows in (HELPER, bent))
    torch.testing.assert_close(after, before, atol=1e-3, rtol=1e-3)


def linear_source(truth: torch.Tensor):
    """A source table whose rows of shared tokens are ``truth`` of the target token."""
    source = source_table(KIND)
    builder = MapBuilder(source, TARGET, SaltInit(), 0)
    rows = source.input.clone()
    for index, column in builder.overlap.items():
        rows[column] = truth[index]
    return replace(source, input=rows)


def test_one_neighbour_with_a_negative_cosine_flips_the_sign() -> None:
    config = SaltInit(selector=Selector(SelectorKind.topk, k=1))
    source, table, token_map = make(config, rows=HELPER)
    anchors, seen = anchors_of(token_map), 0
    for row in computed_ids(token_map):
        ((column, weight),) = token_map.row(row)
        near = HELPER[anchors[column]]
        assert weight == pytest.approx(float(HELPER[row] @ near / near.square().sum()), rel=1e-4)
        torch.testing.assert_close(table.input[row], weight * source.input[column])
        seen += weight < 0
    assert seen > 0


def test_rows_leave_the_convex_hull() -> None:
    _, _, token_map = make(FEW)
    notes = token_map.notes["weights"][0]
    assert 0.05 < notes["negative_share"] < 0.6
    sums = [sum(weight for _, weight in token_map.row(row)) for row in computed_ids(token_map)]
    assert np.abs(np.array(sums) - 1).max() > 0.1
    assert notes["mean_sum"] == pytest.approx(np.mean(sums), abs=1e-5)


@pytest.mark.parametrize("kind", [SelectorKind.topk, SelectorKind.sparsemax, SelectorKind.omp])
def test_self_transfer_is_the_projection_on_the_neighbours(kind: SelectorKind) -> None:
    """Helper and source are one model; tokens that are not shared are its hidden tokens."""
    truth = alike(random_matrix(len(TARGET), 12) + 0.4, TARGET)
    config = SaltInit(selector=Selector(kind, k=5, temperature=0.2))
    _, table, token_map = make(config, rows=truth, source=linear_source(truth))
    anchors = anchors_of(token_map)
    for row in computed_ids(token_map):
        span = truth[[anchors[column] for column, _ in token_map.row(row)]].double()
        expected = truth[row].double() @ torch.linalg.pinv(span, rtol=1e-10) @ span
        weights = sum(abs(weight) for _, weight in token_map.row(row))
        torch.testing.assert_close(
            table.input[row].double(), expected, atol=1e-5 * (1 + weights), rtol=0
        )


@pytest.mark.parametrize("kind", [SelectorKind.topk, SelectorKind.all, SelectorKind.omp])
def test_a_linear_world_is_recovered_from_enough_neighbours(kind: SelectorKind) -> None:
    truth = alike(random_matrix(len(TARGET), 12) + 0.4, TARGET)
    config = SaltInit(selector=Selector(kind, k=30))
    helper = truth @ random_matrix(12, 12, seed=9)
    _, table, token_map = make(config, rows=helper, source=linear_source(truth))
    ids = computed_ids(token_map)
    torch.testing.assert_close(table.input[ids], truth[ids], atol=2e-3, rtol=2e-3)


def test_all_neighbours_are_one_map_for_all_tokens() -> None:
    config = SaltInit(selector=Selector(SelectorKind.all))
    source, table, token_map = make(config, rows=HELPER)
    shared, columns = anchor_pairs(token_map)
    linear = torch.linalg.pinv(HELPER[shared].double()) @ source.input[columns].double()
    ids = computed_ids(token_map)
    expected = HELPER[ids].double() @ linear
    torch.testing.assert_close(table.input[ids].double(), expected, atol=1e-5, rtol=1e-4)


def test_tokens_without_a_word_vector_are_drawn_and_shared_ones_stay_copies() -> None:
    target_words = word_space(TARGET)
    half = VectorSpace(target_words.words[::2], target_words.vectors[::2])
    resources = donor_resources(TARGET)
    resources.word_vectors = {"sw": half}
    source, table, token_map = make(SaltInit(), resources=resources)
    drawn = token_map.provenance == Provenance.fallback
    assert int(drawn.sum()) == token_map.notes["aux"]["without_vector"] > 20
    assert token_map.fallback.kind is Fallback.normal
    for row in (token_map.provenance == Provenance.copied).nonzero().flatten().tolist():
        assert torch.equal(table.input[row], source.input[token_map.row(row)[0][0]])
    listed = set(half.words)
    for row in computed_ids(token_map):
        assert TARGET.decode([row]).strip() in listed


def test_each_language_is_compared_in_its_own_space() -> None:
    """Two spaces that know other words, and both some shared ones."""
    words = word_space(TARGET)
    _, _, plain = make(FEW)
    made = computed_ids(plain)
    mine = {TARGET.decode([row]).strip() for row in made[:20]}
    theirs = {TARGET.decode([row]).strip() for row in made[20:]} - mine
    others = [word for word in words.words if word not in mine | theirs]
    split = {
        "sw": [*others[::2], *mine], "am": [*others[1::2], *theirs],
    }  # fmt: skip
    resources = donor_resources(TARGET)
    resources.languages = ["sw", "am"]
    resources.word_vectors = {
        code: VectorSpace(listed, words.lookup(listed)[0]) for code, listed in split.items()
    }
    _, _, token_map = make(FEW, resources=resources)
    anchors = anchors_of(token_map)
    for row in computed_ids(token_map):
        home = "sw" if TARGET.decode([row]).strip() in mine else "am"
        near = {TARGET.decode([anchors[column]]).strip() for column, _ in token_map.row(row)}
        assert near <= set(split[home])


def test_neighbours_by_pieces_and_by_the_helper() -> None:
    resources = donor_resources(TARGET)
    names = {index: name for name, index in TARGET.get_vocab().items()}
    pieces = [names[i] for i in range(len(TARGET)) if not names[i].startswith("<")]
    resources.piece_vectors = {"target": VectorSpace(pieces, random_matrix(len(pieces), 8))}
    for aux in (AuxKind.piece_vectors, AuxKind.helper):
        _, _, token_map = make(replace(FEW, aux=aux), resources=resources)
        assert len(computed_ids(token_map)) > 50
    _, _, token_map = make(replace(FEW, aux=AuxKind.helper), rows=HELPER)
    pool, columns = anchor_pairs(token_map)
    for row in computed_ids(token_map)[:20]:
        cosines = torch.cosine_similarity(HELPER[row][None], HELPER[pool], dim=1)
        expected = set(columns[cosines.topk(5).indices].tolist())
        assert {column for column, _ in token_map.row(row)} == expected


@pytest.mark.parametrize("rescale", [Rescale.mean_norm, Rescale.per_row_norm])
def test_rescaling_sets_the_norms(rescale: Rescale) -> None:
    source, _, plain = make(FEW)
    goal = source.input[plain.exemplars].norm(dim=1).mean()
    ratio = plain.notes["row_lengths"]["computed_over_source"]
    before, _ = new_rows(FEW)
    assert float(before.norm(dim=1).mean() / goal) == pytest.approx(ratio, rel=1e-4)
    after, _ = new_rows(replace(FEW, rescale=rescale))
    norms = after.norm(dim=1)
    assert float(norms.mean()) == pytest.approx(float(goal), rel=1e-4)
    cosine = torch.cosine_similarity(before, after, dim=1)
    torch.testing.assert_close(cosine, torch.ones_like(cosine))
    assert (float(norms.std()) < 1e-4) is (rescale is Rescale.per_row_norm)


def test_lengths_of_a_large_table_are_noted_from_chunks_of_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(row_norms, "_CHUNK_ROWS", 10)
    monkeypatch.setattr(row_norms, "_NOTED_CHUNKS", 2)
    source, table, token_map = make(FEW)
    places = sorted({row // 10 for row in computed_ids(token_map)})
    every = -(-len(places) // 2)
    asked = [row for row in computed_ids(token_map) if row // 10 in places[::every]]
    assert 0 < len(asked) < len(computed_ids(token_map))
    lengths = table.input[asked].norm(dim=1)
    goal = source.input[token_map.exemplars].norm(dim=1).mean()
    found = token_map.notes["row_lengths"]["computed_over_source"]
    assert found == pytest.approx(float(lengths.mean() / goal), rel=1e-4)


def test_weighting_by_sparsemax_matters_with_many_neighbours() -> None:
    config = SaltInit(selector=Selector(temperature=5.0))
    weighted = replace(config, solver=SaltSolver(weighting=Weighting.sparsemax))
    before, after = new_rows(config)[0], new_rows(weighted)[0]
    assert (before - after).abs().max() > 1e-2


def overlap_sizes(kind: TokenizerKind, source_kind: TokenizerKind) -> dict[str, int]:
    source = source_table(source_kind)
    builder = MapBuilder(source, target_tokenizer(kind), SaltInit(), 0)
    return {
        f"{mode}{fold}": len(overlap_readings(builder, mode)[fold])
        for mode in OverlapMode
        for fold in (False, True)
    }


def test_vocabulary_strings_undercount_between_families() -> None:
    sizes = overlap_sizes(TokenizerKind.sentencepiece_bpe, TokenizerKind.byte_level_bpe)
    assert sizes["nativeFalse"] < sizes["bytesFalse"] - 100
    assert sizes["bytesTrue"] >= sizes["bytesFalse"]


def test_decoded_text_overcounts_bytes_that_are_no_text() -> None:
    """128 single bytes decode to U+FFFD and count as one and the same token."""
    target = target_tokenizer(TokenizerKind.byte_level_bpe)
    builder = MapBuilder(source_table(TokenizerKind.byte_level_bpe), target, SaltInit(), 0)
    table = canonical_bytes(target)
    high = [
        i for i, data in enumerate(table) if data is not None and len(data) == 1 and data[0] > 127
    ]
    assert len(high) == 128
    decoded = overlap_readings(builder, OverlapMode.decode)[False]
    assert len({decoded[row] for row in high}) == 1
    exact = overlap_readings(builder, OverlapMode.bytes)[False]
    assert len({exact[row] for row in high}) == 128


def test_folding_case_adds_partners_and_keeps_exact_ones() -> None:
    source = source_table(KIND, tokenizer=source_tokenizer(KIND))
    target = target_tokenizer(KIND)
    builder = MapBuilder(source, target, SaltInit(), 0)
    exact, folded = overlap_readings(builder, OverlapMode.bytes)
    assert exact.items() <= folded.items()
    for row in folded.keys() - exact.keys():
        old, new = builder.source_bytes[folded[row]], builder.target_bytes[row]
        assert old != new
        assert old.decode().casefold() == new.decode().casefold()
    native = overlap_readings(builder, OverlapMode.native)[True]
    assert len(native) > 300


def test_the_chosen_overlap_is_copied_and_all_readings_are_counted() -> None:
    config = SaltInit(overlap=Overlap(OverlapMode.native))
    source = source_table(TokenizerKind.byte_level_bpe)
    _, token_map = initialise(source, TARGET, config, donor_resources(TARGET), 0)
    sizes = token_map.notes["shared_by_mode"]
    assert token_map.counts()["copied"] == sizes["native"] < sizes["bytes"]
    assert set(sizes) == {
        f"{m}{f}" for m in ("bytes", "native", "decode") for f in ("", "+case_fold")
    }


def test_anchors_can_be_left_out() -> None:
    def anchors(**options) -> dict[str, int]:
        config = SaltInit(anchors=SaltAnchors(**options))
        return make(config)[2].notes["anchors"]

    plain = anchors()
    assert plain["bytes"] == 256
    assert plain["anchors"] == plain["shared"] - plain["special"] - 256
    assert anchors(drop_bytes=False)["anchors"] == plain["anchors"] + 256
    assert anchors(drop_special=False)["anchors"] > plain["anchors"]
    short = anchors(undertrained_quantile=0.25)
    assert short["undertrained"] == pytest.approx(0.25 * plain["anchors"], abs=1)
    assert short["anchors"] == plain["anchors"] - short["undertrained"]


def test_missing_vectors_are_errors_that_say_what_to_do() -> None:
    resources = donor_resources(TARGET)
    resources.word_vectors = {}
    with raises(DataError, "init_method=salt", "word vectors"):
        make(SaltInit(), resources=resources)
    resources.word_vectors = {"fi": word_space(TARGET)}
    with raises(DataError, "init_method=salt", "sw", "fi"):
        make(SaltInit(), resources=resources)
    resources.word_vectors = {"sw": VectorSpace(["zzzz"], torch.ones(1, 4))}
    with raises(CompatibilityError, "init_method=salt", "aux=word_vectors"):
        make(SaltInit(), resources=resources)


def test_needs_follow_the_options() -> None:
    assert SaltInit().needs() == {"helper", "word_vectors"}
    assert SaltInit(aux=AuxKind.piece_vectors).needs() == {"helper", "piece_vectors"}
    assert SaltInit(aux=AuxKind.helper).needs() == {"helper"}
    assert SaltInit(selector=Selector(SelectorKind.omp)).needs() == {"helper"}


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"copy_overlap": False}, "copy_overlap"),
        (
            {**vars(FEW), "solver": SaltSolver(weighting=Weighting.sparsemax)},
            "solver.weighting",
        ),
        (
            {"solver": SaltSolver(weighting=Weighting.sparsemax, center=True)},
            "solver.weighting",
        ),
        ({"rescale": Rescale.mean_norm, "norm_match": True}, "rescale"),
    ],
)
def test_options_that_contradict_each_other_are_faults(values: dict[str, Any], key: str) -> None:
    assert list(faults_of(SaltInit, **values)) == [key]


def test_no_resource_at_all_is_refused_before_work() -> None:
    with raises(DataError, "init_method=salt", "helper"):
        make(SaltInit(), resources=InitResources(languages=["sw"]))


def test_at_most_so_many_neighbours_the_heaviest() -> None:
    config = SaltInit(selector=Selector(temperature=0.3))
    few = SaltInit(selector=Selector(temperature=0.3, max_k=3))
    near = replace(config, selector=Selector(SelectorKind.topk, k=3))
    _, _, whole = make(config)
    _, _, capped = make(few)
    _, _, nearest = make(near)
    sizes = [[len(item.row(row)) for row in computed_ids(item)] for item in (whole, capped)]
    assert max(sizes[0]) > 3
    assert sizes[1] == [min(size, 3) for size in sizes[0]]
    rows = [row for row, size in zip(computed_ids(whole), sizes[0], strict=True) if size >= 3]
    same = [capped.row(row) == nearest.row(row) for row in rows]
    assert sum(same) > 0.9 * len(same) > 50  # pieces of one text tie at the last place


@pytest.mark.parametrize("drop", [True, False])
def test_anchors_without_vectors_may_stay_as_unrelated_ones(drop: bool) -> None:
    """Where all vectors point away from one token, an anchor without any is the nearest to it."""
    config = SaltInit(
        anchors=SaltAnchors(drop_no_aux=drop), selector=Selector(SelectorKind.topk, k=1)
    )
    resources = donor_resources(TARGET)
    space = resources.word_vectors["sw"]
    shared, _ = anchor_pairs(make(config)[2])
    surfaces = [TARGET.decode([index]).strip() for index in range(len(TARGET))]
    twins = {surfaces[index] for index in shared.tolist()}
    row = next(row for row in computed_ids(make(config)[2]) if surfaces[row] not in twins)
    vectors = space.vectors.abs()
    vectors[space.index[surfaces[int(shared[40])]]] = 0
    vectors[space.index[surfaces[row]]] *= -1
    space = VectorSpace(space.words, vectors)
    resources.word_vectors = {"sw": space}
    _, _, token_map = make(config, resources=resources)
    [(column, _)] = token_map.row(row)
    found, known = space.lookup([surfaces[anchors_of(token_map)[column]]])
    assert bool(known[0]) is drop
    assert (float(found[0] @ space.vectors[space.index[surfaces[row]]]) < 0) is drop


def test_vocabulary_strings_may_be_what_is_looked_up() -> None:
    names = {index: name for name, index in TARGET.get_vocab().items()}
    resources = donor_resources(TARGET)
    space = resources.word_vectors["sw"]
    config = replace(FEW, surface=Surface.native)
    _, _, stripped = make(FEW, resources=resources)
    row = next(row for row in computed_ids(stripped) if names[row].startswith("▁"))
    _, _, native = make(config, resources=resources)
    assert native.provenance[row] == Provenance.fallback  # no word of the space has the marker
    resources.word_vectors = {
        "sw": VectorSpace(
            [*space.words, *(f"▁{word}" for word in space.words)], torch.cat([space.vectors] * 2)
        )
    }
    _, _, native = make(config, resources=resources)
    assert native.provenance[row] == Provenance.computed


def test_one_rotation_for_all_is_the_procrustes_map_and_its_scale() -> None:
    config = SaltInit(
        selector=Selector(SelectorKind.all), solver=SaltSolver(mapping=Mapping.orthogonal)
    )
    source, table, token_map = make(config, rows=HELPER)
    ids, columns = anchor_pairs(token_map)
    a, b = HELPER[ids].double(), source.input[columns].double()
    left, values, right = torch.linalg.svd(a.T @ b, full_matrices=False)
    linear = left @ right * values.sum() / (a @ left).square().sum()
    rows = computed_ids(token_map)
    torch.testing.assert_close(
        table.input[rows].double(), HELPER[rows].double() @ linear, atol=1e-4, rtol=1e-4
    )
    # the best of its kind: any other rotation, at its own best scale, leaves more
    turn = torch.linalg.qr(random_matrix(12, 12)).Q.double()
    for other in (left @ right @ turn, left @ torch.eye(12, dtype=torch.float64)):
        scale = ((a @ other) * b).sum() / (a @ other).square().sum()
        assert (a @ linear - b).norm() < (a @ other * scale - b).norm()


def test_options_that_exclude_each_other_are_faults() -> None:
    found = [
        list(faults_of(SaltInit, **values))
        for values in (
            {"selector": Selector(SelectorKind.topk, max_k=3)},
            {"solver": SaltSolver(mapping=Mapping.orthogonal)},
            {
                "selector": Selector(SelectorKind.all),
                "solver": SaltSolver(mapping=Mapping.orthogonal, ridge=1.0),
            },
        )
    ]
    assert found == [["selector.max_k"], ["solver.mapping"], ["solver.mapping"]]
    assert not collect_faults(SaltInit())


def test_one_deviation_for_all_dimensions_is_a_fallback() -> None:
    source = source_table(KIND, size=64)
    source.input *= torch.linspace(0.1, 4, 64)
    rows = torch.zeros_like(HELPER)
    anchors, _ = anchor_pairs(make(SaltInit())[2])
    rows[anchors] = HELPER[anchors]
    config = SaltInit(fallback=Fallback.normal_scalar)
    _, table, token_map = make(config, rows=rows, source=source)
    drawn = table.input[token_map.provenance == Provenance.fallback]
    text = source.input[token_map.exemplars]
    wanted = (text - text.mean(0)).square().mean().sqrt()
    spread = (drawn - text.mean(0)).std(0)
    assert len(drawn) > 80
    assert float((spread / wanted - 1).abs().max()) < 0.4
    assert float((drawn - text.mean(0)).std() / wanted) == pytest.approx(1, abs=0.05)
