"""Commands of ``python -m franken.vocab``, a file each."""
