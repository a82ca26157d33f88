"""SkillPacks: the difference of two models, compressed, applied, removed, added up and routed."""

from franken.parts.mount import Mounts
from franken.parts.skillpack import SkillPack
from franken.skillpack.extract import pack_difference

__all__ = ["Mounts", "SkillPack", "pack_difference"]
