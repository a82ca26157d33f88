"""Rows of a hypernetwork: a tiny random one in the release's layout, read by hand beside."""

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from torch.nn.functional import gelu, layer_norm

from franken.config.base_model import TokenizerKind
from franken.errors import CompatibilityError, DataError
from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.zett import ZettInit
from franken.parts.tokenizer_files import save_tokenizer
from franken.token_map.builder import texts_of
from franken.token_map.hypernetwork import Hypernetwork
from franken.tokenizer.pieces import canonical_bytes, encode_piece
from tests.faults import faults_of, raises
from tests.init_method.tiny import source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe
SIZE, WIDTH, LONGEST = 12, 16, 4


def network_of(directory, *, tied=True, **changes):
    config = {
        "model_type": "zett_hypernetwork", "hn_hidden_size": WIDTH, "hn_intermediate_size": 24,
        "hn_n_layers": 1, "hn_num_attention_heads": 2, "n_embd": SIZE,
        "hn_rescale_embeddings": True,
        "hn_surface_maxlen": LONGEST, "pad_token_id": 0, "hn_embed_using_source_embeddings": True,
        "separate_out_embeddings": not tied, "hn_predict_bias": True, **changes,
    }  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = Hypernetwork(config, 20, 2)
        for parameter in network.parameters():
            parameter.data = torch.randn(parameter.shape) * 0.3
    directory.mkdir()
    (directory / "config.json").write_text(json.dumps(config))
    save_file(network.state_dict(), directory / "model.safetensors")
    save_tokenizer(source_table(KIND, size=SIZE).tokenizer, directory)
    return network


def by_hand(weights, form, given, language=None):
    """One token, no batch and no padding: first position of the encoder, then each head."""
    w = {name: value.double() for name, value in weights.items()}

    def linear(name, x):
        return x @ w[f"{name}.weight"].T + w[f"{name}.bias"]

    def norm(name, x, eps):
        return layer_norm(x, x.shape[-1:], w[f"{name}.weight"], w[f"{name}.bias"], eps)

    def block(name, x):
        inner = gelu(linear(f"{name}.dense1", x), approximate="tanh")
        return norm(
            f"{name}.ln", gelu(linear(f"{name}.dense2", inner), approximate="tanh") + x, 1e-6
        )

    x = given[form].double() * w["in_scaler.w"] + w["in_scaler.b"]
    x = block("input_projection.1", linear("input_projection.0", x))
    base = "model.embeddings"
    x = x + w[f"{base}.token_type_embeddings.weight"][0]
    x = x + w[f"{base}.position_embeddings.weight"][: len(form)]
    if language is not None:  # it stands by itself: nothing of place or type is left in it
        x = torch.cat([x, w["lang_embeddings.weight"][language][None]])
    x = norm(f"{base}.LayerNorm", x, 1e-5)
    layer = "model.encoder.layer.0"
    q, k, v = (
        linear(f"{layer}.attention.self.{part}", x).view(len(x), 2, -1).transpose(0, 1)
        for part in ("query", "key", "value")
    )
    seen = ((q @ k.mT) * q.shape[-1] ** -0.5).softmax(-1) @ v
    seen = linear(f"{layer}.attention.output.dense", seen.transpose(0, 1).reshape(len(x), -1))
    x = norm(f"{layer}.attention.output.LayerNorm", seen + x, 1e-5)
    inner = linear(f"{layer}.output.dense", gelu(linear(f"{layer}.intermediate.dense", x)))
    first = norm(f"{layer}.output.LayerNorm", inner + x, 1e-5)[0]
    rows = []
    for head, scaler in (("output_projection", "scaler"), ("output_projection_out", "out_scaler")):
        if f"{head}.1.weight" in w:
            made = linear(f"{head}.1", block(f"{head}.0", first))
            rows.append((w[f"{scaler}.w"] * made + w[f"{scaler}.b"])[0])
    return rows


def made(tmp_path, *, tied=True, language=None, **changes):
    network = network_of(tmp_path / "net", tied=tied, **changes)
    source = source_table(KIND, size=SIZE, tied=tied)
    method = ZettInit(path=str(tmp_path / "net"), language=language)
    table, token_map = initialise(source, target_tokenizer(KIND), method, InitResources(), 0)
    return network, source, table, token_map


@pytest.mark.parametrize(("tied", "language"), [(True, None), (False, 1)])
def test_rows_are_those_of_the_network_read_by_hand(tmp_path, tied, language):
    spoken = {} if language is None else {"hn_embed_lang_id": True, "n_langs": 3}
    network, source, table, token_map = made(tmp_path, tied=tied, language=language, **spoken)
    ids = (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    assert len(ids) > 20
    assert token_map.notes["zett"]["predicted"] == len(ids)
    given = torch.cat(
        [side.float() for side in (source.input, source.output) if side is not None], 1
    )
    data = canonical_bytes(target_tokenizer(KIND))
    for row in ids[:: max(1, len(ids) // 8)]:
        form = encode_piece(source.tokenizer, data[row])[:LONGEST]
        expected = by_hand(network.state_dict(), form, given, language)
        for part, values in zip((table.input, table.output), expected, strict=tied is False):
            torch.testing.assert_close(part[row].double(), values, rtol=1e-4, atol=1e-4)
    kept = token_map.copies().nonzero().flatten()
    old = token_map.indices[token_map.indptr[kept]].long()
    assert torch.equal(table.input[kept], source.input[old])


def test_tokens_of_equal_bytes_are_read_by_their_bytes_alone(tmp_path):
    """``a`` and ``<0x61>`` have the piece's name in their keys, too."""
    network_of(tmp_path / "net")
    source, target = source_table(KIND, size=SIZE), target_tokenizer(KIND)
    method = ZettInit(path=str(tmp_path / "net"), copy_overlap=False)
    table, token_map = initialise(source, target, method, InitResources(), 0)
    data = canonical_bytes(target)
    twins = [row for row, own in enumerate(data) if own is not None and data.count(own) > 1]
    assert twins
    assert texts_of(token_map.keys) == [*data, *[None] * (len(token_map.keys) - len(data))]
    computed = token_map.provenance == Provenance.computed
    for row in twins:
        same = [other for other in twins if data[other] == data[row] and computed[other]]
        assert all(torch.equal(table.input[row], table.input[other]) for other in same)


def test_a_network_of_another_model_or_kind_is_refused(tmp_path):
    source, target = source_table(KIND, size=SIZE), target_tokenizer(KIND)

    def attempt(name, **changes):
        network_of(tmp_path / name, **changes)
        method = ZettInit(path=str(tmp_path / name))
        return lambda: initialise(source, target, method, InitResources(), 0)

    with raises(CompatibilityError, "init_method.path", str(SIZE)):
        attempt("wide", n_embd=SIZE + 4)()
    with raises(CompatibilityError, "init_method.language"):
        attempt("spoken", hn_embed_lang_id=True, n_langs=2)()
    with raises(CompatibilityError, "init_method.language=2"):
        method = ZettInit(path=str(tmp_path / "spoken"), language=2)
        initialise(source, target, method, InitResources(), 0)
    assert set(faults_of(ZettInit, norm_match=True)) == {"noise_std"}
    asked = attempt("priors")
    config = tmp_path / "priors" / "config.json"
    config.write_text(
        json.dumps({**json.loads(config.read_text()), "hn_embed_target_priors": True})
    )
    with raises(CompatibilityError, "hn_embed_target_priors"):
        asked()
    with raises(DataError, "init_method.path", "config.json"):
        method = replace(ZettInit(), path=str(tmp_path / "nowhere"))
        initialise(source, target, method, InitResources(), 0)
