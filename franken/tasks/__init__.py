"""Kinds of evaluation task, a file each.

A kind is a class that says which data it reads and scores a model on them, see
:mod:`franken.declare`. ``base`` has what all share; :mod:`franken.eval_suite` runs them.
"""
