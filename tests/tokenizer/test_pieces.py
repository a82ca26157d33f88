"""Pieces as bytes: what tokens stand for, encoding bytes, and what two vocabularies share."""

import pytest

from franken.config.base_model import TokenizerKind
from franken.tokenizer import pieces as module
from franken.tokenizer.pieces import PieceEncoder
from franken.vocab import (
    canonical_bytes,
    encode_piece,
    encode_pieces,
    special_ids,
    special_roles,
    vocabulary_overlap,
)
from tests.vocab.toys import (
    ENGLISH,
    HARD,
    KINDS,
    STRUCTURES,
    TARGETS,
    added,
    base_tokenizer,
    gemma_like,
    ids_of,
    llama3_like,
    qwen_like,
    spec_of,
    wrap,
    xlmr_like,
)

LINES = ENGLISH[:100] + [line for lines in TARGETS.values() for line in lines[:30]]


@pytest.mark.parametrize("name", ["gemma", "llama2", "llama3"])
def test_bytes_of_the_tokens_join_to_the_bytes_of_the_text(name):
    tokenizer = STRUCTURES[name]()
    table = canonical_bytes(tokenizer)
    specials = special_ids(tokenizer)
    for line in LINES + HARD:
        ids = ids_of(tokenizer, line)
        if specials & set(ids):
            assert line.startswith("<bos>")  # the text spells a control token
            continue
        joined = b"".join(table[index] for index in ids)
        prefix = b" " if name == "llama2" and line else b""
        assert joined == prefix + line.encode()


@pytest.mark.parametrize("kind", KINDS)
def test_every_byte_has_exactly_one_byte_piece(kind):
    tokenizer = base_tokenizer(kind)
    table = canonical_bytes(tokenizer)
    vocab = tokenizer.get_vocab()
    if kind is TokenizerKind.byte_level_bpe:
        assert sorted(entry for entry in table if entry and len(entry) == 1) == [
            bytes([byte]) for byte in range(256)
        ]
    else:
        assert [table[vocab[f"<0x{byte:02X}>"]] for byte in range(256)] == [
            bytes([byte]) for byte in range(256)
        ]


@pytest.mark.parametrize("name", STRUCTURES)
def test_table_has_an_entry_per_id_and_none_exactly_for_special_tokens(name):
    tokenizer = STRUCTURES[name]()
    table = canonical_bytes(tokenizer)
    assert len(table) == max(tokenizer.get_vocab().values()) + 1
    assert {i for i, entry in enumerate(table) if entry is None} == special_ids(tokenizer)


def test_unused_ids_between_pieces_are_none():
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe))
    spec["added_tokens"], spec["post_processor"] = [], None
    spec["model"]["vocab"]["Ġ"] = len(spec["model"]["vocab"]) + 7
    table = canonical_bytes(wrap(spec))
    assert table[-1] == b" "
    assert table[-8:-1] == [None] * 7


def test_space_runs_among_the_added_tokens_of_gemma_mean_spaces():
    tokenizer = gemma_like()
    table, vocab = canonical_bytes(tokenizer), tokenizer.get_vocab()
    assert table[vocab["▁▁"]] == b"  "
    assert table[vocab["\n\n"]] == b"\n\n"
    assert table[vocab["<table>"]] == b"<table>"
    assert table[vocab["<start_of_turn>"]] is None


def test_literal_added_tokens_of_byte_level_bpe_are_their_own_text():
    spec = spec_of(qwen_like())
    size = len(spec["model"]["vocab"]) + len(spec["added_tokens"])
    spec["added_tokens"].append(added("café", size, special=False))
    tokenizer = wrap(spec)
    assert canonical_bytes(tokenizer)[size] == "café".encode()


def test_special_roles_and_ids_include_id_zero_and_unknown():
    tokenizer = base_tokenizer(TokenizerKind.sentencepiece_unigram)
    assert special_roles(tokenizer) == {"pad": 0, "eos": 1, "bos": 2, "unk": 3}
    assert {0, 1, 2, 3} <= special_ids(tokenizer)


@pytest.mark.parametrize("name", STRUCTURES)
def test_encoding_a_piece_keeps_its_leading_space_and_adds_nothing(name):
    tokenizer = STRUCTURES[name]()
    table = canonical_bytes(tokenizer)
    for text in ["house", " house", "ouse", " bread and", " 7", "ing"]:
        ids = encode_piece(tokenizer, text.encode())
        assert b"".join(table[index] for index in ids) == text.encode()
        assert not special_ids(tokenizer) & set(ids)


@pytest.mark.parametrize("name", STRUCTURES)
def test_encoding_a_piece_after_other_text_equals_the_tail_of_the_whole(name):
    tokenizer = STRUCTURES[name]()
    for word in ["house", "children", "reading"]:
        whole = ids_of(tokenizer, f"green {word}")
        ids = encode_piece(tokenizer, f" {word}".encode())
        assert whole[-len(ids) :] == ids


@pytest.mark.parametrize("kind", KINDS)
def test_reachable_pieces_encode_to_themselves(kind):
    tokenizer = base_tokenizer(kind)
    table = canonical_bytes(tokenizer)
    entries = [(index, data) for index, data in enumerate(table) if data is not None]
    encoded = encode_pieces(tokenizer, [data for _, data in entries])
    same = sum(ids == [index] for (index, _), ids in zip(entries, encoded, strict=True))
    byte_twins = 0 if kind is TokenizerKind.byte_level_bpe else 128
    assert same >= len(entries) - byte_twins - 2  # <0x41> is written as "A" where that is a piece


def test_pieces_are_encoded_a_batch_at_a_time(monkeypatch):
    tokenizer, seen = base_tokenizer(TokenizerKind.byte_level_bpe), []
    data = [piece for piece in canonical_bytes(tokenizer) if piece is not None] + [b"\xff house"]
    whole, encode = encode_pieces(tokenizer, data), PieceEncoder._encode

    def spying(self: PieceEncoder, batch: list[bytes]) -> list[list[int]]:
        seen.append(len(batch))
        return encode(self, batch)

    monkeypatch.setattr(PieceEncoder, "_encode", spying)
    monkeypatch.setattr(module, "_BATCH", 50)
    assert encode_pieces(tokenizer, data) == whole
    assert max(seen) == 50
    assert sum(seen) == len(data)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_no_text_become_byte_tokens(kind):
    tokenizer = base_tokenizer(kind)
    table = canonical_bytes(tokenizer)
    for data in [b"\xe3", b"\xe3\x82", b"a\xff b", b"\x80\xc3\xa9\x80", b" \xf0\x9f"]:
        ids = encode_piece(tokenizer, data)
        assert b"".join(table[index] for index in ids) == data


def test_bytes_without_byte_pieces_are_unknown():
    tokenizer = xlmr_like()
    assert encode_piece(tokenizer, b"\xe3\x82") == [special_roles(tokenizer)["unk"]]


@pytest.mark.parametrize("name", ["gemma", "llama3", "xlm_r"])
def test_the_spelling_of_a_special_token_is_plain_text(name):
    tokenizer = STRUCTURES[name]()
    bos = tokenizer.bos_token
    ids = encode_piece(tokenizer, bos.encode())
    assert tokenizer.bos_token_id not in ids
    assert len(ids) > 1


def test_empty_bytes_encode_to_nothing():
    assert encode_piece(base_tokenizer(KINDS[0]), b"") == []


def test_encoder_follows_a_tokenizer_that_grows():
    tokenizer = wrap(spec_of(base_tokenizer(TokenizerKind.byte_level_bpe)))
    before = encode_piece(tokenizer, b"zzyzx")
    tokenizer.add_tokens(["zzyzx"])
    assert len(before) > 1
    assert encode_piece(tokenizer, b"zzyzx") == [len(tokenizer) - 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_vocabulary_overlaps_fully_with_itself(kind):
    tokenizer = base_tokenizer(kind)
    assert vocabulary_overlap(tokenizer, tokenizer) == {i: i for i in range(len(tokenizer))}


@pytest.mark.parametrize("source", KINDS)
@pytest.mark.parametrize("target", KINDS)
def test_overlap_across_kinds_pairs_equal_bytes_and_roles(source, target):
    left, right = base_tokenizer(source), base_tokenizer(target)
    overlap = vocabulary_overlap(left, right)
    left_table, right_table = canonical_bytes(left), canonical_bytes(right)
    roles = special_roles(left)
    for role, index in special_roles(right).items():
        if role in roles:
            assert overlap[index] == roles[role]
    known = set(left_table) - {None}
    for index, data in enumerate(right_table):
        if data is None:
            continue
        assert (index in overlap) == (data in known)
        if index in overlap:
            assert left_table[overlap[index]] == data


def test_incomplete_characters_do_not_overlap_with_each_other():
    left = base_tokenizer(TokenizerKind.byte_level_bpe)
    right = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    vocab = right.get_vocab()
    overlap = vocabulary_overlap(left, right)
    partners = {overlap[vocab[f"<0x{byte:02X}>"]] for byte in range(128, 256)}
    assert len(partners) == 128


def test_a_byte_piece_prefers_a_byte_piece_and_a_letter_a_letter():
    tokenizer = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    vocab = tokenizer.get_vocab()
    assert vocab["e"] != vocab["<0x65>"]
    overlap = vocabulary_overlap(tokenizer, base_tokenizer(TokenizerKind.sentencepiece_unigram))
    target = base_tokenizer(TokenizerKind.sentencepiece_unigram).get_vocab()
    assert overlap[target["e"]] == vocab["e"]
    assert overlap[target["<0x65>"]] == vocab["<0x65>"]


def test_letters_of_byte_level_bpe_are_letters():
    source = base_tokenizer(TokenizerKind.sentencepiece_bpe)
    target = base_tokenizer(TokenizerKind.byte_level_bpe)
    written, letters = source.get_vocab(), target.get_vocab()
    overlap = vocabulary_overlap(source, target)
    shared = [char for char in map(chr, range(33, 127)) if char in written]
    assert len(shared) > 50
    assert [overlap[letters[char]] for char in shared] == [written[char] for char in shared]
    assert overlap[letters["Ã"]] == written["<0xC3>"]  # no letter, but the first byte of one
    assert overlap[letters["Ā"]] == written["<0x00>"]  # no text has it


def test_special_tokens_of_other_spelling_match_by_role():
    source, target = gemma_like(), llama3_like()
    overlap = vocabulary_overlap(source, target)
    assert overlap[target.bos_token_id] == source.bos_token_id
    assert overlap[target.eos_token_id] == source.eos_token_id


def test_bos_wins_where_one_token_has_several_roles():
    source = xlmr_like()
    spec = spec_of(base_tokenizer(TokenizerKind.byte_level_bpe))
    target = wrap(spec, bos_token="<bos>", eos_token="<bos>", pad_token="<bos>")
    assert vocabulary_overlap(source, target)[target.bos_token_id] == source.bos_token_id == 0


@pytest.mark.parametrize(
    ("data", "text"),
    [(None, None), (b"", ""), (b" nyumba", " nyumba"), ("é".encode(), "é"), (b"\xc3", None)],
)
def test_text_of_bytes(data: bytes | None, text: str | None) -> None:
    assert module.text_of(data) == text
