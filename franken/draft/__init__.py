"""Draft models for speculative decoding: a small donor that writes a large target's vocabulary."""
