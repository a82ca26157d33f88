"""One small grammar per language; see ``franken.data.microworld.grammar.Grammar``."""
