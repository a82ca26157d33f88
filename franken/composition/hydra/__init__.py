"""Hydra LLMs: one body, several tables; read in one vocabulary, write in another."""

from franken.composition.hydra.model import HydraModel, View
from franken.composition.hydra.routing import Segment, TableRouter
from franken.composition.hydra.storage import HydraRef, assemble_hydra, load_hydra, open_hydra
from franken.composition.hydra.writing import add_table, link_hydra, save_hydra, write_hydra

__all__ = [
    "HydraModel",
    "HydraRef",
    "Segment",
    "TableRouter",
    "View",
    "add_table",
    "assemble_hydra",
    "link_hydra",
    "load_hydra",
    "open_hydra",
    "save_hydra",
    "write_hydra",
]
