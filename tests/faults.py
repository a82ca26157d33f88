"""Faults of options that refuse to be made."""

from typing import Any

from franken.config.checks import collect_faults, faults_later


def faults_of(cls: Any, **values: Any) -> dict[str, str]:
    """Key -> message of everything wrong with these values."""
    with faults_later():
        return {fault.key: fault.message for fault in collect_faults(cls(**values))}
