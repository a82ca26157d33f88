"""Options of initialisers that compare static vectors of words or pieces."""

from franken.config.init_method.base import InitMethodConfig

OPTIONS: dict[str, type[InitMethodConfig]] = {}
