"""The Python API. Torch is imported when it is used.

`zeroinit_cli` offers these names; this room is where they live.
"""

from zeroinit_cli.api.commands import generate, probe, verify
from zeroinit_cli.api.modules import build, check, init_, plan, plan_reader, save, values

__all__ = [
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
