"""Families of initialisers: what those over a helper, or over static vectors, have in common."""
