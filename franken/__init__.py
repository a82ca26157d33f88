"""franken: cross-lingual vocabulary and embedding surgery on language models.

The functions below work on objects of transformers, without configs, recipes or a store; each is
imported when it is first used, so that ``import franken`` costs nothing (PEP 562).
"""

import logging
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

# peft imports bitsandbytes where it is installed, which says each time what GPUs would not need
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

if TYPE_CHECKING:
    from franken.library.checkpoints import CheckpointTransfer, transfer_checkpoint
    from franken.library.evaluation import Scores, evaluate
    from franken.library.hydra import hydra
    from franken.library.options import options
    from franken.library.packing import mounted, pack
    from franken.library.swapping import swap
    from franken.library.transfer import Transfer, transfer
    from franken.library.transplants import Grid, transplant
    from franken.library.vocabulary import build_vocab

_HOMES = {
    "transfer": "transfer",
    "Transfer": "transfer",
    "transfer_checkpoint": "checkpoints",
    "CheckpointTransfer": "checkpoints",
    "build_vocab": "vocabulary",
    "swap": "swapping",
    "pack": "packing",
    "mounted": "packing",
    "hydra": "hydra",
    "transplant": "transplants",
    "Grid": "transplants",
    "evaluate": "evaluation",
    "Scores": "evaluation",
    "options": "options",
}
"""Public name -> module of ``franken.library``."""

__all__ = [
    "CheckpointTransfer",
    "Grid",
    "Scores",
    "Transfer",
    "__version__",
    "build_vocab",
    "evaluate",
    "hydra",
    "mounted",
    "options",
    "pack",
    "swap",
    "transfer",
    "transfer_checkpoint",
    "transplant",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = getattr(import_module(f"franken.library.{_HOMES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
