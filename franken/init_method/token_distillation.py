"""Token distillation (AweDist; arXiv 2505.20133): the map before training.

The paper starts from the subtoken mean; ``start=weighted_pooling`` is its AdaptiVocab variant. The
training is ``franken/training/learners/token_distillation.py``.
"""

from franken.token_map.start import fit_start as fit

__all__ = ["fit"]
