"""Chunks of equal bytes under two tokenizers, and what a model makes of them."""
