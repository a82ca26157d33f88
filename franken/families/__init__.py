"""Families of models: what their parts are called, and what franken can do with them.

Names are read from the model itself (:mod:`discovery`); what cannot be read is declared, one small
file per family (:mod:`declared`), or registered from outside by an entry point of the group
``franken.families``. ``python -m franken.families [CHECKPOINT]`` prints the capabilities.

Nothing is imported here, so that ``import franken.families`` stays cheap.
"""
