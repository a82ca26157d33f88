"""Loggers: where the curves of a run go, beside its own files.

A logger is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share.
"""
