"""Influence of stretches on each other: against a loop, against the model, and what moves."""

import pytest
import torch

from franken.distillation.common.pairing import Pairing, flat_chunks
from franken.errors import CompatibilityError
from franken.init_method.matt import Distance, Influence, MattInit
from franken.training.batches import completed
from franken.training.frozen import FrozenModel
from franken.training.influence import attended, influences
from franken.training.learners.matt import Matching
from franken.training.learners.token_distillation import NewRows
from tests.distillation.test_chunks import batch_of
from tests.faults import raises
from tests.init_method.tiny import SWAHILI, source_tokenizer, target_tokenizer
from tests.training.test_learners import KIND, make_model, make_task
from tests.training.tiny import CPU


def test_influences_are_weighted_values_summed_by_stretch():
    generator = torch.Generator().manual_seed(0)
    weights = torch.rand(2, 7, 7, generator=generator).tril()
    values = torch.randn(2, 7, 3, generator=generator)
    chunks = torch.tensor([-1, 0, 0, 2, 3, 3, 3])
    found = influences(weights, values, chunks)
    numbers = [0, 2, 3]
    assert found.shape == (2, 3, 3, 3)
    for i, query in enumerate(numbers):
        last = max(place for place in range(7) if chunks[place] == query)
        for j, key in enumerate(numbers):
            own = [place for place in range(7) if chunks[place] == key]
            expected = sum(weights[:, last, k, None] * values[:, k] for k in own)
            torch.testing.assert_close(found[:, i, j], expected)


@pytest.mark.parametrize("tied", [True, False], ids=["gemma2", "llama"])
def test_all_influences_on_a_token_are_what_the_layer_gives_its_projection(tied):
    model = make_model(tied).float()
    frozen = FrozenModel(model, CPU)
    ids = torch.tensor([[5, 9, 11, 7, 8, 3]])
    segments = torch.tensor([[1, 1, 1, 2, 2, 2]])
    given = []
    projection = model.model.layers[1].self_attn.o_proj
    handle = projection.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    embedded = frozen.embed(model.get_input_embeddings().weight, ids)
    frozen.states(embedded, segments, torch.arange(6)[None])
    handle.remove()
    seen = attended(frozen, embedded, segments, 1)
    every = influences(seen.weights[0], seen.values[0], torch.arange(6)).sum(2)
    torch.testing.assert_close(
        every.transpose(0, 1).reshape(6, -1), given[0][0], rtol=1e-4, atol=1e-5
    )


def test_a_layer_without_attention_is_refused():
    frozen = FrozenModel(make_model(True).float(), CPU)
    embedded = frozen.embed(frozen.model.get_input_embeddings().weight, torch.tensor([[5, 9]]))
    with raises(CompatibilityError, "init_method.layer"):
        attended(frozen, embedded, torch.ones(1, 2, dtype=torch.int64), 99)


def matching_of(task, method, ids):
    start = task.start
    rows = NewRows(start, ids, head=False)
    return Matching(FrozenModel(task.model, CPU), task.source, start, rows, method), rows


@pytest.mark.parametrize("variant", list(Influence))
@pytest.mark.parametrize("distance", list(Distance))
def test_the_old_pieces_read_as_new_ones_are_at_distance_0(tmp_path, variant, distance):
    method = MattInit(variant=variant, distance=distance)
    task = make_task(method, tmp_path)
    task.start = task.source
    matching, _ = matching_of(task, method, [9])
    pairing = Pairing(task.source.tokenizer, task.source.tokenizer)
    batch = pairing.pair(completed(batch_of(task.source.tokenizer, SWAHILI[:2], eos=False)))
    assert float(matching.loss(batch).detach()) == pytest.approx(0.0, abs=1e-6)


def test_the_loss_is_the_mean_over_pairs_of_one_document(tmp_path):
    method = MattInit(layer=1.0, keep_first=True)
    task = make_task(method, tmp_path)
    matching, _ = matching_of(task, method, [9])
    pairing = Pairing(target_tokenizer(KIND), source_tokenizer(KIND), predicted=False)
    lines = [line[:24] for line in SWAHILI if line.isascii()][:2]
    batch = pairing.pair(completed(batch_of(target_tokenizer(KIND), lines, eos=False)))
    mine, theirs, _ = flat_chunks(batch["chunks"], batch["teacher_chunks"])
    sides = []
    for table, ids, segments in (
        (task.start, batch["input_ids"], batch["segment_ids"]),
        (task.source, batch["teacher_ids"], batch["teacher_segments"]),
    ):
        embedded = matching.frozen.embed(table.input.float(), ids)
        sides.append(attended(matching.frozen, embedded, segments, 1))
    squares = []
    for row in range(len(mine)):
        chunks = sorted({int(chunk) for chunk in mine[row] if chunk >= 0})
        assert len(chunks) > 4
        for at, query in enumerate(chunks):
            for key in chunks[: at + 1]:
                if (
                    batch["segment_ids"][row][mine[row] == query][0]
                    != (batch["segment_ids"][row][mine[row] == key][0])
                ):
                    continue
                found = []
                for side, table in zip(sides, (mine, theirs), strict=True):
                    last = int((table[row] == query).nonzero()[-1])
                    keys = table[row] == key
                    found.append(
                        torch.einsum(
                            "hk,hkd->hd",
                            side.weights[row][:, last, keys],
                            side.values[row][:, keys],
                        )
                    )
                squares.append((found[0] - found[1]).square())
    expected = torch.stack(squares).mean()
    assert float(matching.loss(batch).detach()) == pytest.approx(float(expected), rel=1e-4)
