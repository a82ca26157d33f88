"""Typed schemas of all config groups: plain dataclasses, no torch, units in the field comments.

Every class may define ``faults()``; ``checks.collect_faults`` gathers them over a whole config.
"""
