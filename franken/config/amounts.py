"""Amounts of text as users write them."""

import re

_UNITS = {
    "b": 1, "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30,
}  # fmt: skip


def bytes_of(amount: str | int) -> int:
    """``50MB`` -> 50000000; a plain number counts bytes.

    Raises:
        ValueError: for anything else, or less than one byte.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)\s*", str(amount))
    unit = match.group(2).lower() or "b" if match else ""
    if match is None or unit not in _UNITS:
        raise ValueError(f"must be a number of bytes such as 50MB or 1.5GiB, got {amount!r}")
    number = round(float(match.group(1)) * _UNITS[unit])
    if number < 1:
        raise ValueError(f"must be at least one byte, got {amount!r}")
    return number
