"""``python -m franken.inspect DIR``: rows of a table that are broken, or that take over."""
