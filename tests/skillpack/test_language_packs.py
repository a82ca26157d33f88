"""Packs with a vocabulary of their own (graftllm notes, invariant 18)."""

import copy
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from franken.config.pack import ClassRule, PackConfig
from franken.errors import CompatibilityError, ConfigError
from franken.parts.skillpack import SkillPack, check_base
from franken.parts.surgery import take_table
from franken.parts.tokenizer_files import tokenizer_identity
from franken.parts.weights import LoadedWeights
from franken.skillpack.apply import apply_to_checkpoint
from franken.skillpack.language import graft_table, mapped, pack_language, residuals
from franken.skillpack.peft_export import export_peft
from franken.steps.pack import PackStep
from franken.token_map.engine import apply_map
from franken.token_map.token_map import MapLabels, Provenance, TokenMap
from tests.faults import raises
from tests.parts.tiny import save_checkpoint, tiny_model, tiny_tokenizer
from tests.skillpack.pairs import exact_policy, policy, tuned_copy

CODES = (Provenance.special, Provenance.copied, Provenance.computed, Provenance.fallback)


def token_map(rows: int, source: int, *, identity: bool = False, seed: int = 0) -> TokenMap:
    """Four control rows, then copies, sums of three rows, and a few rows without weights."""
    generator = torch.Generator().manual_seed(seed)
    indptr, indices, weights, codes = [0], [], [], []
    for row in range(rows):
        code = CODES[0] if row < 4 else CODES[1] if identity else CODES[1 + row % 3]
        if code in (Provenance.special, Provenance.copied):
            found = [row % source]
            shares = [1.0]
        elif code is Provenance.computed:
            found = sorted(torch.randperm(source, generator=generator)[:3].tolist())
            shares = [0.5, 0.25, 0.25]
        else:
            found, shares = [], []
        indices += found
        weights += shares
        indptr.append(len(indices))
        codes.append(int(code))
    return TokenMap(
        torch.tensor(indptr), torch.tensor(indices, dtype=torch.int32), torch.tensor(weights),
        torch.tensor(codes, dtype=torch.uint8), torch.ones(source, dtype=torch.bool),
        [str(row).encode() for row in range(rows)],
        labels=MapLabels(["x"] * source, ["y"] * rows),
    )  # fmt: skip


def world(tied=True, identity=False):
    """A base B, a language model L over another vocabulary, and a relative I of B."""
    base, receiver = tiny_model(tied=tied), tiny_model(tied=tied)
    receiver = tuned_copy(base, size=0.05, seed=7)
    adapted = tuned_copy(base, size=0.02, seed=8)
    base_table = take_table(base, tiny_tokenizer(), lineage="b" * 64)
    receiver_table = take_table(receiver, tiny_tokenizer(), lineage="b" * 64)
    rows = 96 if identity else 90
    found = token_map(rows, 96, identity=identity)
    tokenizer = tiny_tokenizer() if identity else tiny_tokenizer(size=90)
    generator = torch.Generator().manual_seed(1)
    matrices = {
        part: apply_map(found, matrix, part=part) + torch.randn(rows, 16, generator=generator) * 0.1
        for part, matrix in base_table.matrices().items()
    }
    tuned_table = replace(
        base_table, tokenizer=tokenizer, input=matrices["input"], output=matrices.get("output")
    )
    return base, adapted, receiver, base_table, tuned_table, receiver_table, found


def packed(directory, parts, found=None):
    base, adapted, _, base_table, tuned_table, _, mapping = parts
    return pack_language(
        LoadedWeights(base), LoadedWeights(adapted), base_table, tuned_table, mapping,
        found or exact_policy(), directory, name="lang",
    )  # fmt: skip


@pytest.mark.parametrize("tied", [True, False])
def test_on_its_own_base_the_pack_gives_the_tuned_table_back(tmp_path, tied):
    parts = world(tied)
    base_table, tuned_table, mapping = parts[3], parts[4], parts[6]
    grafted = graft_table(packed(tmp_path / "p", parts), base_table)
    control = mapping.provenance == int(Provenance.special)
    for part, matrix in tuned_table.matrices().items():
        ours = grafted.matrices()[part]
        torch.testing.assert_close(ours[~control], matrix[~control], rtol=1e-6, atol=1e-6)
        assert torch.equal(ours[control], base_table.matrices()[part][:4])
    assert grafted.tokenizer.get_vocab() == tuned_table.tokenizer.get_vocab()


def test_its_body_is_verified_and_no_checkpoint_takes_half_of_it(tmp_path):
    parts = world()
    base, adapted = parts[0], parts[1]
    pack = packed(tmp_path / "p", parts)
    check_base(pack, LoadedWeights(base))
    with raises(CompatibilityError, f"pack {pack.name!r}", "'model"):
        check_base(pack, LoadedWeights(adapted))
    save_checkpoint(base, None, tmp_path / "base")
    for check in (True, False):
        with raises(CompatibilityError, f"pack {pack.name!r}", "recipe=language_pack"):
            apply_to_checkpoint(tmp_path / "base", [pack], tmp_path / "out", check=check)
    assert not (tmp_path / "out").exists()


def test_on_a_relative_the_table_is_m_e_plus_r(tmp_path):
    parts = world()
    receiver_table, mapping = parts[5], parts[6]
    pack = packed(tmp_path / "p", parts)
    rest = residuals(parts[3], parts[4], mapping)["input"]
    dense = torch.zeros(mapping.rows, 96)
    for row in range(mapping.rows):
        for source, weight in mapping.row(row):
            dense[row, source] = weight
    expected = dense @ receiver_table.input + rest
    found = graft_table(pack, receiver_table)
    torch.testing.assert_close(found.input, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(found.input[:4], receiver_table.input[:4])
    assert found.lineage == receiver_table.lineage


def test_relative_and_absolute_agree_where_the_receiver_kept_its_table(tmp_path):
    parts = world()
    pack, base_table = packed(tmp_path / "p", parts), parts[3]
    relative = graft_table(pack, base_table).input
    assert torch.equal(relative, graft_table(pack, base_table, rows_of=base_table).input)
    moved = graft_table(pack, parts[5])
    swapped = graft_table(pack, parts[5], rows_of=base_table)
    assert not torch.equal(moved.input, swapped.input)
    torch.testing.assert_close(swapped.input[4:], parts[4].input[4:], rtol=1e-6, atol=1e-6)
    assert torch.equal(swapped.input[:4], parts[5].input[:4])  # control rows: the receiver's


def test_with_one_vocabulary_it_is_the_ordinary_change(tmp_path):
    parts = world(identity=True)
    pack, base_table, tuned_table = packed(tmp_path / "p", parts), parts[3], parts[4]
    change = tuned_table.input - base_table.input
    torch.testing.assert_close(pack.delta("vocab.input")[4:], change[4:], rtol=1e-5, atol=1e-6)
    found = graft_table(pack, parts[5]).input
    expected = parts[5].input[4:] + change[4:]
    torch.testing.assert_close(found[4:], expected, rtol=1e-5, atol=1e-6)


def test_fallback_rows_are_kept_whole_and_need_no_source():
    parts = world()
    mapping = parts[6]
    lost = mapping.provenance == int(Provenance.fallback)
    assert bool((mapped(parts[3], mapping)["input"][lost] == 0).all())
    rest = residuals(parts[3], parts[4], mapping)["input"]
    assert torch.equal(rest[lost], parts[4].input[lost])


def test_a_compressed_language_pack_is_smaller_and_close(tmp_path):
    parts = world()
    exact = packed(tmp_path / "a", parts)
    small = packed(tmp_path / "b", parts, policy("module_aware"))
    assert small.manifest["size"]["payload"] < exact.manifest["size"]["payload"] / 2
    computed = parts[6].provenance == int(Provenance.computed)
    whole = graft_table(exact, parts[3]).input[computed]
    close = graft_table(small, parts[3]).input[computed]
    assert float((whole - close).norm() / whole.norm()) < 0.02
    counts = small.manifest["vocab"]["counts"]
    assert counts["special"] == 4
    assert sum(counts.values()) == 90


@pytest.mark.parametrize(("bits", "least"), [(0, 0.0), (32, 0.0), (16, 1e-4)])
def test_dense_keeps_every_row_in_the_width_asked_for(tmp_path, bits, least):
    parts = world()
    found = PackConfig(
        classes={
            "table": ClassRule(match="table", op="dense", bits=bits),
            "rest": ClassRule(op="dense", bits=0),
        }
    )
    pack = packed(tmp_path / "p", parts, found)
    rest = residuals(parts[3], parts[4], parts[6])["input"]
    wanted = rest.bfloat16().float() if bits == 16 else rest
    assert torch.equal(pack.delta("vocab.input"), wanted)
    assert pack.tensors["vocab.input"]["bytes"] == rest.numel() * (2 if bits == 16 else 4)
    relative = float((rest - wanted).norm() / rest.norm())
    assert relative >= least
    assert pack.tensors["vocab.input"]["relF"] == pytest.approx(relative, abs=1e-7)


@pytest.mark.parametrize("density", [0.05, 0.5])
def test_the_policy_of_tables_works_on_copied_rows(tmp_path, density):
    parts = world()
    found = policy("module_aware", f"pack.classes.embed.density={density}")
    pack = packed(tmp_path / "p", parts, found)
    copied = parts[6].provenance == int(Provenance.copied)
    rest = residuals(parts[3], parts[4], parts[6])["input"]
    kept = pack.delta("vocab.input")
    asked = round(density * int(copied.sum()) * 16)
    assert asked - 2 <= int((kept[copied] != 0).sum()) <= asked  # rounding may give a zero
    new = ~copied & (rest.abs().sum(dim=1) > 0)
    assert float((kept[new] - rest[new]).norm() / rest[new].norm()) < 0.01


def test_tables_that_the_policy_skips_keep_their_new_rows(tmp_path):
    parts = world()
    pack = packed(tmp_path / "p", parts, policy("delta_come"))
    copied = parts[6].provenance == int(Provenance.copied)
    rest, kept = residuals(parts[3], parts[4], parts[6])["input"], pack.delta("vocab.input")
    assert not bool(kept[copied].any())
    assert float((kept - rest)[~copied].norm() / rest[~copied].norm()) < 0.01
    signs = policy("delta_come", "pack.classes.embed.op=sign")
    with raises(ConfigError, "pack.classes.embed.op=sign"):
        packed(tmp_path / "q", parts, signs)
    assert not (tmp_path / "q").exists()
    faults = dict(PackStep(base="b", tuned="t", initial="i", pack=signs).faults())
    assert list(faults) == ["pack.classes.embed.op"]
    assert not list(PackStep(base="b", tuned="t", pack=signs).faults())


@pytest.mark.parametrize("target", [0.5, 0.8])
@pytest.mark.parametrize("tied", [True, False])
def test_a_budget_counts_the_vocabulary(tmp_path, target, tied):
    parts = world(tied)
    pack = packed(tmp_path / "p", parts, policy("svd", f"pack.budget.target={target}"))
    size = pack.manifest["size"]
    wider = sum(i["bytes"] // 2 for i in pack.tensors.values() if i.get("dtype") == "float64")
    assert 0.7 * target * size["dense_bytes"] <= size["bytes"] - wider
    assert size["bytes"] - wider <= target * size["dense_bytes"] + 64
    with raises(ConfigError, "pack.budget.target=0.1"):
        packed(tmp_path / "q", parts, policy("svd", "pack.budget.target=0.1"))


@pytest.mark.parametrize("name", ["module_aware", "phlora", "svd"])
def test_the_error_of_the_whole_is_written(tmp_path, name):
    parts = world()
    pack = packed(tmp_path / "p", parts, policy(name))
    base, adapted = LoadedWeights(parts[0]), LoadedWeights(parts[1])
    changes = {
        n: adapted.tensor(n).double() - base.tensor(n).double()
        for n in base.names() if not base.anatomy.is_table_tensor(n)
    }  # fmt: skip
    changes |= {
        f"vocab.{part}": rest.double()
        for part, rest in residuals(parts[3], parts[4], parts[6]).items()
    }
    assert set(changes) == set(pack.tensors) | set(pack.manifest["skipped"])
    error = sum(
        float((change - (pack.delta(n).double() if n in pack.tensors else 0)).square().sum())
        for n, change in changes.items()
    )
    whole = sum(float(change.square().sum()) for change in changes.values())
    assert pack.manifest["relF"] == pytest.approx((error / whole) ** 0.5, rel=1e-4)


def test_a_receiver_with_another_vocabulary_is_refused(tmp_path):
    parts = world()
    pack, receiver = packed(tmp_path / "p", parts), parts[5]
    other = copy.deepcopy(receiver.tokenizer)
    other.add_special_tokens({"additional_special_tokens": ["<|turn|>"]})
    foreign = replace(receiver, tokenizer=other)
    with raises(CompatibilityError, f"pack {pack.name!r}", "receiver"):
        graft_table(pack, foreign)
    with raises(CompatibilityError, f"pack {pack.name!r}", "base"):
        graft_table(pack, receiver, rows_of=foreign)
    roles = copy.deepcopy(receiver.tokenizer)
    roles.pad_token = roles.eos_token  # the same ids, another role: an instruct model may have it
    assert tokenizer_identity(roles) != tokenizer_identity(receiver.tokenizer)
    found = graft_table(pack, replace(receiver, tokenizer=roles))
    assert torch.equal(found.input, graft_table(pack, receiver).input)


def test_order_of_token_ids_only_permutes_the_rows(tmp_path):
    parts = list(world())
    permutation = torch.randperm(96, generator=torch.Generator().manual_seed(0))
    mapping = parts[6]
    inverse = permutation.argsort()
    turned = replace(mapping, indices=_sorted_rows(mapping, inverse), exemplars=mapping.exemplars)
    turned.weights = _sorted_weights(mapping, inverse)
    shuffled = replace(parts[3], input=parts[3].input[permutation])
    straight = mapped(parts[3], mapping)["input"]
    torch.testing.assert_close(mapped(shuffled, turned)["input"], straight, rtol=1e-6, atol=1e-6)


def test_order_of_new_token_ids_permutes_the_grafted_table(tmp_path):
    parts = world()
    order = torch.randperm(86, generator=torch.Generator().manual_seed(3)) + 4
    order = torch.cat([torch.arange(4), order])  # row i of the turned side is row order[i]
    mapping, tuned = parts[6], parts[4]
    rows = [mapping.row(int(i)) for i in order]
    turned = replace(
        mapping,
        indptr=torch.tensor([0, *(sum(map(len, rows[: i + 1])) for i in range(90))]),
        indices=torch.tensor([s for r in rows for s, _ in sorted(r)], dtype=torch.int32),
        weights=torch.tensor([w for r in rows for _, w in sorted(r)]),
        provenance=mapping.provenance[order], keys=[mapping.keys[int(i)] for i in order],
    )  # fmt: skip
    shuffled = [*parts[:4], replace(tuned, input=tuned.input[order]), parts[5], turned]
    straight = graft_table(packed(tmp_path / "a", parts), parts[5]).input
    found = graft_table(packed(tmp_path / "b", shuffled), parts[5]).input
    torch.testing.assert_close(found, straight[order], rtol=1e-5, atol=1e-6)


def test_the_manifest_holds_the_whole_policy(tmp_path):
    one = packed(tmp_path / "a", world(), policy("module_aware")).manifest
    other = packed(
        tmp_path / "b", world(), policy("module_aware", "pack.classes.embed.density=0.2")
    ).manifest
    assert one["policy"]["classes"]["embed"]["density"] == 0.1
    assert one["policy"]["name"] == other["policy"]["name"]
    assert one["policy_sha256"] != other["policy_sha256"]  # equal names, other options


def _sorted_rows(mapping, inverse):
    rows = [sorted(int(inverse[s]) for s, _ in mapping.row(r)) for r in range(mapping.rows)]
    return torch.tensor([index for row in rows for index in row], dtype=torch.int32)


def _sorted_weights(mapping, inverse):
    rows = [sorted((int(inverse[s]), w) for s, w in mapping.row(r)) for r in range(mapping.rows)]
    return torch.tensor([weight for row in rows for _, weight in row])


def test_wrong_maps_and_plain_packs_are_refused(tmp_path):
    parts = list(world())
    parts[6] = token_map(80, 96)
    with raises(CompatibilityError, 80, 96, 90):
        packed(tmp_path / "p", parts)
    assert not (tmp_path / "p").exists()
    parts = world()
    pack = packed(tmp_path / "q", parts)
    untied = world(tied=False)
    with raises(CompatibilityError, f"pack {pack.name!r}", "tied"):
        graft_table(pack, untied[5])
    file = tmp_path / "q" / "tokenizer" / "tokenizer.json"
    file.write_text(file.read_text() + " ")
    with raises(Exception, "sha256"):
        SkillPack(tmp_path / "q")


# it ties them all the same: findings/peft_tied_rows.sh
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
@pytest.mark.parametrize("tied", [True, False])
def test_plain_peft_gives_a_base_the_vocabulary_and_its_rows(tmp_path, tied):
    parts = world(tied)
    save_checkpoint(parts[0], tiny_tokenizer(), tmp_path / "base")
    pack = packed(tmp_path / "p", parts)
    export_peft(pack, tmp_path / "adapter", base=tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "adapter")
    assert tokenizer.get_vocab() == parts[4].tokenizer.get_vocab()
    base.resize_token_embeddings(len(tokenizer))
    merged = PeftModel.from_pretrained(base, tmp_path / "adapter").merge_and_unload()
    table = graft_table(pack, parts[3])
    assert torch.equal(merged.get_input_embeddings().weight, table.input)
    assert torch.equal(
        merged.get_output_embeddings().weight, table.matrices().get("output", table.input)
    )
