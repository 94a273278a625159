"""The command's fixtures."""

from tests.cli.conftest import zeroinit

__all__ = ["zeroinit"]
