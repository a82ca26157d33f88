from collections.abc import Iterator

import pytest
import torch
from transformers.utils import logging as transformers_logging


@pytest.fixture(autouse=True, scope="session")
def _quiet_and_narrow() -> Iterator[None]:
    transformers_logging.disable_progress_bar()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
    transformers_logging.enable_progress_bar()
