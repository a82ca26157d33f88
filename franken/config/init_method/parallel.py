"""Options of initialisers that read word alignments of parallel text."""

from franken.config.init_method.base import InitMethodConfig

OPTIONS: dict[str, type[InitMethodConfig]] = {}
