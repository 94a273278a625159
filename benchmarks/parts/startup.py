"""Start-up: commands beside the imports that they cannot do without."""

import sys
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import run
from benchmarks.samples import Part, Row, Series, as_ratio, as_seconds, new_file, ratio, value

_ROUNDS = 11
_IMPORT_TYPER = "import typer"
# Where torchvision's operators do not load (a CPU torch beside a wheel built for CUDA), a plain
# `import torch, torchvision` dies; this imports both there, too, and nothing else of weight.
_IMPORT_TORCHVISION = (
    "from zeroinit_cli.nets.torchvision import import_torchvision; import_torchvision()"
)

ROWS = (
    Row(
        label="command / imports",
        figure=ratio(value("command_seconds"), value("imports_seconds")),
        form=as_ratio,
    ),
    Row(label="command, s", figure=value("command_seconds"), form=as_seconds),
    Row(label="imports alone, s", figure=value("imports_seconds"), form=as_seconds),
)


def measure(full: bool, say: Callable[[str], None]) -> Part:
    """Command, imports, command, imports..."""
    zeroinit = str(Path(sys.executable).with_name("zeroinit"))
    with new_file() as path:
        generate = ["generate", "resnet18", "-o", str(path), "--no-lock", "--quiet"]
        cases = (
            ("--version", ["--version"], _IMPORT_TYPER, _ROUNDS, "typer"),
            ("--help", ["--help"], _IMPORT_TYPER, _ROUNDS, "typer"),
            ("generate resnet18", generate, _IMPORT_TORCHVISION, 7, "torch, torchvision"),
        )
        series = []
        for name, arguments, imports, rounds, packages in cases:
            say(f"start-up: {name}")
            samples = []
            for index in range(rounds + 1):
                path.unlink(missing_ok=True)
                command = run([zeroinit, *arguments]).seconds
                alone = run([sys.executable, "-c", imports]).seconds
                if index:  # the first warms up
                    samples.append({"command_seconds": command, "imports_seconds": alone})
            series.append(Series(name=f"{name} / import {packages}", samples=tuple(samples)))
    return Part(key="startup", title="Start-up", rows=ROWS, series=tuple(series))
