"""franken as a library: plain functions on objects of transformers, one module per verb.

They are importable from ``franken`` itself. The steps of recipes do the same work with the same
parts below; nothing here knows of Hydra's jobs, the store or a recipe.
"""
