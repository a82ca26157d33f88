"""Tokenizers taken apart and put together: pieces as bytes, training, reachability, reports."""
