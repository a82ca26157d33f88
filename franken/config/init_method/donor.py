"""Options of initialisers that read the table of a target-language model."""

from franken.config.init_method.base import InitMethodConfig

OPTIONS: dict[str, type[InitMethodConfig]] = {}
