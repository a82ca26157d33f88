"""The step kinds of a recipe, a file each: fields, references, what enters the key, and the run.

``base`` says what a kind is; ``common`` holds what several share. Reading the kinds is light: a
graph is checked against them before torch is imported.
"""
