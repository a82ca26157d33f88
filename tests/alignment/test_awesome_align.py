"""awesome-align: links of states against loops and the authors' formula; what the step reads."""

import math

import pytest
import torch

from franken.alignment.awesome_align import AwesomeAlign
from franken.alignment.base import Extraction, Similarity
from franken.alignment.common.bitext import by_space, read_bitext
from franken.alignment.common.contextual import Rule, StateAligner, word_links, words_of_tokens
from franken.data.labelled_encoding import word_spans
from franken.errors import ConfigError
from tests.faults import raises
from tests.parts.encoders import encoder_tokenizer, tiny_encoder

PAIRS = [("the doctor reads .", "daktari anasoma ."), ("we see", "tunaona")]


def drawn(rows, width=5, seed=0):
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(seed))


def slow_softmax(source, target, threshold):
    """The formula of the paper, a pair of tokens at a time."""
    found = set()
    for i, one in enumerate(source):
        for j, other in enumerate(target):
            own = math.exp(float(one @ other))
            forward = own / sum(math.exp(float(one @ t)) for t in target)
            backward = own / sum(math.exp(float(s @ other)) for s in source)
            if forward > threshold and backward > threshold:
                found.add((i, j))
    return found


def test_a_token_is_linked_where_both_softmaxes_are_above_the_threshold():
    source, target = drawn(4), drawn(6, seed=1)
    for threshold in (1e-3, 0.2):
        found = Rule(threshold=threshold).links(source, target)
        assert set(map(tuple, found.nonzero().tolist())) == slow_softmax(source, target, threshold)
    cosines = Rule(Similarity.cosine, 0.1, threshold=0.2).links(source * 9, target)
    scaled = [rows / rows.norm(dim=1, keepdim=True) for rows in (source, target)]
    assert set(map(tuple, cosines.nonzero().tolist())) == slow_softmax(
        scaled[0] / 0.1, scaled[1], 0.2
    )


def test_argmax_links_those_that_are_each_others_nearest():
    alike = torch.tensor([[5.0, 1.0, 0.0], [4.0, 0.0, 3.0]])
    found = Rule(extraction=Extraction.argmax).links(alike, torch.eye(3))
    assert found.nonzero().tolist() == [[0, 0]]  # the second row's best prefers the first


def test_words_are_linked_where_any_of_their_tokens_are():
    tokens = torch.tensor([[1, 0, 0], [0, 0, 1]], dtype=torch.bool)
    assert word_links(tokens, [0, 0], [0, 1, 1]) == {(0, 0), (0, 1)}


def test_tokens_belong_to_the_word_that_they_reach_into():
    spans = word_spans(["the", "doctors"])
    offsets = [(0, 0), (0, 3), (3, 7), (7, 11), (0, 0)]  # as " doc" and "tors" are cut
    assert words_of_tokens(offsets, spans) == [-1, 0, 1, 1, -1]


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_states_are_those_of_each_sentence_alone(family):
    tokenizer = encoder_tokenizer(family)
    model = tiny_encoder(family, tokenizer)
    bitext = read_bitext(PAIRS, splitter=by_space)
    aligner = StateAligner.of(model, tokenizer, layer=1, rule=Rule(), longest=64)
    together = aligner.states([bitext.source.sentence(n) for n in (0, 1)])
    for n, (found, words) in enumerate(together):
        ids = tokenizer(PAIRS[n][0], return_tensors="pt", return_offsets_mapping=True)
        spans = ids.pop("offset_mapping")[0].tolist()
        inside = [at for at, (a, b) in enumerate(spans) if PAIRS[n][0][a:b].strip()]
        with torch.no_grad():
            wanted = model(**ids, output_hidden_states=True).hidden_states[1][0]
        assert set(words) == set(range(len(PAIRS[n][0].split())))
        torch.testing.assert_close(found, wanted[inside])
    links = list(aligner.sentences(bitext))
    assert all(i < 4 and j < 3 for i, j in links[0])
    assert {tuple(row) for row in aligner.links(bitext).tolist() if row[0] < 4} == set(links[0])


def test_a_layer_that_is_not_there_and_a_missing_model_are_refused():
    tokenizer = encoder_tokenizer("bert")
    model = tiny_encoder("bert", tokenizer)
    aligner = StateAligner.of(model, tokenizer, layer=3, rule=Rule(), longest=64)
    with raises(ConfigError, "0 to 2", "3"):
        aligner.states([["the"]])
    with raises(ConfigError, "align_by"):
        AwesomeAlign().align([], "sw")
