"""Trans-Tokenization as released: the same fit with other defaults, see its options."""

from franken.init_method.trans_tokenization import fit

__all__ = ["fit"]
