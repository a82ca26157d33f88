"""Options of initialisers that train the rows after a first map."""

from franken.config.init_method.base import InitMethodConfig

OPTIONS: dict[str, type[InitMethodConfig]] = {}
