"""The real command: in this process where it is enough, as a child where it is not."""

import io
import json
import os
import pty
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from zeroinit_cli.__main__ import run

MODEL = "shufflenet_v2_x0_5"  # 5 MB
SIZE = 5_530_712

NET = """\
zeroinit: 1
input: [3, 8, 8]
layers:
  - Conv2d: {out_channels: 8, kernel_size: 3}
  - BatchNorm2d
  - ReLU
  - Flatten
  - Linear: 40
  - ReLU
  - Linear: 10
"""
NAME = "init.safetensors"


@dataclass(frozen=True)
class Result:
    """What a command printed and returned."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Command:
    """Runs `zeroinit` in this process."""

    def __init__(self, capture: pytest.CaptureFixture[str], patch: pytest.MonkeyPatch):
        self._capture, self._patch = capture, patch

    def __call__(self, *arguments: str | Path) -> Result:
        self._patch.setattr(sys, "argv", ["zeroinit", *map(str, arguments)])
        self._capture.readouterr()
        code = run()
        captured = self._capture.readouterr()
        return Result(code, captured.out, captured.err)


def here(*arguments: str | Path, cwd: Path | None = None) -> Result:
    """Runs `zeroinit` in this process, for a test that needs what it leaves behind.

    A process of its own would spend seconds on importing torch.
    """
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["zeroinit", *map(str, arguments)])
        patch.setattr(sys, "stdout", streams[0])
        patch.setattr(sys, "stderr", streams[1])
        if cwd is not None:
            patch.chdir(cwd)
        code = run()
    out, err = (stream.buffer.getvalue().decode() for stream in streams)
    return Result(code, out, err)


def child(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs `zeroinit` as a process of its own."""
    environment = {**os.environ, **options.pop("env", {})}
    return subprocess.run(
        [sys.executable, "-m", "zeroinit_cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        **options,
    )


def in_terminal(
    *arguments: str | Path, cwd: Path, env: dict[str, str] | None = None
) -> tuple[int, str]:
    """Runs `zeroinit` in a terminal: its exit code, and all that it prints there."""
    main, side = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "zeroinit_cli", *map(str, arguments)],
        stdout=side,
        stderr=side,
        cwd=cwd,
        env={**os.environ, "TERM": "xterm", **(env or {})},
    )
    os.close(side)
    parts = []
    try:
        while part := os.read(main, 65536):
            parts.append(part)
    except OSError:  # the other side has gone
        pass
    os.close(main)
    return process.wait(), b"".join(parts).decode()
