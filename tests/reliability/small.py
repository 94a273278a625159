"""A small checkpoint with every kind of layer that matters, and the commands that judge it."""

import contextlib
import importlib.util
import io
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import typer.main

from zeroinit_cli import models
from zeroinit_cli.__main__ import run
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source

SPEC = """\
zeroinit: 1
input: [1, 4, 4]
layers:
  - Conv2d: {out_channels: 4, kernel_size: 3, padding: 1}
  - BatchNorm2d
  - ReLU
  - residual: [Conv2d: {out_channels: 4, kernel_size: 1}, BatchNorm2d]
  - Flatten
  - Linear: 5
"""
NAME, LOCK, SIDECAR = "a.safetensors", "zeroinit.lock", "a.safetensors.sha256"
SUMS = "model.safetensors.sha256"
FOLDER, SHARD_SIZE = "net", "300"
"""Where its tensors lie in three shards, and the bytes of tensors that each of them may hold."""
PLAN = "plan.json"
OPTIONS = (
    ("--dtype", "float16"),
    ("--dtype", "float64"),
    ("--policy", "paper"),
    ("--override", "5.weight=zeros"),
)
"""Options that give another checkpoint, if they say anything of this net."""
SIZES = ("1", "16", "64", "100", "150", "200", "400", "600")
"""Sizes of shards that cut it otherwise."""
Judge = Callable[[], int]
_CHECK = Path(__file__).parents[2] / "docs" / "check.py"


def command(*arguments: str) -> int:
    """The exit code of a command, through the entry point that every command has."""
    return answered(*arguments)[0]


def answered(*arguments: str) -> tuple[int, str]:
    """The exit code, and what was printed."""
    before, out = sys.argv, io.StringIO()
    sys.argv = ["zeroinit", *arguments]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            return run(), out.getvalue()
    finally:
        sys.argv = before


@contextmanager
def small_checkpoint(folder: Path) -> Iterator[bytes]:
    """Generate it in a folder, which is the current one meanwhile; its bytes."""
    with _generated(folder, NAME):
        yield Path(NAME).read_bytes()


@contextmanager
def small_shards(folder: Path) -> Iterator[dict[str, bytes]]:
    """Likewise in a folder with shards: the bytes of each, and of the index, which is the last."""
    with _generated(folder, f"{FOLDER}/", "--max-shard-size", SHARD_SIZE) as printed:
        names = [line.partition("  ")[2] for line in printed.splitlines()]
        yield {Path(name).name: Path(name).read_bytes() for name in names}


@contextmanager
def _generated(folder: Path, output: str, *options: str) -> Iterator[str]:
    with contextlib.chdir(folder):
        Path("net.yaml").write_text(SPEC)
        code, printed = answered("generate", "net.yaml", "-o", output, *options)
        if code:
            raise RuntimeError(f"generate ended with {code}")
        Path(PLAN).write_text(answered("plan", "net.yaml", "--json", *options)[1])
        yield printed


@contextmanager
def planned_once() -> Iterator[None]:
    """Plan each source once, so that thousands of files can be verified while none changes.

    For the same reason the commands are put together from their options once.
    """
    plain, typer_command = models.plan_source, typer.main.get_command

    @lru_cache
    def planned(name: str, spec: str | None, options: Options) -> Plan:
        return plain(sources[name, spec], options)

    sources: dict[tuple[str, str | None], Source] = {}

    def plan_source(source: Source, options: Options) -> Plan:
        key = source.name, source.digests().get("spec-sha256")
        sources[key] = source
        return planned(*key, options)

    models.plan_source = plan_source
    typer.main.get_command = lru_cache(typer_command)
    try:
        yield
    finally:
        models.plan_source = plain
        typer.main.get_command = typer_command


def judges(*, folder: str | None = None) -> dict[str, Judge]:
    """What can accept a checkpoint: name -> gives an exit code.

    Args:
        folder: where its shards and their lock lie; else it is the file of the current folder.
    """
    module = importlib.util.spec_from_file_location("check", _CHECK)
    assert module is not None
    assert module.loader is not None
    check = importlib.util.module_from_spec(module)
    module.loader.exec_module(check)

    def by_check() -> int:
        with (
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            return int(check.main(PLAN, folder or NAME))

    where = () if folder is None else (folder,)
    return {
        "`verify`": lambda: command("verify", *where),
        "`verify --hash-only`": lambda: command("verify", "--hash-only", *where),
        "check.py": by_check,
    }


def stored_order(data: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a checkpoint as JSON, in its order, and its data."""
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]
