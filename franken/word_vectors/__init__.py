"""Static vectors of words and pieces: trained with fastText, or read from its files.

An option is a file of this package, see :mod:`franken.declare`. A folder of spaces has one
sub-folder per key: language codes for words; ``target`` and ``source`` for pieces.
"""

from franken.lazy import later

with later(public=True):
    from franken.word_vectors.common.space import VectorSpace, load_spaces, save_spaces

__all__ = ["VectorSpace", "load_spaces", "save_spaces"]
