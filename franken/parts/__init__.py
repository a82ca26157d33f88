"""Body, Table, Delta, Model: the parts that every system of the field is assembled from.

Nothing is imported here, so that ``import franken.parts`` stays cheap; take names from the modules.
"""
