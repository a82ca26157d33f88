"""Losses on pairs of a preferred and a rejected answer.

A loss is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share, ``common`` makes pairs out of sampled answers.
"""
