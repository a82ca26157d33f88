"""What ``benchmarks/init.py`` is made of: a synthetic world, and initialisers row by row."""
