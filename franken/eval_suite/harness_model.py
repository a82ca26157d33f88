"""A model as lm-evaluation-harness sees it: the harness asks, franken's scorer answers.

Ids, windows and cuts are those of the harness's own ``hf`` backend, so the numbers are the same,
but for two faults of it (lm-eval 0.4.13, see docs/evaluation.md):

- where the tokenizer merges over the border of question and answer, ``hf`` never scores the
  beginning of the answer; here the answer is then tokenised apart;
- rolling log-likelihoods count bos given bos where the tokenizer adds it by itself; here a text is
  tokenised without.
"""

from collections.abc import Callable, Sequence
from dataclasses import astuple
from typing import Any

from lm_eval.api.model import TemplateLM
from lm_eval.models.utils import has_bos_prefix
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from franken.decoding import Written
from franken.decoding.ends import before_stop, plain_text
from franken.errors import DataError
from franken.eval_suite.encoding import Encoder
from franken.eval_suite.generation import Limits, generate
from franken.eval_suite.journal import Journal, as_text, as_values, key_of
from franken.eval_suite.readout import Readout
from franken.eval_suite.scoring import Request, Scored, score

DEFAULT_LENGTH = 2048
"""Longest input where the model's config states none, as in ``hf``."""
DEFAULT_NEW_TOKENS = 256
"""Of tasks that name no limit, as in ``hf``."""
Pair = tuple[tuple[str, str] | None, list[int], list[int]]


class HarnessModel(TemplateLM):
    """Answers the three kinds of requests that a harness makes."""

    def __init__(
        self,
        readout: Readout,
        encoder: Encoder,
        *,
        batch_tokens: int,
        advance: Callable[[str, int, int], None] = lambda label, done, total: None,
        journal: Journal | None = None,
        voice: str = "",
    ) -> None:
        """Args: see below.

        Args:
            readout: the model.
            encoder: its tokenizer.
            batch_tokens: tokens per forward pass, padding included.
            advance: told a label, the requests done and their number.
            journal: where answers are kept as they come, and what an earlier run kept.
            voice: tells models apart that share a journal: the table of a Hydra LLM.
        """
        super().__init__()
        self.readout, self.encoder, self.batch_tokens = readout, encoder, batch_tokens
        self.journal, self.voice = journal or Journal(), voice
        self.tokenizer = encoder.tokenizer
        self._advance = advance

    @property
    def eot_token_id(self) -> int:
        """End of text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What an empty context stands for: bos, else eos."""
        return self.encoder.fallback[0]

    @property
    def max_length(self) -> int:
        """Tokens that one forward pass may read."""
        return self.readout.positions or DEFAULT_LENGTH

    @property
    def max_gen_toks(self) -> int:
        """New tokens of tasks that name no limit."""
        return DEFAULT_NEW_TOKENS

    @property
    def tokenizer_name(self) -> str:
        """Names request caches."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """A conversation as the model's template writes it."""
        return str(
            self.tokenizer.apply_chat_template(
                chat_history,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                continue_final_message=not add_generation_prompt,
            )
        )

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **kwargs: Any
    ) -> list[int]:
        """Ids as the tokenizer's template makes them; bos is not doubled."""
        if add_special_tokens is None:
            bos = self.tokenizer.decode(self.prefix_token_id)
            add_special_tokens = not has_bos_prefix(string, bos)
        ids: list[int] = self.tokenizer.encode(string, add_special_tokens=add_special_tokens)
        return ids

    def _encode_pair(self, context: str, continuation: str) -> tuple[list[int], list[int]]:
        """As ``hf``, but for answers that merge with the end of the question (see above)."""
        kept = context.rstrip()
        continuation, context = context[len(kept) :] + continuation, kept
        if not context:  # only white space: it belongs to the answer
            return [self.prefix_token_id], self.tok_encode(continuation, add_special_tokens=False)
        head, whole = self.tok_encode(context), self.tok_encode(context + continuation)
        if whole[: len(head)] == head and len(whole) > len(head):
            return head, whole[len(head) :]
        return head, self.encoder.continuation(continuation)

    def _loglikelihood_tokens(
        self, requests: Sequence[Pair], disable_tqdm: bool = False, **kwargs: Any
    ) -> list[tuple[float, bool]]:
        """Log-likelihood and whether the continuation is the greedy one; cut on the left."""
        found = self._score([self._request(*pair) for pair in requests], "log-likelihoods")
        return [(float(one.log_probs.sum()), one.greedy) for one in found]

    def _request(
        self, texts: tuple[str, str] | None, context: list[int], continuation: list[int]
    ) -> Request:
        room = self.max_length + 1 - len(continuation)
        if room < 1 or not continuation:
            what = repr(texts[1][:40]) if texts else "a window"
            raise DataError(
                f"an answer of {len(continuation)} tokens cannot be scored by a model that reads "
                f"1 to {self.max_length}: {what}; leave the task out or shorten its answers"
            )
        return Request(tuple(context[-room:]), tuple(continuation), prompted=texts is not None)

    def loglikelihood_rolling(
        self, requests: Sequence[Any], disable_tqdm: bool = False
    ) -> list[float]:
        """Log-likelihood of whole texts, each token predicted once, in the windows of ``hf``."""
        windows: list[Request] = []
        owners: list[int] = []
        for index, request in enumerate(requests):
            ids = self.tok_encode(request.args[0], add_special_tokens=False)
            for window in get_rolling_token_windows(ids, self.prefix_token_id, self.max_length, 1):
                context, continuation = make_disjoint_window(window)
                windows.append(Request(tuple(context), tuple(continuation), prompted=False))
                owners.append(index)
        totals = [0.0] * len(requests)
        for owner, found in zip(owners, self._score(windows, "texts"), strict=True):
            totals[owner] += float(found.log_probs.sum())
        return totals

    def _score(self, requests: Sequence[Request], label: str) -> list[Scored]:
        """Score requests, but for those that an earlier run kept."""
        keys = [
            key_of(
                "lm-eval", self.voice, len(r.context), r.prompted, ids=r.context + r.continuation
            )
            for r in requests
        ]
        found = self.journal.found
        left = [at for at, key in enumerate(keys) if key not in found]
        advance = self._counter(label, len(requests), len(requests) - len(left))
        fresh = score(
            self.readout, [requests[at] for at in left], batch_tokens=self.batch_tokens,
            advance=advance,
            done=lambda rows: self.journal.add(
                (keys[left[at]], [as_text(own.log_probs), own.greedy]) for at, own in rows
            ),
        )  # fmt: skip
        new = dict(zip(left, fresh, strict=True))
        kept = {at: found[key] for at, key in enumerate(keys) if at not in new}
        return [
            new[at] if at in new else Scored(as_values(kept[at][0]), kept[at][1])
            for at in range(len(keys))
        ]

    def _counter(self, label: str, total: int, done: int) -> Callable[[int], None]:
        self._advance(f"lm-eval {label}", done, total)

        def advance(count: int) -> None:
            nonlocal done
            done += count
            self._advance(f"lm-eval {label}", done, total)

        return advance

    def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
        """Greedy continuations, cut at the first of each task's stop strings.

        Raises:
            DataError: for a task that draws its answers at random.
        """
        texts: list[str] = [""] * len(requests)
        by_options: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            by_options.setdefault(repr(sorted(request.args[1].items())), []).append(index)
        for members in by_options.values():
            limits = self._limits(requests[members[0]].args[1])
            room = max(1, self.max_length - limits.max_new_tokens)
            prompts = [self.tok_encode(requests[index].args[0])[-room:] for index in members]
            for index, written in zip(members, self._written(prompts, limits), strict=True):
                text = plain_text(self.tokenizer, written.ids)
                texts[index], _ = before_stop(text, limits.stops)
        return texts

    def _written(self, prompts: list[list[int]], limits: Limits) -> list[Written]:
        """Continue prompts, but for those that an earlier run kept."""
        asked = ("lm-eval", self.voice, limits.max_new_tokens, limits.stops)
        keys = [key_of(*asked, ids=prompt) for prompt in prompts]
        found = self.journal.found
        left = [at for at, key in enumerate(keys) if key not in found]
        advance = self._counter("answers", len(prompts), len(prompts) - len(left))

        def done(chosen: Sequence[int], made: Sequence[Written]) -> None:
            rows = zip(chosen, made, strict=True)
            self.journal.add((keys[left[at]], list(astuple(own))) for at, own in rows)
            advance(len(chosen))

        fresh = generate(
            self.readout, self.tokenizer, [prompts[at] for at in left], limits,
            batch_tokens=self.batch_tokens, writable=self.encoder.writable, done=done,
        )  # fmt: skip
        new = dict(zip(left, fresh, strict=True))
        return [new[at] if at in new else Written(*found[key]) for at, key in enumerate(keys)]

    def _limits(self, options: dict[str, Any]) -> Limits:
        new, stops = generation_options(options, self.max_gen_toks)
        return Limits(new, stops=stops, end_ids=self.encoder.end_ids)


def generation_options(options: dict[str, Any], default: int) -> tuple[int, tuple[str, ...]]:
    """New tokens and stop strings from a task's ``generation_kwargs``.

    Raises:
        DataError: when it asks for random draws, which are not reproducible here.
    """
    if options.get("do_sample") and float(options.get("temperature") or 1.0) > 0:
        raise DataError(
            f"the task samples its answers (generation_kwargs={options}), but franken's answers "
            "are greedy; set do_sample: false in a copy of the task and give it by include_path"
        )
    until = options.get("until") or []
    stops = [until] if isinstance(until, str) else [str(stop) for stop in until if stop]
    new = options.get("max_gen_toks", options.get("max_new_tokens", default))
    return int(new), tuple(stops)
