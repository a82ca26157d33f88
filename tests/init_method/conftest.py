"""A source, a target and the resources of vector methods; a module may have its own instead."""

import pytest

from franken.config.base_model import TokenizerKind
from tests.init_method.spaces import resources_of
from tests.init_method.tiny import source_table, target_tokenizer

KIND = TokenizerKind.sentencepiece_bpe


@pytest.fixture(scope="module")
def source():
    return source_table(KIND)


@pytest.fixture(scope="module")
def target():
    return target_tokenizer(KIND)


@pytest.fixture(scope="module")
def resources(source, target):
    return resources_of(source.tokenizer, target)
