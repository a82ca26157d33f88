"""The fixtures of initialisers serve their mathematics too."""

from tests.init_method.conftest import *  # noqa: F403
