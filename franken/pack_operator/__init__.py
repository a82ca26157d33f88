"""Operators of SkillPacks: one file per way of storing a change (``pack.classes.*.op``).

Other packages join by the entry point ``franken.pack_operator``.
"""
