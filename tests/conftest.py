"""The order in which several processes take files."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: the short ones then fill up every process to the end.

    ``pytest -n`` takes them in this order where ``--no-loadscope-reorder`` tells it to.
    """
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
