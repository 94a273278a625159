"""Deterministic ZerO initialization: one architecture in, one reproducible checkpoint out."""

from zeroinit_cli.api import build, init_, plan, save
from zeroinit_cli.errors import ZeroinitError

__all__ = ["ZeroinitError", "__version__", "build", "init_", "plan", "save"]

__version__ = "0.1.0"
