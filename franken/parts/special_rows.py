"""Control tokens take their rows from another table, matched by role, then by string."""

import copy
import re

from torch import Tensor
from transformers import PreTrainedTokenizerBase

from franken.errors import CompatibilityError
from franken.parts.table import Table
from franken.parts.tokenizer_files import special_roles

_RESERVED = re.compile(r"<unused_?\d+>|<\|reserved_special_token_\d+\|>")


def control_ids(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Token string -> id of everything that steers and is never text.

    Tokens with a role, added tokens marked special (turn markers), and reserved ones. Added tokens
    that are text (Gemma's runs of newlines, markup) do not count.
    """
    strings = set(special_roles(tokenizer).values())
    for token in tokenizer.added_tokens_decoder.values():
        if token.special or _RESERVED.fullmatch(token.content):
            strings.add(token.content)
    vocabulary = tokenizer.get_vocab()
    return {token: vocabulary[token] for token in sorted(strings) if token in vocabulary}


def match_control_tokens(
    adapted: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase
) -> dict[str, tuple[int, int, str]]:
    """Control token of ``adapted`` -> (its id, id in ``other``, "role: eos" or "string")."""
    ours, theirs = control_ids(adapted), control_ids(other)
    vocabulary, their_roles = other.get_vocab(), special_roles(other)
    roles_of: dict[str, list[str]] = {}
    for role, token in special_roles(adapted).items():
        roles_of.setdefault(token, []).append(role)
    matches = {}
    for token, index in ours.items():
        for role in roles_of.get(token, []):
            if their_roles.get(role) in vocabulary:
                matches[token] = (index, vocabulary[their_roles[role]], f"role: {role}")
                break
        else:
            if token in theirs:
                matches[token] = (index, theirs[token], "string")
    return matches


def check_tying(*, adapted_tied: bool, giver_tied: bool) -> None:
    """Refuse to put rows of an untied table into a tied one, which has one row for two.

    Raises:
        CompatibilityError: says which option does without.
    """
    if adapted_tied and not giver_tied:
        raise CompatibilityError(
            "special rows of an untied table (input and output differ) do not fit a tied one; use "
            "composition.special_rows=from_adapted"
        )


def with_special_rows(adapted: Table, other: Table) -> Table:
    """``adapted`` with the control tokens' rows (input, output, bias) of ``other``.

    A body that was instructed with its own turn markers expects those very rows; tuning pushes
    them away. Text tokens are untouched. A chat template comes along where ``adapted`` has none
    and knows every control token that the template writes.

    Returns:
        A new table; ``provenance["special_rows"]`` lists each token with both ids and the match,
        and the control tokens for which ``other`` has no counterpart.

    Raises:
        CompatibilityError: where widths differ, or ``other`` is untied and ``adapted`` tied (it
            has one row where two are needed).
    """
    if adapted.hidden_size != other.hidden_size:
        raise CompatibilityError(
            f"special rows of size {other.hidden_size} do not fit a table of {adapted.hidden_size}"
        )
    check_tying(adapted_tied=adapted.tied, giver_tied=other.tied)
    matches = match_control_tokens(adapted.tokenizer, other.tokenizer)
    ours = [index for index, _, _ in matches.values()]
    theirs = [index for _, index, _ in matches.values()]

    def mixed(target: Tensor | None, source: Tensor | None) -> Tensor | None:
        if target is None or source is None:
            return target
        result = target.clone()
        result[ours] = source[theirs].to(dtype=result.dtype, device=result.device)
        return result

    result_input = mixed(adapted.input, other.input)
    assert result_input is not None
    unmatched = sorted(set(control_ids(adapted.tokenizer)) - set(matches))
    report = {
        "tokens": {
            token: {"id": own, "from_id": source, "matched_by": how}
            for token, (own, source, how) in matches.items()
        },
        "unmatched": unmatched,
    }
    return Table(
        _with_chat_template(adapted.tokenizer, other.tokenizer),
        result_input,
        mixed(adapted.output, other.input if other.output is None else other.output),
        mixed(adapted.output_bias, other.output_bias),
        adapted.lineage,
        adapted.provenance | {"special_rows": report},
    )


def _with_chat_template(
    adapted: PreTrainedTokenizerBase, other: PreTrainedTokenizerBase
) -> PreTrainedTokenizerBase:
    template = other.chat_template
    if adapted.chat_template is not None or template is None:
        return adapted
    text = template if isinstance(template, str) else " ".join(template.values())
    vocabulary = adapted.get_vocab()
    if any(token in text and token not in vocabulary for token in control_ids(other)):
        return adapted
    result = copy.deepcopy(adapted)
    result.chat_template = template
    return result
