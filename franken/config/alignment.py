"""Options of the group ``alignment``: word-pair counts from parallel text."""

from dataclasses import dataclass


@dataclass
class AlignmentConfig:
    """What every aligner has."""

    name: str = "ibm1"


@dataclass
class Ibm1Alignment(AlignmentConfig):
    """IBM Model 1, in the tree."""


OPTIONS: dict[str, type[AlignmentConfig]] = {"ibm1": Ibm1Alignment}
