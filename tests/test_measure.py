import time

import numpy as np
import pytest

from franken.measure import measured


def test_time_and_memory_of_a_block():
    with measured() as cost:
        block = np.ones(8_000_000)  # 64 MB
        time.sleep(0.05)
        del block
    assert cost.seconds >= 0.05
    if cost.peak_bytes is None:
        pytest.skip("this system does not report peak memory")
    assert 55e6 < cost.peak_bytes < 120e6
    with measured() as small:
        pass
    assert small.peak_bytes is not None
    assert small.peak_bytes < 20e6, "the peak of the first block is forgotten"
