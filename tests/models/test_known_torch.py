"""A torch that records forwards otherwise is refused before it gives other plans."""

import platform
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import fx

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models import known_torch, plan_source
from zeroinit_cli.models.known_torch import check_recording
from zeroinit_cli.models.tracer import Tracer
from zeroinit_cli.options import Options
from zeroinit_cli.source import parse_source


@pytest.fixture(autouse=True)
def _unchecked() -> Iterator[None]:
    check_recording.cache_clear()
    yield
    check_recording.cache_clear()


def test_the_torch_of_now_is_known() -> None:
    check_recording()


def no_looking_into(self: Any, *_: Any) -> Any:
    """As torch 2.4 once did: the list of a graph's nodes, backwards, was no iterator."""
    raise TypeError("'_node_list' object is not an iterator")


def every_argument(self: Any, *rest: Any) -> Any:
    return fx.Tracer.create_args_for_root(self, *rest)


def no_sizes(self: Any, obj: Any) -> Any:
    return fx.Tracer.iter(self, obj)


CASES: list[tuple[str, Callable[..., Any], str, str]] = [
    (
        "call_module",
        no_looking_into,
        "placeholder x",
        "TypeError: '_node_list' object is not an iterator",
    ),
    ("create_args_for_root", every_argument, "call_method dim(x)", "placeholder mask(None)"),
    (
        "iter",
        no_sizes,
        "placeholder x",
        "TraceError: Proxy object cannot be iterated. This can be attempted when the Proxy is used"
        " in a loop or as a *args or **kwargs function argument. See the torch.fx docs on "
        "pytorch.org for a more detailed explanation of what types of control flow can be traced, "
        "and check out the Proxy docstring for help troubleshooting Proxy iteration errors",
    ),
]


@pytest.mark.parametrize(("hook", "instead", "expected", "found"), CASES)
def test_one_that_works_otherwise_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    hook: str,
    instead: Callable[..., Any],
    expected: str,
    found: str,
) -> None:
    monkeypatch.setattr(Tracer, hook, instead)
    with pytest.raises(PlanError) as caught:
        plan_source(parse_source("resnet18"), Options())
    assert str(caught.value) == (
        "error: torch.fx records a forward in other steps than the rules were made for in torch "
        f"{torch.__version__} under Python {platform.python_version()}\n"
        f"  expected: {expected}\n"
        f"  found: {found}\n"
        "\n"
        "hint: install versions that zeroinit was tested with; its README names them"
    )


def test_steps_that_are_left_out_or_added_are_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = known_torch._STEPS
    for other in (steps[:-1], (*steps, "output")):
        monkeypatch.setattr(known_torch, "_STEPS", other)
        check_recording.cache_clear()
        with pytest.raises(PlanError):
            check_recording()
