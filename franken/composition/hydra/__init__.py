"""Hydra LLMs: one body, several tables; read in one vocabulary, write in another."""

from franken.composition.hydra.decoding import decode
from franken.composition.hydra.decoding_step import Decoding, Strategy, WholeModel, Written
from franken.composition.hydra.model import HydraModel, View
from franken.composition.hydra.routing import Segment, TableRouter
from franken.composition.hydra.storage import HydraRef, assemble_hydra, load_hydra, open_hydra
from franken.composition.hydra.writing import add_table, link_hydra, save_hydra, write_hydra

__all__ = [
    "Decoding",
    "HydraModel",
    "HydraRef",
    "Segment",
    "Strategy",
    "TableRouter",
    "View",
    "WholeModel",
    "Written",
    "add_table",
    "assemble_hydra",
    "decode",
    "link_hydra",
    "load_hydra",
    "open_hydra",
    "save_hydra",
    "write_hydra",
]
