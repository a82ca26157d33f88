"""Rows and maps made elsewhere: what is read, what is checked, what the rest follows."""

import json
import warnings

import pytest
import torch
from safetensors.torch import save_file

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, DataError
from franken.init_method import Provenance, apply_map, initialise
from franken.init_method.from_file import FromFileInit, TokenSpelling
from franken.init_method.ofa import OfaInit
from franken.init_method.retok import RetokInit
from franken.init_method.subtoken_mean import SubtokenMeanInit
from franken.init_method.token_distillation import TokenDistillationInit
from franken.init_method.unks_everywhere import UnksEverywhereInit
from franken.init_method.vocadt import VocadtInit
from franken.parts.table import check_table, save_table
from franken.token_map.explain import phrase
from franken.token_map.storage import load_map, save_map
from franken.tokenizer.pieces import canonical_bytes
from franken.tokenizer.pipeline import byte_to_char
from tests.faults import raises
from tests.init_method.tiny import RESOURCES, source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe
D = 12


@pytest.fixture
def target():
    return target_tokenizer(KIND)


def write(path, rows, *, both=True, bias=False, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    made = {"input": torch.randn(rows, D, generator=generator).to(dtype)}
    if both:
        made["output"] = torch.randn(rows, D, generator=generator).to(dtype)
    if bias:
        made["output_bias"] = torch.randn(rows, generator=generator)
    save_file(made, path)
    return made


def run(config, *, tied=True, dtype=torch.float32, kind=KIND, strict=True):
    with warnings.catch_warnings():
        warnings.simplefilter("error" if strict else "ignore")
        return initialise(
            source_table(kind, tied=tied, dtype=dtype), target_tokenizer(kind), config, RESOURCES, 0
        )


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["fp32", "bf16"])
def test_rows_by_id_are_the_files_and_control_tokens_the_sources(tmp_path, target, tied, dtype):
    made = write(tmp_path / "rows.safetensors", len(target), both=not tied, bias=not tied)
    source = source_table(KIND, tied=tied, dtype=dtype)
    table, token_map = run(
        FromFileInit(path=str(tmp_path / "rows.safetensors")), tied=tied, dtype=dtype
    )
    check_table(table)
    given = token_map.provenance == Provenance.given
    special = token_map.provenance == Provenance.special
    assert int(given.sum()) + int(special.sum()) == table.rows
    assert int(special.sum()) > 2
    for name, tensor in table.matrices().items():
        assert torch.equal(tensor[given], made[name][given].to(dtype))
        assert tensor.dtype == dtype
    for row in special.nonzero().flatten().tolist():
        assert torch.equal(table.input[row], source.input[token_map.row(row)[0][0]])
    assert table.provenance["found"] == int(given.sum())
    assert str(tmp_path) not in json.dumps(table.provenance)
    row = int(given.nonzero()[0])
    assert phrase(token_map, row).endswith("a row of rows.safetensors, made elsewhere")


@pytest.mark.parametrize("spelling", list(TokenSpelling), ids=lambda spelling: spelling.value)
def test_rows_by_token_are_found_in_any_order_and_spelling(tmp_path, target, spelling):
    names = {index: token for token, index in target.get_vocab().items()}
    letters = byte_to_char()
    texts = [
        (row, data)
        for row, data in reversed(list(enumerate(canonical_bytes(target))))
        if data is not None
        and (spelling is TokenSpelling.exact or not names[row].startswith("<0x"))
    ]
    tokens = [
        "".join(letters[byte] for byte in data)
        if spelling is TokenSpelling.byte_level
        else names[row]
        for row, data in texts
    ]
    made = write(tmp_path / "rows.safetensors", len(texts), both=False)
    (tmp_path / "tokens.json").write_text(json.dumps(tokens))
    table, token_map = run(
        FromFileInit(
            path=str(tmp_path / "rows.safetensors"),
            tokens=str(tmp_path / "tokens.json"),
            spelling=spelling,
        ),
        strict=spelling is TokenSpelling.exact,
    )
    for place, (row, _) in enumerate(texts):
        assert token_map.provenance[row] == Provenance.given
        assert torch.equal(table.input[row], made["input"][place])


def test_lacking_rows_follow_the_fallback_and_are_counted(tmp_path, target):
    short = len(target) - 30
    write(tmp_path / "rows.safetensors", short, both=False)
    config = FromFileInit(path=str(tmp_path / "rows.safetensors"))
    with pytest.warns(UserWarning, match=r"\b30\b.*fallback=subtoken_mean"):
        table, token_map = initialise(source_table(KIND), target, config, RESOURCES, 0)
    other, _ = initialise(
        source_table(KIND), target, SubtokenMeanInit(copy_overlap=False), RESOURCES, 0
    )
    assert table.provenance["lacking"] == 30
    assert token_map.counts()["fallback"] == 30
    assert torch.equal(table.input[short:], other.input[short:])


def test_shared_pieces_are_copied_when_asked_for(tmp_path, target):
    write(tmp_path / "rows.safetensors", len(target), both=False)
    table, token_map = run(FromFileInit(path=str(tmp_path / "rows.safetensors"), copy_overlap=True))
    source = source_table(KIND)
    copied = (token_map.provenance == Provenance.copied).nonzero().flatten().tolist()
    assert len(copied) > 200
    assert all(
        torch.equal(table.input[row], source.input[token_map.row(row)[0][0]]) for row in copied
    )


def test_rows_of_zeros_may_mean_missing(tmp_path, target):
    made = write(tmp_path / "rows.safetensors", len(target), both=False)
    empty = list(range(300, 320))
    made["input"][empty] = 0.0
    save_file(made, tmp_path / "rows.safetensors")
    config = FromFileInit(path=str(tmp_path / "rows.safetensors"), zero_is_missing=True)
    with pytest.warns(UserWarning, match=r"\b20\b"):
        table, token_map = initialise(source_table(KIND), target, config, RESOURCES, 0)
    assert bool((token_map.provenance[empty] == int(Provenance.fallback)).all())
    assert bool((table.input[empty] != 0).any(dim=1).all())


def test_control_tokens_of_the_file_when_asked_for(tmp_path, target):
    made = write(tmp_path / "rows.safetensors", len(target), both=False)
    table, token_map = run(
        FromFileInit(path=str(tmp_path / "rows.safetensors"), keep_special=False)
    )
    assert token_map.counts()["given"] == len(target)
    assert torch.equal(table.input, made["input"])


def test_a_stored_map_makes_the_table_it_was_saved_from(tmp_path, target):
    source = source_table(KIND, tied=False)
    first, fitted = initialise(source, target, SubtokenMeanInit(), RESOURCES, 0)
    fitted.notes["lenders"] = "its neighbours"
    save_map(fitted, tmp_path / "map")
    second, loaded = initialise(
        source, target, FromFileInit(path=str(tmp_path / "map")), RESOURCES, 0
    )
    assert torch.equal(first.input, second.input)
    assert torch.equal(first.output, second.output)
    assert (loaded.notes["method"], loaded.notes["made_by"]) == ("from_file", "subtoken_mean")
    assert loaded.notes["lenders"] == "its neighbours"  # what explains its fallback rows


MORE_THAN_MAPS = {
    "trained all rows afterwards": (RetokInit(), {"trained": {"what": "all rows"}}),
    "trained new rows afterwards": (TokenDistillationInit(), {"trained": {"what": "new rows"}}),
    "folded them from factors": (OfaInit(keep_dim=4), {}),
    "of low rank": (UnksEverywhereInit(dim=4), {}),
}


@pytest.mark.parametrize("what", MORE_THAN_MAPS)
def test_a_map_whose_run_made_more_of_its_rows_is_refused_with_their_place(tmp_path, target, what):
    config, notes = MORE_THAN_MAPS[what]
    table, fitted = initialise(source_table(KIND), target, config, RESOURCES, 0)
    fitted.notes.update(notes)
    save_map(fitted, tmp_path / "token_map")
    with raises(CompatibilityError, config.name, what):
        run(FromFileInit(path=str(tmp_path / "token_map")))
    save_table(table, tmp_path / "table")
    rows = tmp_path / "table" / "table.safetensors"
    with raises(CompatibilityError, rows):
        run(FromFileInit(path=str(tmp_path / "token_map")))
    again, _ = run(FromFileInit(path=str(rows), keep_special=False))
    assert torch.equal(again.input, table.input)
    plain, _ = run(FromFileInit(path=str(tmp_path / "token_map"), map_alone=True))
    assert torch.equal(plain.input, apply_map(fitted, source_table(KIND).input))


def test_a_map_whose_weights_were_trained_says_all(tmp_path, target):
    _, fitted = initialise(source_table(KIND), target, VocadtInit(), RESOURCES, 0)
    fitted.notes["trained"] = {"what": "weights"}
    save_map(fitted, tmp_path / "map")
    table, _ = run(FromFileInit(path=str(tmp_path / "map")))
    assert torch.equal(table.input, apply_map(fitted, source_table(KIND).input))


def test_a_map_of_other_vocabularies_is_refused(tmp_path, target):
    other = TokenizerKind.byte_level_bpe
    _, fitted = initialise(
        source_table(other), target_tokenizer(other), SubtokenMeanInit(), RESOURCES, 0
    )
    save_map(fitted, tmp_path / "map")
    with raises(CompatibilityError, tmp_path / "map", fitted.source_rows):
        run(FromFileInit(path=str(tmp_path / "map")))
    _, fitted = initialise(source_table(KIND), target, SubtokenMeanInit(), RESOURCES, 0)
    fitted.labels.target[40] = "▁elsewhere"
    save_map(fitted, tmp_path / "map")
    with raises(
        CompatibilityError, "row 40", "'▁elsewhere'", repr(target.convert_ids_to_tokens(40))
    ):
        run(FromFileInit(path=str(tmp_path / "map")))


def test_wrong_files_are_clear_errors(tmp_path, target):
    place = tmp_path / "rows.safetensors"
    config = FromFileInit(path=str(place))
    with raises(DataError, "init_method.path", place):
        run(config)
    save_file({"weight": torch.zeros(3, D)}, place)
    with raises(DataError, place, "'input'", "weight"):
        run(config)
    save_file({"input": torch.zeros(len(target), D + 1)}, place)
    with raises(CompatibilityError, place, (len(target), D + 1), (len(target), D)):
        run(config)
    save_file({"input": torch.zeros(len(target), D, dtype=torch.int64)}, place)
    with raises(DataError, place, "int64"):
        run(config)
    write(place, len(target) + 4, both=False)
    with raises(CompatibilityError, place, len(target) + 4, len(target) - 1):
        run(config)
    run(FromFileInit(path=str(place), extra_rows=True))
    write(place, 40, both=False)
    with raises(CompatibilityError, place, "init_method.min_share=0.5"):
        run(config)
    write(place, len(target), both=False)
    with raises(DataError, place, "'output'"):
        run(config, tied=False)
    made = write(place, len(target), both=False)
    made["input"][50, 3] = float("nan")
    save_file(made, place)
    with raises(DataError, place, "row 50", "NaN"):
        run(config)
    (tmp_path / "tokens.json").write_text('["a", "b"]')
    with raises(DataError, tmp_path / "tokens.json", 2, len(target)):
        run(FromFileInit(path=str(place), tokens=str(tmp_path / "tokens.json")))
    place.write_bytes(b"no tensors at all")
    with raises(DataError, "init_method.path", place):
        run(config)


def test_a_map_with_given_rows_is_not_applied_without_them(tmp_path, target):
    write(tmp_path / "rows.safetensors", len(target), both=False)
    _, token_map = run(FromFileInit(path=str(tmp_path / "rows.safetensors")))
    save_map(token_map, tmp_path / "map")
    loaded = load_map(tmp_path / "map")
    with raises(CompatibilityError, "given"):
        apply_map(loaded, source_table(KIND).input)
    with raises(CompatibilityError, "init_method.path"):
        run(FromFileInit(path=str(tmp_path / "map")))


def test_given_rows_do_not_depend_on_the_chunks(tmp_path, target):
    write(tmp_path / "rows.safetensors", len(target), both=False)
    table, token_map = run(FromFileInit(path=str(tmp_path / "rows.safetensors"), copy_overlap=True))
    given = table.input[token_map.provenance == Provenance.given]
    for chunk in (1, 7, 10_000):
        again = apply_map(token_map, source_table(KIND).input, chunk_rows=chunk, given=given)
        assert torch.equal(again, table.input)


def test_the_content_of_the_file_enters_the_key_and_its_place_does_not(tmp_path):
    from franken.steps.initialise import method_options

    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (tmp_path / name / "rows.safetensors" for name in "ab")
    write(first, 20)
    second.write_bytes(first.read_bytes())
    keys = [method_options(FromFileInit(path=str(path))) for path in (first, second)]
    assert keys[0] == keys[1]
    write(second, 21)
    assert method_options(FromFileInit(path=str(second))) != keys[0]
    for path in ("", str(tmp_path / "nowhere")):
        with raises(DataError, "init_method.path", path):
            method_options(FromFileInit(path=path))
