"""The plans of all models under the versions at hand, in a line: python -m tests.golden.plans

Two versions of torch, torchvision, numpy or Python that print the same SHA-256 plan every model
alike, and so give the same checkpoints; docs/reliability.md says what each gave.
"""

import hashlib
import platform

import numpy

from zeroinit_cli.models import plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.source import installed
from zeroinit_cli.sources import parse_source
from zeroinit_cli.sources.torchvision import model_names


def main() -> None:
    """Plan every model with the default options, and print one digest of all."""
    names = model_names()
    lines = [f"{name} {plan_source(parse_source(name), Options()).digest()}\n" for name in names]
    sha256 = hashlib.sha256("".join(lines).encode()).hexdigest()
    here = {
        "Python": platform.python_version(),
        "numpy": numpy.__version__,
        **installed("torch", "torchvision"),
    }
    words = ", ".join(f"{name} {version}" for name, version in here.items())
    print(f"{len(names)} models, plans {sha256[:16]}: {words}")


if __name__ == "__main__":
    main()
