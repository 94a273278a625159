"""The command, as the tests of the command line have it."""

from tests.cli.conftest import generated, made, zeroinit  # noqa: F401
