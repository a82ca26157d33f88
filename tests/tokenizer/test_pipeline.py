"""Pipelines put together: what it costs, and that nothing is shared."""

import copy
import time

from franken.config.base_model import TokenizerKind
from franken.tokenizer.assembly import build, spec_of
from franken.tokenizer.pipeline import Pipeline, byte_to_char
from tests.vocab.toys import added


def byte_level(count: int) -> Pipeline:
    """As many pieces as Llama 3 or Qwen 3 has, with special tokens at the end."""
    names = [*byte_to_char().values(), *(f"Ġ{number}" for number in range(count))]
    names += [f"<|{number}|>" for number in range(256)]
    letters = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    spec = {"model": {"type": "BPE", "vocab": {}, "merges": []}, "decoder": letters}
    pieces = {name: index for index, name in enumerate(names)}
    specials = [added(name, pieces[name], special=True) for name in names[-256:]]
    return Pipeline(TokenizerKind.byte_level_bpe, spec, pieces, added=specials)


def test_the_cost_of_a_build_is_linear_in_the_pieces():
    """Quadratic, it takes minutes at this size (a second here is many times what is needed)."""
    pipeline = byte_level(100_000)
    start = time.process_time()
    spec = spec_of(pipeline)
    assert time.process_time() - start < 1.0
    assert len(spec["model"]["vocab"]) == 100_256
    assert len(spec["added_tokens"]) == 256


def test_a_built_tokenizer_can_be_copied_and_the_copy_is_another():
    pipeline = byte_level(10)
    tokenizer = build(pipeline)
    twin = copy.deepcopy(tokenizer)
    twin.add_tokens(["newcomer"])
    assert "newcomer" not in tokenizer.get_vocab()
