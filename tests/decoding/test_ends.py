"""One decoder, a set of ends: ids of tokenizer, generation config and chat template; strings."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from franken.decoding import Decoding, Ends, Strategy, decode, stop_ids
from franken.decoding.ends import before_stop, text_is_over
from franken.tokenizer.chat import turn_end
from tests.eval_suite.conftest import llama_tokenizer

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


class Script:
    """A network that writes given ids whatever it reads; each row its own."""

    positions = None
    device = torch.device("cpu")

    def __init__(self, rows: list[list[int]], vocabulary: int) -> None:
        self.rows, self.vocabulary, self.widths = rows, vocabulary, []

    def run(self, input_ids: torch.Tensor, attention_mask: torch.Tensor, **rest: Any) -> Any:
        self.widths.append(len(input_ids))
        step = attention_mask.shape[1] - 2  # prompts of two tokens: which row, and one more
        if step == 0:
            self.which = input_ids[:, 0].tolist()
        ids = [self.rows[row][min(step, len(self.rows[row]) - 1)] for row in self.which]
        return SimpleNamespace(states=torch.tensor(ids)[:, None, None], past_key_values=self)

    def batch_select_indices(self, rows: torch.Tensor) -> None:
        self.which = [self.which[row] for row in rows.tolist()]

    def states(self, output: Any) -> torch.Tensor:
        return output.states

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        one_hot = torch.nn.functional.one_hot(states[:, 0], self.vocabulary)
        return 50.0 * one_hot.float()


@pytest.fixture
def tokenizer() -> Any:
    made = llama_tokenizer()
    made.add_special_tokens({"additional_special_tokens": ["<|im_start|>", "<|im_end|>"]})
    return made


def written(
    tokenizer: Any, texts: list[str], ends: Ends, strategy: Strategy, **options: Any
) -> tuple[list[Any], Script]:
    rows = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    script = Script(rows, len(tokenizer))
    made = decode(
        script, [[row, 5] for row in range(len(rows))], Decoding(strategy, 12, beams=2, **options),
        ends=ends, writable=len(tokenizer),
    )  # fmt: skip
    return made, script


def test_ids_come_from_tokenizer_generation_config_and_chat_template(tokenizer: Any) -> None:
    eos = tokenizer.eos_token_id
    assert stop_ids(tokenizer) == {eos}
    tokenizer.chat_template = CHATML
    end = tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert turn_end(tokenizer) == end
    listed = SimpleNamespace(generation_config=SimpleNamespace(eos_token_id=[7, 10**6]))
    assert stop_ids(tokenizer, listed) == {eos, end, 7}  # the last is no token of this table


def test_a_template_without_a_token_at_the_end_of_a_turn_adds_none(tokenizer: Any) -> None:
    tokenizer.chat_template = "{% for m in messages %}{{ m.content }}\n{% endfor %}"
    assert turn_end(tokenizer) is None
    tokenizer.chat_template = "{{ raise_exception('no') }}"
    assert turn_end(tokenizer) is None


@pytest.mark.parametrize("strategy", list(Strategy))
def test_any_of_the_ids_ends_a_text(tokenizer: Any, strategy: Strategy) -> None:
    tokenizer.chat_template = CHATML
    texts = ["18<|im_end|> then 99", "18<eos> then 99", "18 then 99 and 100 and more"]
    made, _ = written(tokenizer, texts, Ends(stop_ids(tokenizer)), strategy)
    assert [tokenizer.decode(own.ids) for own in made[:2]] == ["18", "18"]
    assert [own.ended for own in made] == [True, True, False]
    assert len(made[2].ids) == 12
    assert all(own.log_prob == pytest.approx(0.0, abs=1e-6) for own in made)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_stop_string_ends_a_text_even_inside_a_token(tokenizer: Any, strategy: Strategy) -> None:
    over = text_is_over(tokenizer, ["\n", "Q:"])
    texts = ["the cat\nsees", "a teacherQ: why", "seven birds eat bread near"]
    made, _ = written(tokenizer, texts, Ends(over=over), strategy)
    cut = [before_stop(tokenizer.decode(own.ids), ["\n", "Q:"]) for own in made]
    assert cut[:2] == [("the cat", True), ("a teacher", True)]
    assert [own.stopped for own in made] == [True, True, cut[2][1]]


def test_finished_rows_leave_the_batch(tokenizer: Any) -> None:
    texts = ["a<eos>", "the<eos>", "a b<eos>", "the cat sees the red house<eos>"]
    made, script = written(tokenizer, texts, Ends(stop_ids(tokenizer)), Strategy.greedy)
    assert [tokenizer.decode(own.ids) + "<eos>" for own in made] == texts
    assert script.widths[0] == 4
    assert script.widths[-1] == 1


def test_no_end_is_written_before_the_least_length(tokenizer: Any) -> None:
    ends = Ends(frozenset([tokenizer.eos_token_id, 7]))
    for first in sorted(ends.ids):
        script = Script([[first]], len(tokenizer))
        options = Decoding(max_new_tokens=4, min_new_tokens=2)
        (made,) = decode(script, [[0, 5]], options, ends=ends, writable=len(tokenizer))
        assert len(made.ids) == 2
        assert made.ended
        assert not ends.ids & set(made.ids)


def test_the_byte_limit_is_looked_at_while_writing(tokenizer: Any) -> None:
    over = text_is_over(tokenizer, [], max_bytes=4)
    made, script = written(tokenizer, ["seven birds eat bread near the river"], Ends(over=over),
                           Strategy.greedy)  # fmt: skip
    assert made[0].stopped
    assert len(made[0].ids) == 8
    assert len(script.widths) == 8
