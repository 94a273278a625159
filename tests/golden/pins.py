"""What decides bytes, in short: plans by their digest, and the maps that close branches.

A pin of a model or spec holds of each map how many names it has and the start of its SHA-256, over
canonical JSON; a pin of a test's own net holds the maps themselves. `pins.json` holds them all.
"""

import hashlib
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from zeroinit_cli.models import planning, structure
from zeroinit_cli.models.building import Factory
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import requested_options
from zeroinit_cli.sources import parse_source

Pin = dict[str, Any]
"""`plan`, where one was made; each map that is not empty, by its name; `adds` by their class."""

MAPS = ("end_scales", "zero_weights", "damped_weights", "closed_attention", "tables", "chains")

WORDS: dict[str, Mapping[str, str]] = {
    "default": {},
    "paper": {"policy": "paper"},
    "bfloat16": {"dtype": "bfloat16"},
    "float16": {"dtype": "float16"},
    "float64": {"dtype": "float64"},
}
"""Option sets that between them meet every choice of every option."""

NETS = "nets"
"""Title of the pins of the nets that tests make, by the name of the test."""

RECORDED = pytest.StashKey[dict[str, list[Pin]]]()
"""Where pytest is told to record nets, not to compare them."""

FILE = Path(__file__).with_name("pins.json")
SPECS = Path(__file__).parents[2] / "model_specs"

_HEX_DIGITS = 16
_PACKAGES = ("zeroinit_cli", "tests")


@contextmanager
def pins_made(of: Callable[[nn.Module], bool] = lambda module: True) -> Iterator[list[Pin]]:
    """A list that gets a pin of each structure found meanwhile, and of the plan made from it.

    Args:
        of: whether a module is one to pin.
    """
    pins: list[Pin] = []
    find_structure, plan_factory = structure.find_structure, planning.plan_factory

    def finding(module: nn.Module, *rest: Any) -> Structure:
        found = find_structure(module, *rest)
        if of(module):
            pins.append(pin_of(found))
        return found

    def making(factory: Factory, *args: Any, **kwargs: Any) -> tuple[nn.Module, Plan]:
        module, plan = plan_factory(factory, *args, **kwargs)
        if of(module):
            pins[-1]["plan"] = plan.digest().removeprefix("sha256:")[:_HEX_DIGITS]
        return module, plan

    with pytest.MonkeyPatch.context() as patch:
        for each in _our_modules():
            for name, value in list(vars(each).items()):
                if value is find_structure:
                    patch.setattr(each, name, finding)
                elif value is plan_factory:
                    patch.setattr(each, name, making)
        yield pins


def _our_modules() -> list[Any]:
    """Every module that may have imported a function by its name."""
    return [each for name, each in sys.modules.items() if name.split(".")[0] in _PACKAGES]


def is_net(module: nn.Module) -> bool:
    """Whether a test made it; torchvision's models have pins of their own, and are planned once."""
    return not type(module).__module__.startswith("torchvision.")


def pin_of(found: Structure) -> Pin:
    """The maps of a structure that are not empty, and its adds."""
    maps = {name: dict(getattr(found, name)) for name in MAPS}
    adds = Counter(add.kind.name for add in found.adds)
    return {name: each for name, each in {**maps, "adds": dict(adds)}.items() if each}


def shortened(pin: Pin) -> Pin:
    """A pin with its maps as a number of names and a digest."""
    return {part: _short(value) if part in MAPS else value for part, value in pin.items()}


def _short(names: Mapping[str, Any]) -> str:
    canonical = json.dumps(names, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return f"{len(names)} {hashlib.sha256(canonical.encode()).hexdigest()[:_HEX_DIGITS]}"


def pin_of_source(name: str, title: str) -> Pin:
    """The pin of a model or of a spec in `model_specs/`, under an option set."""
    source = parse_source(name, folder=SPECS)
    with pins_made() as pins:
        planning.plan_source(source, requested_options(source, WORDS[title]))
    [pin] = pins
    return shortened(pin)


def differences(what: str, pinned: Pin, found: Pin) -> list[str]:
    """What of a pin has changed, a line for each part."""
    return [
        f"{what}: {part} is not as pinned: {found.get(part)}, was {pinned.get(part)}"
        for part in ("plan", *MAPS, "adds")
        if pinned.get(part) != found.get(part)
    ]


def differences_of_nets(test: str, pinned: Iterable[Pin], found: Iterable[Pin]) -> list[str]:
    """What of the pins of a test's nets has changed, in the order in which they were found."""
    pinned, found = list(pinned), list(found)
    lines = [
        line
        for number, (before, now) in enumerate(zip(pinned, found, strict=False), 1)
        for line in differences(f"{test}, structure {number}", before, now)
    ]
    if len(pinned) != len(found):
        lines.append(f"{test}: {len(found)} structures found, {len(pinned)} pinned")
    return lines


@cache
def recorded() -> dict[str, dict[str, Any]]:
    """The pins in the file: title, name, pin; under `NETS`, test, pins."""
    table: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))
    return table


def to_text(table: Mapping[str, Mapping[str, Any]]) -> str:
    """The file's text: a line for each name, sorted."""
    sections = [
        f"{json.dumps(title)}: {{\n"
        + ",\n".join(
            f" {json.dumps(name)}: {json.dumps(pin, sort_keys=True)}"
            for name, pin in sorted(pins.items())
        )
        + "\n}"
        for title, pins in table.items()
    ]
    return "{\n" + ",\n".join(sections) + "\n}"
