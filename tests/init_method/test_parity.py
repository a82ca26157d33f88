"""Row by row against the authors' packages (extra ``parity``), real fastText files included.

Rows on which a release is defective are left out by a rule that is stated where it is applied.
"""

import random
from functools import cache, partial

import numpy as np
import pytest
import torch

from franken.config.base_model import TokenizerKind
from franken.init_method import InitResources, Provenance, initialise
from franken.init_method.focus import FocusInit
from franken.init_method.wechsel import TokenVectors, WechselInit
from franken.token_map.token_vectors import texts_of
from franken.tokenizer.families import train_tokenizer
from franken.tokenizer.pieces import canonical_bytes
from franken.word_vectors import VectorSpace
from franken.word_vectors.common.pieces import piece_labels
from franken.word_vectors.common.read import END_OF_LINE, read_vectors
from tests.init_method.tiny import source_table

fasttext = pytest.importorskip("fasttext")

pytestmark = pytest.mark.filterwarnings("ignore")
ENOUGH = 0.9999
KINDS = pytest.mark.parametrize(
    "kind", list(TokenizerKind), ids=[kind.value for kind in TokenizerKind]
)


@cache
def texts() -> tuple[list[str], list[str], list[tuple[str, str]]]:
    """Two made-up languages with some words in common, and a lexicon.

    Large enough for the release's guess of a SentencePiece vocabulary: over 100 pieces with ``▁``.
    """
    draw = random.Random(0)
    words = {
        side: ["".join(draw.choice(parts) for _ in range(draw.randint(2, 3))) for _ in range(250)]
        for side, parts in (
            ("source", ["ta", "ing", "ers", "hou", "lo", "wat", "pre", "com"]),
            ("target", ["nyu", "mba", "ki", "ta", "ma", "ji", "lo", "wa", "shé"]),
        )
    }
    words["target"][200:] = words["source"][200:]

    def lines(side: str) -> list[str]:
        # 25 topics of 10 words: vectors of one topic only would leave the rotation to rounding
        return [
            " ".join(words[side][10 * topic + draw.randrange(10)] for _ in range(8)) + " ."
            for topic in [number % 25 for number in range(800)]
        ]

    pairs = list(zip(words["source"], words["target"], strict=True))
    return lines("source"), lines("target"), pairs


@cache
def tokenizers(kind: TokenizerKind):
    source, target, _ = texts()
    return train_tokenizer(kind, [*source, *target[:40]], 620), train_tokenizer(
        kind, [*target, *source[:200]], 660
    )


def trained(path, sentences):
    """A fastText model on disk, by the original library."""
    text = path.with_suffix(".txt")
    text.write_text("\n".join(" ".join(sentence) for sentence in sentences))
    model = fasttext.train_unsupervised(
        str(text), model="cbow", dim=16, neg=5, minCount=1, bucket=2000, thread=1, t=1.0,
        epoch=40, lr=0.1, verbose=0,
    )  # fmt: skip
    model.save_model(str(path))
    return model


def lowest_cosine(left: torch.Tensor, right: np.ndarray) -> float:
    one, other = left.double().numpy(), right.astype(np.float64)
    norms = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(1) / norms).min())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    found = {}
    for language, lines in zip(("en", "sw"), texts(), strict=False):
        path = folder / f"cc.{language}.bin"
        found[language] = (trained(path, [line.split() for line in lines]), read_vectors(path))
    return found


def test_fasttext_files_give_the_vectors_of_fasttext(models):
    model, space = models["sw"]
    words = [*space.words[:20], "nyumbani", "mji", "ቤት", "x", "Shé"]
    ours = space.lookup(words)[0].numpy()
    theirs = np.stack([model.get_word_vector(word) for word in words])
    assert np.allclose(ours, theirs, atol=1e-6)


@KINDS
@pytest.mark.parametrize("how", list(TokenVectors), ids=[how.value for how in TokenVectors])
def test_wechsel(kind, how, models, tmp_path):
    """All rows of text, once three defects of the release are mended from outside.

    Its candidates include special tokens (by the n-grams of their names), control characters and
    pieces that are no whole UTF-8 (all as U+FFFD): these get zero vectors here. It takes fastText's
    end-of-line mark for a word, which is left out. And source pieces of equal vectors ("▁house",
    "house") get equal rows, as which of them is tenth is left open.
    """
    wechsel = pytest.importorskip("wechsel")
    old, target = tokenizers(kind)
    source, size = source_table(kind, size=16, tokenizer=old), len(old)
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("\n".join("\t".join(pair) for pair in texts()[2]))
    release = wechsel.WECHSEL(models["en"][0], models["sw"][0], bilingual_dictionary=str(lexicon))
    released = []
    for tokenizer, embeddings in (
        (old, release.source_embeddings), (target, release.target_embeddings),
    ):  # fmt: skip
        words, counts = embeddings.get_words_and_freqs()
        kept = [place for place, word in enumerate(words) if word != END_OF_LINE]
        listed = ([words[place] for place in kept], [int(counts[place]) for place in kept])
        embeddings.get_words_and_freqs = partial(tuple, listed)
        vectors, _ = wechsel.get_subword_embeddings_in_word_embedding_space(
            tokenizer, embeddings, use_subword_info=how is TokenVectors.decode, verbose=False
        )
        if how is TokenVectors.decode:
            vectors *= np.array([[bool(text)] for text in texts_of(canonical_bytes(tokenizer))])
        released.append(vectors)
    source_vectors = release.source_transform(released[0])
    _, group = np.unique(source_vectors.round(6), axis=0, return_inverse=True)
    first = torch.tensor([int(np.argmax(group == number)) for number in group])
    source.input[:size] = source.input[:size][first]
    table, _, _ = wechsel.create_target_embeddings(
        source_vectors, released[1], old, target, source.input[:size].numpy(), verbose=False
    )
    resources = InitResources(
        languages=["sw"],
        lexicons={"sw": texts()[2]},
        word_vectors={language: space for language, (_, space) in models.items()},
    )
    ours, token_map = initialise(source, target, WechselInit(token_vectors=how), resources, 0)
    rows = (token_map.provenance == Provenance.computed).nonzero().flatten().tolist()
    with_vector = {row for row in range(len(target)) if released[1][row].any()}
    assert set(rows) == with_vector
    lowest = lowest_cosine(ours.input[rows], table[rows])
    print(f"wechsel {kind.value} {how.value}: {len(rows)} rows, lowest cosine {lowest:.7f}")
    assert len(rows) > 200
    assert lowest > ENOUGH


@KINDS
def test_focus(kind, tmp_path):
    """Copied and computed rows.

    Left out: pieces that are no whole UTF-8 or white space alone, which the release decodes to
    U+FFFD or to nothing, so that they all match each other.
    """
    deepfocus = pytest.importorskip("deepfocus")
    old, target = tokenizers(kind)
    source, size = source_table(kind, size=16, tokenizer=old), len(old)
    path = tmp_path / "pieces.bin"
    trained(path, [target.tokenize(line) for line in texts()[1]])
    released = deepfocus.FOCUS(
        target_tokenizer=target,
        source_tokenizer=old,
        source_embeddings=source.input[:size],
        fasttext_model_path=str(path),
        verbosity="silent",
    ).numpy()
    names = target.convert_ids_to_tokens(list(range(len(target))))
    labels = dict(zip(names, piece_labels(target), strict=True))
    space = read_vectors(path)
    named = [labels.get(word) or word for word in space.words]
    resources = InitResources(piece_vectors={"target": VectorSpace(named, space.vectors)})
    table, token_map = initialise(source, target, FocusInit(), resources, 0)
    left_out = {
        row
        for row, data in enumerate(canonical_bytes(target))
        if data is None or "\ufffd" in (text := data.decode(errors="replace")) or not text.strip()
    }
    for provenance in (Provenance.copied, Provenance.computed):
        rows = (token_map.provenance == int(provenance)).nonzero().flatten().tolist()
        rows = [row for row in rows if row not in left_out]
        lowest = lowest_cosine(table.input[rows], released[rows])
        print(f"focus {kind.value}: {len(rows)} rows {provenance.name}, lowest cosine {lowest:.7f}")
        assert len(rows) > 50
        assert lowest > ENOUGH
