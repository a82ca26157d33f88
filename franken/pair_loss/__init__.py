"""Losses on the hidden states of sentence pairs, beside the loss of a training phase.

A loss is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share; ``training/pair_training.py`` feeds them.
"""
