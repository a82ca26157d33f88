"""Where the configs are: ``conf/`` of a checkout, or ``franken/conf`` of an installed wheel."""

from pathlib import Path


def config_dir() -> Path:
    """The directory with ``config.yaml`` and the groups."""
    package = Path(__file__).resolve().parent.parent
    installed = package / "conf"
    return installed if installed.is_dir() else package.parent / "conf"
