"""The project's errors: each message says what was asked, what was found, and what to do."""


class FrankenError(Exception):
    """Base of every error that franken raises on purpose."""


class ConfigError(FrankenError):
    """A config key, value, option or reference is wrong."""


class DataError(FrankenError):
    """A data file or data set does not have the promised form."""


class ArtifactError(FrankenError):
    """A stored artefact is damaged, missing or of the wrong kind."""


class CompatibilityError(FrankenError):
    """Two parts do not fit: a table on a foreign body, another hidden size, another tokenizer."""
