"""Engines of transplants: one file per way of computing the runs (``inference.engine``).

All give the same tokens. Other packages join by the entry point ``franken.transplant_engine``.
"""
