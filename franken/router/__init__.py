"""Routers: which SkillPack answers which request.

A router is a file of this package: its options and its code in one class, see
:mod:`franken.declare`. ``base`` has what all share.
"""
