"""Deterministic ZerO initialization: one architecture in, one reproducible checkpoint out."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zeroinit_cli.api import (
        build,
        check,
        generate,
        init_,
        plan,
        plan_reader,
        probe,
        save,
        values,
        verify,
    )
    from zeroinit_cli.errors import ZeroinitError
    from zeroinit_cli.plans.checked import Checked
    from zeroinit_cli.policies import Policy

__all__ = [
    "Checked",
    "Policy",
    "ZeroinitError",
    "__version__",
    "build",
    "check",
    "generate",
    "init_",
    "plan",
    "plan_reader",
    "probe",
    "save",
    "values",
    "verify",
]

__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a name of the Python API when it is wanted: the command wants none."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from zeroinit_cli import api, errors, policies
    from zeroinit_cli.plans import checked

    home = {"Checked": checked, "Policy": policies, "ZeroinitError": errors}.get(name, api)
    return getattr(home, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
