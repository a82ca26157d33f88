"""The ceiling for aligners: Trans-Tokenization with gold links, where the data has them."""

from franken.init_method.trans_tokenization import fit

__all__ = ["fit"]
