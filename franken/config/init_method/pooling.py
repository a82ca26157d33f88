"""Options of initialisers that weigh subtokens otherwise, or draw by script."""

from franken.config.init_method.base import InitMethodConfig

OPTIONS: dict[str, type[InitMethodConfig]] = {}
