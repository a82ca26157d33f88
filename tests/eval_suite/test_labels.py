"""Tasks of labels: names counted as conlleval does, accuracy of words, models without a head."""

import pytest
import torch

from franken.config.data import MicroworldData
from franken.config.eval_suite import EvalSuiteConfig, TaskConfig
from franken.data import open_data
from franken.eval_suite import evaluate
from franken.parts.label_head import put_head
from franken.parts.label_set import LabelledUnit, LabelSet
from franken.tasks.token_labels import agreement, names
from tests.parts.encoders import encoder_tokenizer, tiny_encoder

SUITE = EvalSuiteConfig(
    name="labels",
    tasks={
        "topics": TaskConfig(kind="sentence_labels", source="topic_classification"),
        "words": TaskConfig(kind="token_labels", source="part_of_speech"),
    },
)


def test_names_are_those_of_conlleval():
    tags = ["B-PER", "I-PER", "O", "I-LOC", "B-LOC", "I-PER", "B-PER"]
    assert names(tags) == {
        ("PER", 0, 2), ("LOC", 3, 4), ("LOC", 4, 5), ("PER", 5, 6), ("PER", 6, 7)
    }  # fmt: skip
    # one of two names is found whole, the other one too short: 2 * 1 / (2 + 2)
    assert agreement(["B-PER", "O", "B-LOC", "I-LOC"], ["B-PER", "O", "B-LOC", "O"]) == (1, 4)


def test_a_heads_first_choice_is_scored_and_other_heads_are_skipped():
    world = open_data(MicroworldData(languages=["id"], evaluation=20))
    tokenizer = encoder_tokenizer("xlm-roberta")
    model = tiny_encoder("xlm-roberta", tokenizer, max_position_embeddings=300)
    head = put_head(model, LabelSet(LabelledUnit.token, ("O", "NOUN", "VERB")))
    with torch.no_grad():  # says NOUN whatever it reads
        for name, parameter in head.parameters().items():
            parameter.zero_()
            if name.endswith("bias"):
                parameter[1] = 1.0
    found = evaluate(model, tokenizer, SUITE, world, progress=False, head=head)
    assert {row["task"] for row in found.skipped} == {"topics"}
    tags = [tag for row in world.task_rows("part_of_speech", "id") for tag in row["upos"]]
    (score,) = [score for score in found.scores if score.lang == "id"]
    assert (score.task, score.metric, score.n) == ("words", "acc", 20)
    assert score.value == pytest.approx(tags.count("NOUN") / len(tags))
    assert not evaluate(model, tokenizer, SUITE, world, progress=False).scores
