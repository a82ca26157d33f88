"""What leaves for another trainer, comes back, or goes to the hub."""

import base64
import json
import threading
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken import publish, roundtrip
from franken.config.base_model import LoadedModel
from franken.errors import ArtifactError, ConfigError
from franken.parts.body import save_body
from franken.parts.card import CardFacts, model_card
from franken.parts.export import export_model
from franken.parts.model import assemble, ref_of
from franken.parts.table import save_table, table_of_checkpoint
from franken.parts.tokenizer_files import tokenizer_identity
from tests.faults import raises
from tests.parts.steps import run_load
from tests.parts.tiny import logits_of, save_checkpoint, some_ids, tiny_model, tiny_tokenizer


@pytest.fixture(params=[True, False], ids=["tied", "untied"])
def parts(request, tmp_path):
    """A body and its table of 96 rows."""
    source = save_checkpoint(
        tiny_model("llama", tied=request.param), tiny_tokenizer(), tmp_path / "source"
    )
    model = AutoModelForCausalLM.from_pretrained(source)
    save_body(model, tmp_path / "body", tokenizer=tiny_tokenizer())
    save_table(table_of_checkpoint(source), tmp_path / "table")
    return ref_of(tmp_path / "body", tmp_path / "table")


@pytest.fixture
def exported(parts, tmp_path):
    card = model_card(parts, CardFacts("adapted", license="apache-2.0"))
    export_model(parts, tmp_path / "out", card=card)
    return tmp_path / "out"


def test_a_padded_export_has_the_rows_the_tokenizer_it_had_and_the_same_answers(parts, tmp_path):
    export_model(parts, tmp_path / "plain", card="")
    export_model(parts, tmp_path / "padded", card="", pad_to_multiple=64)
    plain, padded = (
        AutoModelForCausalLM.from_pretrained(tmp_path / p) for p in ("plain", "padded")
    )
    assert padded.config.vocab_size == padded.get_input_embeddings().weight.shape[0] == 128
    assert padded.config.franken_padding_rows == 32
    tokenizers = [AutoTokenizer.from_pretrained(tmp_path / p) for p in ("plain", "padded")]
    assert tokenizer_identity(tokenizers[0]) == tokenizer_identity(tokenizers[1])
    ids = some_ids(96, batch=4)
    before, after = logits_of(plain, ids), logits_of(padded, ids)
    assert torch.equal(after[..., :96], before)
    beyond = after[..., 96:]
    assert torch.allclose(beyond, before.mean(-1, keepdim=True).expand_as(beyond), atol=1e-5)
    assert bool((after.argmax(-1) < 96).all())


def test_a_model_with_deltas_is_padded_too(parts, tmp_path):
    from franken.parts.delta import save_lora
    from tests.parts.test_delta import with_adapter

    save_lora(with_adapter(), tmp_path / "delta")
    ref = replace(parts, deltas=(tmp_path / "delta",))
    export_model(ref, tmp_path / "out", card="", pad_to_multiple=50)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").config.vocab_size == 100


def test_what_came_back_as_it_went_is_found_to_be_so(exported, tmp_path, capsys):
    model = AutoModelForCausalLM.from_pretrained(exported)
    back = save_checkpoint(model, tiny_tokenizer(), tmp_path / "back", max_shard_size="4KB")
    found = roundtrip.compare(exported, back)
    assert (found.faults, found.moved) == ([], {})
    assert found.losses[0] == found.losses[1]
    assert roundtrip.main([str(exported), str(back)]) == 0
    assert "as it went" in capsys.readouterr().out


def scaled(directory, target, name, factor):
    """A copy of which one tensor is scaled."""
    import shutil

    shutil.copytree(directory, target)
    tensors = load_file(target / "model.safetensors")
    tensors[name] = tensors[name] * factor
    save_file(tensors, target / "model.safetensors", {"format": "pt"})
    return target


def test_a_norm_that_moved_is_named_and_refused_unless_it_was_trained(exported, tmp_path, capsys):
    name = "model.layers.1.mlp.up_proj.weight"
    other = scaled(exported, tmp_path / "other", name, 1.5)
    found = roundtrip.compare(exported, other, lines=None)
    assert list(found.moved) == [name]
    assert found.moved[name] == pytest.approx(0.5)
    assert roundtrip.main([str(exported), str(other)]) == 1
    assert roundtrip.main([str(exported), str(other), "--trained"]) == 0
    broken = scaled(exported, tmp_path / "broken", name, torch.nan)
    assert roundtrip.main([str(exported), str(broken), "--trained", "--no-loss"]) == 1
    assert name in capsys.readouterr().out


def test_tying_names_and_tokenizers_count(tmp_path):
    tied, untied = (
        save_checkpoint(tiny_model(tied=t), tiny_tokenizer(), tmp_path / str(t))
        for t in (True, False)
    )
    faults = roundtrip.compare(tied, untied).faults
    assert any("untied" in fault for fault in faults)
    assert any("lm_head.weight" in fault for fault in faults)
    other = save_checkpoint(tiny_model(), tiny_tokenizer(size=90), tmp_path / "other")
    assert any("tokenizers" in fault for fault in roundtrip.compare(tied, other).faults)


def test_a_model_trained_elsewhere_comes_back_as_a_relative(exported, tmp_path):
    base = run_load(LoadedModel(path=str(exported)), tmp_path)
    padded = tmp_path / "padded"
    export_model(base.ref, padded, card="", pad_to_multiple=64)
    model = AutoModelForCausalLM.from_pretrained(padded)
    model(input_ids=some_ids(96), labels=some_ids(96)).loss.backward()
    torch.optim.SGD(model.parameters(), 0.1).step()
    back = save_checkpoint(model, AutoTokenizer.from_pretrained(padded), tmp_path / "back")
    trained = run_load(LoadedModel(path=str(back)), tmp_path, relative_of=base.artifact)
    assert trained.ref.lineage == base.ref.lineage
    assert trained.ref.fingerprint != base.ref.fingerprint
    swapped = replace(base.ref, table=trained.ref.table)
    found, tokenizer = assemble(swapped)
    assert torch.equal(found.get_input_embeddings().weight, model.get_input_embeddings().weight)
    assert tokenizer_identity(tokenizer) == tokenizer_identity(AutoTokenizer.from_pretrained(back))


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as an upload of small files needs."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        if self.path.endswith("/repos/create"):
            self.server.created = json.loads(body)
            answer = {"url": f"{self.server.address}/me/model", "name": "me/model"}
        elif "/preupload/" in self.path:
            wanted = json.loads(body)["files"]
            answer = {"files": [
                {"path": f["path"], "uploadMode": "regular", "shouldIgnore": False} for f in wanted
            ]}  # fmt: skip
        elif "/commit/" not in self.path:  # what the hub says of a card's YAML
            answer = {"errors": [], "warnings": []}
        else:
            for line in body.splitlines():
                item = json.loads(line)
                if item["key"] == "file":
                    value = item["value"]
                    self.server.files[value["path"]] = base64.b64decode(value["content"])
            answer = {"commitUrl": f"{self.server.address}/me/model/commit/1", "commitOid": "1"}
        text = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST

    def log_message(self, *_):
        pass


@pytest.fixture
def hub():
    server = HTTPServer(("127.0.0.1", 0), Hub)
    server.address = f"http://127.0.0.1:{server.server_port}"
    server.asked, server.files, server.created = [], {}, None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_upload_brings_every_file_of_the_model_and_the_card_with_its_licence(exported, hub):
    from huggingface_hub import HfApi

    (exported / "notes.pt").write_bytes(b"no part of a model")
    api = HfApi(endpoint=hub.address, token="hf_none")
    upload = publish.prepare(exported, "me/model")
    assert publish.send(upload, api=api) == f"{hub.address}/me/model/commit/1"
    assert hub.created["name"] == "model"
    sent = {p.name for p in exported.iterdir()} - {"notes.pt"}
    assert set(hub.files) == sent
    assert hub.files["model.safetensors"] == (exported / "model.safetensors").read_bytes()
    assert b"license: apache-2.0" in hub.files["README.md"]


def test_a_dry_run_asks_nobody_and_lists(exported, hub, monkeypatch, capsys):
    assert publish.main([str(exported), "me/model", "--dry-run"]) == 0
    assert "model.safetensors" in capsys.readouterr().out
    assert hub.asked == []


def test_without_licence_card_or_weights_nothing_is_sent(parts, exported, tmp_path):
    export_model(parts, tmp_path / "bare", card=model_card(parts, CardFacts("x")))
    with raises(ConfigError, "--licence"):
        publish.prepare(tmp_path / "bare", "me/model")
    assert "license: gemma" in publish.prepare(tmp_path / "bare", "me/x", licence="gemma").card
    with raises(ConfigError, "'apache-2.0'", "'mit'"):
        publish.prepare(exported, "me/model", licence="mit")
    with raises(ConfigError, "'no owner'"):
        publish.prepare(exported, "no owner", licence="apache-2.0")
    (exported / "README.md").unlink()
    with raises(ArtifactError, exported, "README.md"):
        publish.prepare(exported, "me/model")
