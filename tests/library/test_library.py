"""The functions of ``franken`` itself, on objects of transformers."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from transformers import AutoModelForCausalLM, AutoTokenizer

import franken
from franken.config.pack import PackConfig
from franken.errors import CompatibilityError, ConfigError, DataError
from franken.init_method import InitResources, initialise
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.library.options import _composed
from franken.parts.anatomy import anatomy_of
from franken.parts.body import save_body
from franken.parts.fingerprint import model_fingerprint
from franken.parts.surgery import take_table
from franken.parts.table import Table
from franken.seeds import derive_seed
from tests.faults import raises
from tests.init_method.texts import ENGLISH, SWAHILI
from tests.library.toys import SENTENCES, WORDS, base, state, target, tuned
from tests.parts.tiny import LINES, tiny_model, tiny_tokenizer


def test_importing_franken_costs_nothing_and_offers_every_verb() -> None:
    heavy = "'torch' in sys.modules, 'hydra' in sys.modules"
    probe = f"import franken, sys; print([*dir(franken)], {heavy})"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("False False")
    assert all(f"'{verb}'" in done.stdout for verb in franken.__all__)


def test_what_is_no_object_of_transformers_is_refused_by_its_argument() -> None:
    model, tokenizer = tiny_model(), tiny_tokenizer()
    for call, argument, found in (
        (lambda: franken.transfer("out", tokenizer, tokenizer), "model", "str"),
        (lambda: franken.transfer(model, tokenizer, model), "target_tokenizer", "LlamaForCausalLM"),
        (lambda: franken.build_vocab(model, "scratch", texts=LINES), "base_tokenizer", "Llama"),
        (lambda: franken.swap("out", table_of=(model, tokenizer)), "body_model", "str"),
        (lambda: franken.hydra(None, tables={"en": (model, tokenizer)}), "body", "NoneType"),
        (lambda: franken.transplant(tokenizer, [], engine="naive"), "model", ""),
        (lambda: franken.evaluate(model, "out", ["bits_per_byte"], data=LINES), "tokenizer", "str"),
    ):  # fmt: skip
        with raises(ConfigError, argument) as caught:
            call()
        assert found in str(caught.value)
    with raises(DataError, "lexicon=", "words.tsv"):
        franken.transfer(model, tokenizer, tokenizer, method="lexicon", lexicon="words.tsv")


# --- transfer


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_rows_are_those_of_the_initialiser_and_the_model_stays_as_it_was(tied: bool) -> None:
    model, tokenizer = base(tied)
    before = state(model)
    result = franken.transfer(model, tokenizer, target(), method="subtoken_mean", seed=4)
    source = take_table(model, tokenizer, lineage="any")
    table, _ = initialise(
        source, target(), SubtokenMeanInit(), InitResources(),
        derive_seed(4, "init_method", "subtoken_mean"),
    )  # fmt: skip
    embedding = result.model.get_input_embeddings().weight
    assert torch.equal(embedding, table.input)
    head = result.model.get_output_embeddings().weight
    assert torch.equal(head, table.input if table.output is None else table.output)
    assert (head is embedding) is tied
    after = state(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    layer = "model.layers.0.mlp.up_proj.weight"
    ours, theirs = result.model.get_parameter(layer), model.get_parameter(layer)
    assert ours.data_ptr() == theirs.data_ptr()  # no second body in memory


@pytest.mark.parametrize(
    ("method", "given"),
    [
        ("lexicon", {"lexicon": WORDS}),
        ("focus", {"texts": SWAHILI}),
        ("wechsel", {"texts": SWAHILI, "source_texts": ENGLISH, "lexicon": dict(WORDS)}),
        ("trans_tokenization", {"pairs": {"sw": SENTENCES}}),
        ("clp", {"helper": tiny_model("llama", rows=300, hidden_size=24)}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_side_resources_are_fitted_from_the_arguments(method: str, given: Any) -> None:
    model, tokenizer = base()
    result = franken.transfer(model, tokenizer, target(), method=method, **given)
    assert result.map.counts()["computed"] > 0
    assert result.report["method"] == method
    assert result.model.config.vocab_size == result.table.rows == len(target())


def test_a_learned_method_trains_on_the_texts_and_leaves_the_model_alone() -> None:
    model, tokenizer = base()
    before = state(model)
    training = {"steps": 1, "batch_size": 1, "sequence_length": 16, "lr": 0.1}
    result = franken.transfer(
        model, tokenizer, target(), method="retok", texts=SWAHILI * 20, training=training
    )
    start = franken.transfer(model, tokenizer, target(), method="subtoken_mean")
    assert not torch.equal(result.table.input, start.table.input)
    assert all(torch.equal(before[name], value) for name, value in state(model).items())
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize(
    ("method", "given", "argument"),
    [
        ("lexicon", {}, "lexicon="),
        ("trans_tokenization", {}, "pairs="),
        ("focus", {}, "texts="),
        ("wechsel", {"texts": SWAHILI, "lexicon": WORDS}, "source_texts="),
        ("clp", {}, "helper="),
        ("vocadt", {}, "texts="),
        ("focus", {"texts": "a path"}, "texts="),
        ("lexicon", {"lexicon": [("a",)]}, "lexicon="),
    ],
)
def test_what_is_missing_is_named_as_an_argument(method: str, given: Any, argument: str) -> None:
    with raises(DataError, argument):
        franken.transfer(*base(), target(), method=method, **given)


@pytest.mark.parametrize(
    ("options", "key", "found"),
    [
        ({"temperature": -1}, "temperature", "-1"),
        ({"temprature": 1}, "temprature", "'temperature'"),
        ({"fallback": "men"}, "fallback", "men"),
        ({"noise_std": -0.5}, "noise_std", "-0.5"),
    ],
)
def test_options_are_checked_as_on_the_command_line(options: Any, key: str, found: str) -> None:
    with raises(ConfigError, "transfer(method='focus')", key, found):
        franken.transfer(*base(), target(), method="focus", texts=SWAHILI, **options)
    with raises(ConfigError, "init_method=focus", key, found):
        franken.options("init_method", "focus", **options)


@pytest.mark.parametrize(("group", "name"), [("init_method", "focus"), ("word_vectors", "trained")])
def test_a_declaration_is_what_the_command_line_composes(group: str, name: str) -> None:
    composed = OmegaConf.to_object(_composed(group, name, "here"))
    assert franken.options(group, name) == composed


def test_a_faulty_dataclass_is_refused_too() -> None:
    config = franken.options("init_method", "focus")
    config.temperature = -1
    with raises(ConfigError, "transfer(method='focus')", "temperature", -1):
        franken.transfer(*base(), target(), method=config, texts=SWAHILI)


def test_rows_may_be_parameters_with_gradients() -> None:
    model, tokenizer = base()
    rows = torch.nn.Parameter(model.get_input_embeddings().weight.detach().clone())
    table = Table(tokenizer, rows, None, None, "any")
    made, _ = initialise(table, target(), SubtokenMeanInit(), InitResources(), 0)
    assert not made.input.requires_grad


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_what_is_saved_loads_without_franken(tmp_path: Path, tied: bool) -> None:
    result = franken.transfer(*base(tied), target(), method="mean")
    result.save_pretrained(tmp_path / "out")
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "out")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = torch.tensor([tokenizer("nyumba na maji")["input_ids"]])
    assert torch.equal(loaded(ids).logits, result.model(ids).logits)


def test_several_languages_are_told_apart() -> None:
    with raises(DataError, "lexicon=", "sw, am"):
        franken.transfer(
            *base(), target(), method="lexicon", texts={"sw": SWAHILI, "am": ["x"]}, lexicon=WORDS
        )
    result = franken.transfer(*base(), target(), method="lexicon", lexicon={"sw": dict(WORDS)})
    assert result.resources.lexicons == {"sw": list(dict(WORDS).items())}


# --- lineage


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_a_body_has_the_fingerprint_that_its_file_will_have(tmp_path: Path, family: str) -> None:
    model = tiny_model(family, dtype=torch.bfloat16)
    assert model_fingerprint(model) == save_body(model, tmp_path)
    other = tiny_model(family, dtype=torch.bfloat16, seed=1)
    assert model_fingerprint(other) != model_fingerprint(model)
    assert anatomy_of(model.config).family == family


# --- the other verbs


def test_build_vocab_keeps_what_the_source_uses_and_reports() -> None:
    report: dict[str, Any] = {}
    tokenizer = franken.build_vocab(
        base()[1], texts={"sw": SWAHILI, "en": ENGLISH}, size=300, report=report
    )
    assert len(tokenizer) == report["size"]["new"] == 300
    assert len(tokenizer.tokenize(SWAHILI[0])) < len(base()[1].tokenize(SWAHILI[0]))
    for given, argument in (({}, "texts="), ({"texts": SWAHILI}, "source_texts=")):
        with raises(DataError, "build_vocab(method='prune_extend')", argument):
            franken.build_vocab(base()[1], "prune_extend", **given)


def test_swap_puts_the_table_on_the_body() -> None:
    model, tokenizer = base()
    instruct = tuned(model)
    adapted = franken.transfer(model, tokenizer, target(), method="mean")
    swapped = franken.swap(instruct, table_of=adapted.model, body_tokenizer=tokenizer)
    rows = swapped.get_input_embeddings().weight
    eos, theirs = target().eos_token_id, tokenizer.eos_token_id
    assert torch.equal(rows[eos], instruct.get_input_embeddings().weight[theirs])
    assert torch.equal(rows[100:], adapted.table.input[100:])
    assert swapped.config.eos_token_id == eos
    layer = "model.layers.0.mlp.up_proj.weight"
    assert torch.equal(swapped.get_parameter(layer), instruct.get_parameter(layer))
    plain = franken.swap(instruct, table_of=adapted)
    assert torch.equal(plain.get_input_embeddings().weight, adapted.table.input)


def test_a_table_of_a_stranger_is_refused() -> None:
    adapted = franken.transfer(*base(), target(), method="mean")
    stranger = tiny_model("llama", rows=96, seed=9)
    with raises(CompatibilityError, "swap", "table_of"):
        franken.swap(stranger, table_of=adapted)
    with raises(CompatibilityError, "hydra", "tables['sw']"):
        franken.hydra(stranger, {"sw": adapted})
    with raises(ConfigError, "swap", "tokenizer", "table_of="):
        franken.swap(base()[0], table_of=tuned(base()[0]))


@pytest.mark.parametrize("policy", ["module_aware", PackConfig()], ids=["module_aware", "default"])
def test_a_pack_is_mounted_for_a_block_and_taken_off_to_the_last_bit(policy: Any) -> None:
    model, _ = base()
    instruct, before = tuned(model), state(model)
    pack = franken.pack(model, instruct, policy)
    with franken.mounted(model, pack) as changed:
        moved = torch.stack(
            [(changed.get_parameter(n) - p).norm() for n, p in instruct.named_parameters()]
        ).norm()
    whole = torch.stack([(before[n] - p).norm() for n, p in instruct.named_parameters()]).norm()
    assert moved < (0.01 if isinstance(policy, PackConfig) else 0.9) * whole
    assert all(torch.equal(before[name], value) for name, value in state(model).items())


def test_a_temporary_pack_goes_with_its_object() -> None:
    pack = franken.pack(base()[0], tuned(base()[0]), PackConfig())
    place = pack.directory
    assert place.is_dir()
    del pack
    assert not place.exists()


def test_faults_of_packs_are_named() -> None:
    model, _ = base()
    with raises(ConfigError, "pack(policy='module_aware')", "buget", "'budget'"):
        franken.pack(model, model, "module_aware", buget=1)
    with raises(ConfigError, "pack(policy='delta_come')", "calibration="):
        franken.pack(model, model, "delta_come", quant={"method": "gptq"})
    pack = franken.pack(model, tuned(model), PackConfig())
    with (
        raises(ConfigError, "weights", "'other'", "pack"),
        franken.mounted(model, pack, weights={"other": 1.0}),
    ):
        pass


def test_a_hydra_reads_one_table_and_writes_another() -> None:
    model, tokenizer = base()
    adapted = franken.transfer(model, tokenizer, target(), method="mean")
    several = franken.hydra(model, {"en": (model, tokenizer), "sw": adapted})
    view = several.view(write="sw", read=["en"])
    ids = torch.tensor([view.encode([("en", ENGLISH[0])])])
    assert view.logits(ids).shape == (1, ids.shape[1], len(target()))
    alone = several.view(write="en")
    plain = torch.tensor([alone.encode([("en", ENGLISH[0])])])
    with torch.no_grad():
        assert torch.equal(alone.logits(plain), model(plain).logits)


def test_a_grid_holds_every_pair_and_the_engines_agree() -> None:
    model, tokenizer = base()
    prompts = [("the house", "nyumba"), ("water", "maji ya")]
    grids = [
        franken.transplant(model, prompts, tokenizer=tokenizer, engine=engine, max_new_tokens=3)
        for engine in ("wavefront", "naive")
    ]
    assert grids[0].tokens == grids[1].tokens
    depth = model.config.num_hidden_layers
    assert len(grids[0].pairs) == depth**2
    heat = grids[0].score(lambda index, text: index == 0)
    assert heat.shape == (depth, depth)
    assert (heat == 0.5).all()
    with raises(ConfigError, "transplant", "prompts=", "tokenizer="):
        franken.transplant(model, prompts)
    with raises(ConfigError, "transplant", "engine", "'wave'", "'wavefront'"):
        franken.transplant(model, prompts, engine="wave")


def test_scores_are_those_of_the_model() -> None:
    model, tokenizer = tiny_model("llama", rows=96), tiny_tokenizer(size=96)
    with torch.no_grad():
        model.get_input_embeddings().weight.zero_()  # tied: every token is equally likely
    scores = franken.evaluate(
        model, tokenizer, ["bits_per_byte", "tokenizer_intrinsics"],
        data={"en": LINES, "sw": LINES},
    )  # fmt: skip
    tokens = scores.value("tokenizer_intrinsics", "sw", "tokens_per_byte")
    bits = tokens * torch.log2(torch.tensor(96.0)).item()
    assert scores.value("bits_per_byte", "sw") == pytest.approx(bits, rel=1e-5)
    assert set(scores.as_dict()["bits_per_byte"]) == {"en", "sw"}
    with raises(ConfigError, "bits_per_bite/sw/None", "bits_per_byte/sw/bits_per_byte"):
        scores.value("bits_per_bite", "sw")
    with raises(ConfigError, "evaluate", "'bits_per_bite'", "'bits_per_byte'"):
        franken.evaluate(model, tokenizer, ["bits_per_bite"], data={"en": ENGLISH})


def test_only_languages_that_were_given_are_asked_for_and_odd_input_is_named() -> None:
    model, tokenizer = tiny_model("llama", rows=96), tiny_tokenizer(size=96)
    task = {"mine": {"kind": "bits_per_byte", "limit": 10_000}}  # no source: it is the text given
    scores = franken.evaluate(model, tokenizer, task, data={"sw": LINES})
    assert list(scores.as_dict()["mine"]) == ["sw"]
    assert not scores.skipped
    for data, found in (
        ({"sw": []}, ["'monolingual'", "'sw'", "'bits_per_byte'"]),
        ({"sw": ["moja", None]}, ["texts=", "entry 1", None]),
        ({False: LINES}, [False, "code"]),
    ):
        with raises(DataError, *found):
            franken.evaluate(model, tokenizer, "bits_per_byte", data=data)
    with raises(ConfigError, "evaluate", "tokenizer", None):
        franken.evaluate(model, None, "bits_per_byte", data={"sw": LINES})


def test_sets_of_rows_are_scored_by_their_schema() -> None:
    model, tokenizer = base()
    rows = [
        {"index_id": str(i), "category": c, "text": t}
        for i, (c, t) in enumerate([("travel", "the house"), ("sports", "water")])
    ]
    task = {"kind": "multiple_choice", "source": "topics", "prompt": "{text} :"}
    scores = franken.evaluate(
        model, tokenizer, {"topics": task}, data={"en": ENGLISH},
        sets={"topics": ("sib200", {"en": rows})},
    )  # fmt: skip
    assert scores.scores[0].n == 2
