"""Losses that teach a model what another one, of any tokenizer, makes of the same text.

A loss is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share, ``common`` pairs the tokens of both models.
"""
