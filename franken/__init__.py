"""franken: cross-lingual vocabulary and embedding surgery on language models, driven by configs."""

__version__ = "0.1.0"
