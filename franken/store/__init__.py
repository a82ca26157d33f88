"""Content-addressed artefacts: every step's result under the hash of what it was made from.

Torch-free and Hydra-free, so that a run in which everything is cached costs next to nothing.
"""

from franken.store.artifact import Artifact
from franken.store.key import StepKey
from franken.store.store import Store

__all__ = ["Artifact", "StepKey", "Store"]
