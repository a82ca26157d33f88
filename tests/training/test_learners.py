"""Learned initialisers on tiny models: what moves, what must not, and where training begins."""

import copy
from collections import Counter
from dataclasses import replace
from functools import cache

import pytest
import torch
from transformers import AutoModelForCausalLM, Gemma2Config, LlamaConfig

from franken import progress
from franken.config.base_model import TokenizerKind
from franken.config.checks import faults_later
from franken.config.training import TrainingConfig
from franken.errors import ConfigError, DataError, FrankenError
from franken.init_method import InitResources, Provenance, apply_map, initialise
from franken.init_method.matt import MattInit
from franken.init_method.mean import MeanInit
from franken.init_method.retok import RetokInit
from franken.init_method.token_distillation import DistilTarget, TokenDistillationInit
from franken.init_method.vocadt import VocadtInit
from franken.parts.surgery import put_table, take_table
from franken.parts.table import Table
from franken.tokenizer.pieces import canonical_bytes, encode_pieces
from franken.training.frozen import FrozenModel
from franken.training.learners import LearnTask, learn_rows
from franken.training.learners.snippets import Snippet, collate, mine
from franken.training.learners.token_distillation import Distillation, NewRows, new_tokens
from franken.training.learners.vocadt import MapAdapter, adapter_loss
from tests.faults import faults_of, nearest, raises, unnamed
from tests.init_method.tiny import (
    SWAHILI,
    edited,
    source_tokenizer,
    target_tokenizer,
    text_ids,
)
from tests.training.tiny import CPU

KIND = TokenizerKind.byte_level_bpe
WIDTH = 16
TEXTS = [line for line in SWAHILI if line.isascii()] * 2
RESOURCES = InitResources(languages=["sw"], texts=lambda language: iter(TEXTS))
SCHEDULE = TrainingConfig(steps=12, batch_size=4, sequence_length=32, lr=1e-2, checkpoint_every=5)


@cache
def _weights(tied, kind=KIND):
    """A Gemma 2 (scaled, soft-capped, tied) or a Llama (plain, untied), random but fixed."""
    shape = {
        "vocab_size": len(source_tokenizer(kind)), "hidden_size": WIDTH, "intermediate_size": 24,
        "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8,
        "max_position_embeddings": 64, "bos_token_id": None, "eos_token_id": None,
        "pad_token_id": 0,  # torch blocks the gradient of this row, whatever table is looked up
    }  # fmt: skip
    if tied:
        config = Gemma2Config(**shape, attn_implementation="eager")
    else:
        config = LlamaConfig(**shape, tie_word_embeddings=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter) * 0.1)
    return config, {name: tensor.clone() for name, tensor in model.state_dict().items()}


def make_model(tied=True, kind=KIND):
    config, weights = _weights(tied, kind)
    model = AutoModelForCausalLM.from_config(copy.deepcopy(config))  # surgery changes it
    model.load_state_dict(weights)
    return model.eval()


class Batches:
    """Rows of target-language tokens, the same at every epoch."""

    def __init__(self, tokenizer, training):
        self.rows = training.batch_size // training.accumulate
        stream = [i for line in TEXTS for i in tokenizer.encode(line, add_special_tokens=False)]
        width, self.position = training.sequence_length, 0
        stream = stream * (1 + self.rows * width // len(stream))
        self.ids = torch.tensor(stream[: len(stream) // width * width]).view(-1, width)

    def prepare_data(self):
        pass

    def setup(self, stage=None):
        pass

    def train_dataloader(self):
        for start in range(0, len(self.ids) - self.rows + 1, self.rows):
            ids = self.ids[start : start + self.rows]
            ones = torch.ones_like(ids)
            positions = torch.arange(ids.shape[1]).expand_as(ids)
            yield {
                "input_ids": ids, "labels": ids, "segment_ids": ones, "position_ids": positions,
            }  # fmt: skip

    def val_dataloader(self):
        return []

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


class Endless(Batches):
    def train_dataloader(self):
        return [batch for _ in range(50) for batch in super(Endless, self).train_dataloader()]


def make_task(method, tmp_path, *, tied=True, dtype=torch.float32, texts=TEXTS, kind=KIND):
    model = make_model(tied, kind)
    source = take_table(model, source_tokenizer(kind), lineage="body")
    source.input = source.input.to(dtype)
    source.output = None if source.output is None else source.output.to(dtype)
    start, token_map = initialise(source, target_tokenizer(kind), method, RESOURCES, 0)
    return LearnTask(
        method=method, model=model, source=source, start=start, token_map=token_map,
        data=lambda training: Endless(start.tokenizer, training), texts=lambda: iter(texts),
        trainer=CPU, work_dir=tmp_path, seed=5,
    )  # fmt: skip


def body(model):
    tables = {id(model.get_input_embeddings().weight), id(model.get_output_embeddings().weight)}
    return {n: p.detach().clone() for n, p in model.named_parameters() if id(p) not in tables}


def same(first: Table, second: Table):
    return all(
        torch.equal(tensor, second.matrices()[name]) for name, tensor in first.matrices().items()
    )


def logits_with(model, table, ids):
    model.float()
    put_table(model, table)
    with torch.no_grad():
        return model(ids).logits


METHODS = {
    "retok": lambda lr: RetokInit(training=replace(SCHEDULE, lr=lr)),
    "vocadt": lambda lr: VocadtInit(training=replace(SCHEDULE, lr=lr)),
    "token_distillation": lambda lr: TokenDistillationInit(lr=lr, snippets=4),
    "matt": lambda lr: MattInit(training=replace(SCHEDULE, steps=6, lr=lr)),
}


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
@pytest.mark.parametrize("name", METHODS)
def test_at_a_rate_of_zero_the_table_is_the_starts_bit_for_bit(tmp_path, name, tied, dtype):
    task = make_task(METHODS[name](0.0), tmp_path, tied=tied, dtype=dtype)
    before = body(task.model)
    learned = learn_rows(task)
    assert same(learned.table, task.start)
    assert all(torch.equal(tensor, before[n]) for n, tensor in body(task.model).items())


@pytest.mark.parametrize("kind", [kind for kind in TokenizerKind if kind is not KIND])
@pytest.mark.parametrize("name", METHODS)
def test_at_a_rate_of_zero_so_it_is_for_any_kind_of_tokenizer(tmp_path, name, kind):
    task = make_task(METHODS[name](0.0), tmp_path, tied=False, kind=kind)
    assert task.start.rows == len(target_tokenizer(kind))
    assert same(learn_rows(task).table, task.start)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("name", METHODS)
def test_training_lowers_the_loss_and_leaves_the_body_and_the_dtype_alone(
    tmp_path, name, tied, caplog, monkeypatch
):
    monkeypatch.setattr(progress, "TELL_EVERY", 0.0)
    caplog.set_level("INFO", progress.__name__)
    task = make_task(METHODS[name](1e-2), tmp_path, tied=tied)
    before, source = body(task.model), take_table(task.model, source_tokenizer(KIND), lineage="")
    learned = learn_rows(task)
    assert not same(learned.table, task.start)
    assert all(torch.equal(tensor, before[n]) for n, tensor in body(task.model).items())
    assert same(task.source, replace(source, lineage="body"))
    assert learned.table.tied == tied
    assert learned.table.input.dtype == task.source.input.dtype
    if name == "retok":
        ids = torch.tensor(task.start.tokenizer.encode(" ".join(TEXTS)))[None, :60]

        def nats(table):
            logits = logits_with(make_model(tied), table, ids)
            return torch.nn.functional.cross_entropy(logits[0, :-1], ids[0, 1:])

        assert nats(learned.table) < nats(task.start) - 0.1
    else:
        assert learned.report["last_loss"] < learned.report["first_loss"]
        steps = learned.report["steps"]
        told = [r.args[1:3] for r in caplog.records if r.name == progress.__name__]
        assert told == [(step, steps) for step in range(1, steps + 1)]


@pytest.mark.parametrize("name", METHODS)
def test_equal_seeds_give_equal_bytes(tmp_path, name):
    runs = [learn_rows(make_task(METHODS[name](1e-2), tmp_path / str(i))) for i in range(2)]
    assert same(runs[0].table, runs[1].table)


# --- VocADT -----------------------------------------------------------------------------------


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_folded_model_has_the_adapters_logits(tmp_path, tied):
    task = make_task(METHODS["vocadt"](1e-2), tmp_path, tied=tied)
    learned = learn_rows(task)
    separate = not tied
    adapter = MapAdapter(learned.token_map, task.source, task.start, separate=separate)
    frozen = FrozenModel(make_model(tied), CPU)
    ids = torch.tensor(task.start.tokenizer.encode("watoto wanasoma kitabu"))[None]
    ones = torch.ones_like(ids)
    with torch.no_grad():
        states = frozen.states(
            frozen.embed(adapter.rows("input"), ids), ones, torch.arange(ids.shape[1])[None]
        )
        adapted = frozen.logits(states, adapter.rows("input" if tied else "output"))
    merged = logits_with(make_model(tied), learned.table, ids)
    assert torch.allclose(adapted, merged, atol=1e-5)
    assert not torch.allclose(merged, logits_with(make_model(tied), task.start, ids), atol=1e-3)


def test_the_folded_table_is_the_trained_map_and_the_map_says_what_moved(tmp_path):
    task = make_task(METHODS["vocadt"](1e-2), tmp_path, tied=False)
    learned = learn_rows(task)
    learned.token_map.validate()
    assert torch.equal(learned.table.input, apply_map(learned.token_map, task.source.input))
    output = apply_map(learned.token_map, task.source.output, part="output")
    assert torch.equal(learned.table.output, output)
    special = task.token_map.provenance == Provenance.special
    assert torch.equal(learned.table.input[special], task.start.input[special])
    assert learned.token_map.notes["moved_rows"] > 50
    assert not torch.equal(learned.token_map.weights, learned.token_map.output_weights)


def test_one_set_of_weights_when_tied_in_and_out(tmp_path):
    method = VocadtInit(tie_in_out=True, training=SCHEDULE)
    learned = learn_rows(make_task(method, tmp_path, tied=False))
    assert learned.token_map.output_weights is None
    assert learned.report["weights"] == len(learned.token_map.weights)


def test_the_loss_is_next_token_nats_plus_the_drift_of_shared_rows(tmp_path):
    method = VocadtInit(aux_alpha=0.5, training=SCHEDULE)
    task = make_task(method, tmp_path, tied=False)
    adapter = MapAdapter(task.token_map, task.source, task.start, separate=True)
    with torch.no_grad():
        for weights in adapter.parameters():
            weights.mul_(1.25)
    frozen = FrozenModel(task.model, CPU)
    batch = {**next(Batches(task.start.tokenizer, SCHEDULE).train_dataloader())}
    counted = batch["input_ids"][:, 1:].numel()
    batch["loss_weight"] = 1.0 / counted
    found = adapter_loss(adapter, frozen, batch, method)

    wide = {part: adapter.rows(part).detach() for part in ("input", "output")}
    table = replace(task.start, input=wide["input"], output=wide["output"])
    logits = logits_with(make_model(False), table, batch["input_ids"])
    nats = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["input_ids"][:, 1:].flatten()
    )
    copied = (task.token_map.provenance == Provenance.copied).nonzero().flatten().tolist()
    partners = [task.token_map.row(row)[0][0] for row in copied]
    # every shared row is 1.25 times its partner: the distance is a quarter of the partner's norm
    drift = sum(
        (0.25 * matrix[partners]).square().sum(dim=1).mean()
        for matrix in (task.source.input, task.source.output)
    )
    assert float(found.detach()) == pytest.approx(float(nats + 0.5 * drift), rel=1e-4)


def test_the_auxiliary_loss_keeps_shared_rows_near(tmp_path):
    def moved(alpha):
        method = VocadtInit(aux_alpha=alpha, training=replace(SCHEDULE, steps=30))
        task = make_task(method, tmp_path / str(alpha))
        learned = learn_rows(task)
        shared = task.token_map.provenance == Provenance.copied
        return float((learned.table.input - task.start.input)[shared].norm())

    assert moved(100.0) < 0.5 * moved(0.0)


def test_the_support_is_widened_without_moving_the_start(tmp_path):
    narrow = make_task(VocadtInit(neighbours=0), tmp_path)
    wide = make_task(VocadtInit(neighbours=5), tmp_path)
    assert same(narrow.start, wide.start)
    computed = narrow.token_map.provenance == Provenance.computed
    more = wide.token_map.sizes() - narrow.token_map.sizes()
    assert more[computed].unique().tolist() == [5]
    assert more[~computed].unique().tolist() == [0]
    unit = torch.nn.functional.normalize(wide.source.input, dim=1)
    row = int(computed.nonzero()[0])
    start, stop = wide.token_map.indptr[row : row + 2].tolist()
    columns = wide.token_map.indices[start:stop].long()
    added = columns[wide.token_map.weights[start:stop] == 0]
    scores = unit @ torch.nn.functional.normalize(wide.start.input[row], dim=0)
    usable = wide.token_map.exemplars.clone()
    usable[columns[wide.token_map.weights[start:stop] != 0]] = False
    best = scores.masked_fill(~usable, -2).topk(5).indices
    assert set(added.tolist()) == set(best.tolist())


def test_a_piece_without_any_source_row_starts_at_a_random_mixture(tmp_path):
    method = VocadtInit(start="copy_only", random_support=6, neighbours=0)
    task = make_task(method, tmp_path)
    assert task.token_map.counts()["fallback"] == 0
    computed = (task.token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert task.token_map.notes["random_rows"] == len(computed) > 50
    for row in computed[:10]:
        weights = [weight for _, weight in task.token_map.row(row)]
        assert len(weights) == 6
        assert min(weights) >= 0
        assert sum(weights) == pytest.approx(1.0)
    supports = {tuple(i for i, _ in task.token_map.row(row)) for row in computed}
    assert len(supports) > len(computed) // 2
    ids = text_ids(target_tokenizer(KIND))
    moved = dict(zip(ids, ids[1:] + ids[:1], strict=True))
    other, _ = initialise(task.source, edited(target_tokenizer(KIND), moved), method, RESOURCES, 0)
    for old, new in moved.items():
        assert torch.equal(task.start.input[old], other.input[new])


# --- token distillation -----------------------------------------------------------------------


def distillation(task, ids, **options):
    method = TokenDistillationInit(**options)
    rows = NewRows(task.start, ids, head=method.cross_entropy)
    return Distillation(FrozenModel(task.model, CPU), task.source, rows, method), rows


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_only_distilled_rows_move(tmp_path, tied):
    task = make_task(METHODS["token_distillation"](1e-2), tmp_path, tied=tied)
    learned = learn_rows(task)
    moved = (learned.table.input != task.start.input).any(dim=1)
    new = torch.zeros_like(moved)
    new[new_tokens(task.token_map)] = True
    assert int(moved.sum()) == learned.report["distilled"] > 10
    assert not bool((moved & ~new).any())
    if not tied:
        assert torch.equal(learned.table.output, task.start.output)


def test_cross_entropy_trains_the_head_of_untied_models(tmp_path):
    method = TokenDistillationInit(lr=1e-2, snippets=4, cross_entropy=True)
    task = make_task(method, tmp_path, tied=False)
    learned = learn_rows(task)
    moved = (learned.table.output != task.start.output).any(dim=1)
    assert int(moved.sum()) == learned.report["distilled"]
    assert not set(moved.nonzero().flatten().tolist()) - set(new_tokens(task.token_map))


@pytest.mark.parametrize("target", list(DistilTarget), ids=lambda target: target.value)
@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_the_twin_of_a_token_has_no_loss(tmp_path, tied, target):
    """A new token that merges one source token and has its row is read as that token is."""
    task = make_task(METHODS["token_distillation"](0.0), tmp_path, tied=tied)
    new = new_tokens(task.token_map)[0]
    ids = encode_pieces(task.source.tokenizer, [b" the house is near the water"])[0]
    task.start.input[new] = task.source.input[ids[2]]
    distil, _ = distillation(task, [new], target=target)
    twin = collate([Snippet(ids, [(2, 3, new)])], {new: 0}, None)
    assert float(distil.loss(twin).detach()) < 1e-10
    task.start.input[new] = task.source.input[ids[0]]
    distil, _ = distillation(task, [new], target=target)
    assert float(distil.loss(twin).detach()) > 1e-5


def test_the_first_loss_is_that_of_the_subtoken_mean_by_a_plain_computation(tmp_path):
    """Two forward passes of the whole model, one snippet at a time, last pieces compared."""
    task = make_task(METHODS["token_distillation"](0.0), tmp_path)
    candidates = new_tokens(task.token_map)
    snippets, _ = mine(
        task.source.tokenizer, task.start.tokenizer, candidates, TEXTS,
        snippet_tokens=50, per_token=2,
    )  # fmt: skip
    chosen = snippets[:6]
    distil, _ = distillation(task, candidates)
    number = {token: place for place, token in enumerate(candidates)}
    found = float(distil.loss(collate(chosen, number, None)).detach())
    model, total, count = make_model(), 0.0, 0
    embedding = model.get_input_embeddings()
    for snippet in chosen:
        ids = torch.tensor(snippet.ids)[None]
        teacher = model.model(input_ids=ids).last_hidden_state[0]
        rows, last, place = [], [], 0
        for first, stop, token in [*snippet.merges, (len(snippet.ids), None, None)]:
            for index in range(place, first):
                rows.append(embedding(torch.tensor(snippet.ids[index])))
                last.append(index)
            if token is not None:
                pieces = embedding(torch.tensor(snippet.ids[first:stop]))
                rows.append(pieces.mean(0))
                last.append(stop - 1)
                place = stop
        student = model.model(inputs_embeds=torch.stack(rows)[None]).last_hidden_state[0]
        total += float((student - teacher[last]).square().sum().detach())
        count += student.numel()
    assert found == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("layer", [0, 1, 2, -2])
def test_states_of_any_layer_may_be_the_target(tmp_path, layer):
    task = make_task(METHODS["token_distillation"](0.0), tmp_path)
    ids = encode_pieces(task.source.tokenizer, [b" the house is near the water"])[0]
    ones, places = torch.ones(1, len(ids), dtype=torch.int64), torch.arange(len(ids))[None]
    frozen, model = FrozenModel(task.model, CPU), make_model()
    embedded = frozen.embed(task.source.input, torch.tensor(ids)[None])
    found = frozen.states(embedded, ones, places, layer=layer)
    with torch.no_grad():
        expected = model(torch.tensor(ids)[None], output_hidden_states=True).hidden_states[layer]
    assert torch.allclose(found, expected, atol=1e-6)
    with raises(ConfigError, 3, "-3..2"):
        frozen.states(embedded, ones, places, layer=3)


def test_padding_does_not_reach_the_loss(tmp_path):
    task = make_task(METHODS["token_distillation"](0.0), tmp_path)
    new = new_tokens(task.token_map)[:1]
    distil, _ = distillation(task, new)
    long = Snippet(encode_pieces(task.source.tokenizer, [b" the house is near the water"])[0], [])
    short = Snippet(long.ids[:5], [(1, 3, new[0])])
    alone = float(distil.loss(collate([short], {new[0]: 0}, None)).detach())
    both = float(distil.loss(collate([short, long], {new[0]: 0}, None)).detach())
    tokens = 4
    assert both * (tokens + len(long.ids)) == pytest.approx(alone * tokens, rel=1e-4)


def test_snippets_hold_what_the_target_tokenizer_sees_where_ends_meet():
    source, target = source_tokenizer(KIND), target_tokenizer(KIND)
    texts = {"s": canonical_bytes(source), "t": canonical_bytes(target)}
    shared = {data for data in texts["s"] if data}
    wanted = [i for i, data in enumerate(texts["t"]) if data and data not in shared]
    snippets, count = mine(source, target, wanted, TEXTS, snippet_tokens=8, per_token=3)
    merged = Counter()
    for snippet in snippets:
        assert len(snippet.ids) <= 8
        last = 0
        for first, stop, token in snippet.merges:
            assert first >= last
            last = stop
            assert b"".join(texts["s"][i] for i in snippet.ids[first:stop]) == texts["t"][token]
        merged.update({token for *_, token in snippet.merges})
    assert merged == count
    assert len(merged) > 10
    longest = max(wanted, key=lambda row: len(texts["t"][row]))
    assert all(longest != token or len(s.ids) == 8 for s in snippets for *_, token in s.merges)


def test_the_batch_knows_the_last_piece_of_each_token():
    batch = collate([Snippet([4, 5, 6, 7, 8], [(1, 3, 90), (4, 5, 91)])], {90: 0}, bos=2)
    assert batch.teacher.tolist() == [[2, 4, 5, 6, 7, 8]]
    assert batch.student.tolist() == [[2, 4, 0, 7, 8]]
    assert batch.new.tolist() == [[False, False, True, False, False]]
    assert batch.last.tolist() == [[0, 1, 3, 4, 5]]


def test_where_nothing_is_new_no_text_is_read(tmp_path):
    def unread(language):
        raise AssertionError("text was opened")

    task = make_task(METHODS["token_distillation"](1e-2), tmp_path)
    task.token_map.provenance[new_tokens(task.token_map)] = int(Provenance.special)
    learned = learn_rows(replace(task, texts=lambda: unread("sw")))
    assert learned.table is task.start
    assert learned.report["new_tokens"] == learned.report["distilled"] == 0


def test_text_without_new_tokens_is_a_clear_error(tmp_path):
    method = METHODS["token_distillation"](1e-2)
    with raises(DataError, "new tokens"):
        learn_rows(make_task(method, tmp_path, texts=["the house is near the water"]))


# --- options ----------------------------------------------------------------------------------


def test_a_start_brings_its_needs_and_an_impossible_one_is_a_fault():
    assert RetokInit(start="lexicon").needs() == {"lexicon", "monolingual"}
    assert RetokInit().needs() == {"monolingual"}
    for start in ("vocadt", "meen", "from_file", "unks_everywhere"):
        assert list(faults_of(RetokInit, start=start)) == ["start"]
    assert not unnamed(faults_of(RetokInit, start="meen")["start"], nearest("mean"))
    assert set(faults_of(VocadtInit, norm_match=True)) == {"noise_std"}


@pytest.mark.parametrize("start", ["subtoken_max", "embedding_structure"])
def test_weights_are_trained_only_of_sums(tmp_path, start):
    assert list(faults_of(VocadtInit, start=start)) == ["start"]
    assert not faults_of(RetokInit, start=start)
    with faults_later():
        method = VocadtInit(start=start)
    with raises(ConfigError, "start"):
        make_task(method, tmp_path)


def test_a_method_that_trains_nothing_is_refused(tmp_path):
    task = make_task(METHODS["retok"](0.0), tmp_path)
    with raises(ConfigError, "init_method=mean"):
        learn_rows(replace(task, method=MeanInit()))


def test_a_loss_that_is_lost_is_an_error(tmp_path):
    task = make_task(METHODS["vocadt"](1e-2), tmp_path)
    task.source.input[:] = 1e30
    with raises(FrankenError, "nan", 0.01, "init_method"):
        learn_rows(task)
