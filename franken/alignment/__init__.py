"""Word alignment: how often words of two languages translate each other.

An aligner is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share, ``common`` what several do.
"""

from franken.lazy import later

with later(public=True):
    from franken.alignment.common.table import WordTable, load_tables, save_tables

__all__ = ["WordTable", "load_tables", "save_tables"]
