"""One module per step kind: ``franken/steps/<kind>.py`` holds ``run(step, context)``."""
