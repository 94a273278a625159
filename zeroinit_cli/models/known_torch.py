"""Refuse a torch or Python under which a forward is recorded otherwise than the rules expect.

What is a residual add, a branch or a table is read from what torch.fx records, with hooks that are
fx's own affair; and what cannot be recorded is passed over with a warning, as any forward may fail.
Under an fx that works otherwise every model would so get another plan. One small forward that needs
each hook is therefore recorded first, and must give these steps.
"""

import functools
import platform
from itertools import zip_longest
from typing import Any

import torch
from torch import nn

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.tracer import Tracer

_STEPS = (
    "placeholder x",
    "call_method dim(x)",  # a check that can only raise, answered
    "call_function ne(dim, 2)",
    "call_function getattr(x, shape)",  # of a shape that is unpacked
    "call_function getitem(getattr_1, 0)",
    "call_function arange(getitem)",  # a tensor made of a size
    "call_module layer(x)",
    "call_function add(x, layer)",
    "get_attr table",  # a buffer by its name
    "call_function setitem(add, 0, table)",
    "call_module opaque(add)",  # what fails is one step, and what it recorded is taken back
    "output output((opaque, arange))",
)


class _Opaque(nn.Module):
    """A forward that only a run can decide."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if (x * 2).sum() > 0:
            return x
        return x.flip(0)


class _Small(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 2, device="meta")
        self.opaque = _Opaque()
        self.register_buffer("table", torch.empty(2, device="meta"))

    def forward(self, x: torch.Tensor, mask: Any = None) -> tuple[torch.Tensor, torch.Tensor]:
        if x.dim() != 2:
            raise ValueError(x)
        size, *_ = x.shape
        positions = torch.arange(size)
        if mask is not None:
            x = x * mask
        y = x + self.layer(x)
        y[0] = self.table
        return self.opaque(y), positions


@functools.cache
def check_recording() -> None:
    """Record the small forward, once in a process.

    Raises:
        PlanError: it fails, or gives other steps.
    """
    try:
        found = _recorded(_Small())
    except Exception as error:  # noqa: BLE001 - whatever an unknown torch raises in its own parts
        found = (f"{type(error).__name__}: {error}",)
    pairs = zip_longest(_STEPS, found, fillvalue="nothing more")
    for expected, step in pairs:
        if expected != step:
            raise PlanError(
                "torch.fx records a forward in other steps than the rules were made for",
                where=f"torch {torch.__version__} under Python {platform.python_version()}",
                expected=expected,
                found=step,
                hint="install versions that zeroinit was tested with; its README names them",
            )


def _recorded(module: nn.Module) -> tuple[str, ...]:
    tracer = Tracer(
        lambda each: isinstance(each, nn.Linear),
        lambda each: isinstance(each, nn.Linear),
        defaults=True,
        buffers=True,
    )
    steps = []
    for node in tracer.trace(module).nodes:
        name = getattr(node.target, "__name__", node.target)
        arguments = f"({', '.join(map(str, node.args))})" if node.args else ""
        steps.append(f"{node.op} {name}{arguments}")
    return tuple(steps)
