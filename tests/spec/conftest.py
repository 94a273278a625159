"""The command, in an empty folder."""

from tests.cli.conftest import zeroinit as zeroinit
