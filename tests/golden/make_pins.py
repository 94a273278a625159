"""Pins of every torchvision model, of every spec in `model_specs/` and of the nets of tests.

Run by hand, when a scheme is born or a test has a new net; no test run calls it. To another file
first, for the nets are recorded from their own tests:
    python -m tests.golden.make_pins > pins.json && mv pins.json tests/golden/
With `--nets` the nets of tests alone are made anew, and the rest is as it was.
"""

import sys
from contextlib import redirect_stdout
from typing import Any

import pytest

from tests.golden.pins import NETS, RECORDED, SPECS, WORDS, Pin, pin_of_source, recorded, to_text
from zeroinit_cli.sources.torchvision import model_names

_NETS_OF = "tests/models"
_WITHOUT_NETS = "*/test_all_models.py"
_FEW = ("convnext_tiny", "vit_b_16")
"""Models under a type alone: one keeps floats as constructed, one holds fused tensors."""


def names(title: str) -> list[str]:
    """The models and specs that are pinned under an option set."""
    if title in ("bfloat16", "float16", "float64"):
        return list(_FEW)
    return model_names() + sorted(path.name for path in SPECS.glob("*.yaml"))


def pins_of_sources(title: str) -> dict[str, Pin]:
    print(title, file=sys.stderr)
    return {name: pin_of_source(name, title) for name in names(title)}


class _Recording:
    """Tells pytest to record the nets of tests."""

    def __init__(self) -> None:
        self.nets: dict[str, list[Pin]] = {}

    def pytest_configure(self, config: pytest.Config) -> None:
        config.stash[RECORDED] = self.nets


def pins_of_nets() -> dict[str, list[Pin]]:
    """From their tests, in one process."""
    recording = _Recording()
    arguments = [_NETS_OF, f"--ignore-glob={_WITHOUT_NETS}", "-q", "-n", "0", "-m", ""]
    with redirect_stdout(sys.stderr):
        status = pytest.main(arguments, plugins=[recording])
    if status:
        sys.exit("a test failed: nothing is pinned")
    return recording.nets


def main() -> None:
    made = recorded() if "--nets" in sys.argv else {}
    table: dict[str, dict[str, Any]] = {
        title: made.get(title) or pins_of_sources(title) for title in WORDS
    }
    print(to_text({**table, NETS: pins_of_nets()}))


if __name__ == "__main__":
    main()
