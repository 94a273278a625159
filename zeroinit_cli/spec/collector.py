"""The mistakes and counts that a check of shapes collects; counts have limits.

A check goes on after a mistake, so that all of them are reported at once. A count beyond a limit is
a mistake too, reported once, where the sum passes the limit.
"""

import math
from collections.abc import Sequence

from zeroinit_cli.errors import MistakeError
from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.error_locations import KeyPath, Locator
from zeroinit_cli.spec.items import RESERVED, Item
from zeroinit_cli.spec.layers.base import ORIGIN, MismatchError, count

MOST_PARAMETERS = 10**13
MOST_VECTORS = 5 * 10**7
"""Numbers in biases, norms and buffers, which are built real even where weights are not."""
MOST_LAYERS = 20_000
MOST_VALUE = 10**12
"""Entries of a value between layers, for one sample."""


class Collector:
    """The mistakes and the counts of one document.

    Args:
        locator: knows the places in the file.

    Attributes:
        faults: the mistakes.
        counts: the sum so far.
        beyond_measure: a limit has been passed.
    """

    def __init__(self, locator: Locator):
        self.faults: list[MistakeError] = []
        self.counts = Counts(layers=0)
        self.beyond_measure = False
        self._locator = locator

    def path_text(self, path: KeyPath) -> str:
        """Write a key path as text."""
        return self._locator.path_text(path)

    def report(self, mismatch: MismatchError, path: KeyPath, origin: str = "") -> None:
        """Record a mistake with its place; `origin` says where the input comes from."""
        where = (*path, mismatch.key) if mismatch.key is not None else path
        fault = self._locator.fault(
            mismatch.problem.replace(ORIGIN, origin),
            where,
            expected=mismatch.expected and mismatch.expected.replace(ORIGIN, origin),
            found=mismatch.found and mismatch.found.replace(ORIGIN, origin),
            hint=mismatch.hint,
        )
        self.faults.append(fault)

    def add(self, part: Counts, path: KeyPath, times: int = 1) -> None:
        """Count a part, and report a sum where it passes its limit."""
        self.counts = counts = self.counts.plus(part, times)
        sums = (
            ("parameters", counts.parameters, MOST_PARAMETERS),
            ("numbers in biases, norms and buffers", counts.vectors + counts.buffers, MOST_VECTORS),
            ("layers", counts.layers, MOST_LAYERS),
        )
        for what, number, most in sums:
            if number > most and not self.beyond_measure:
                self.beyond_measure = True
                mismatch = MismatchError(
                    f"too many {what}",
                    expected=f"at most {most:,}",
                    found=_number_text(number),
                )
                self.report(mismatch, path)

    def check_names(self, items: Sequence[Item], path: KeyPath) -> None:
        """Report names in one chain that no part can have, or that two parts have."""
        seen: set[str] = set()
        for number, item in enumerate(items):
            if item.name is not None:
                where = (*path, number, "name")
                if item.name in seen:
                    self.report(MismatchError(f"two parts are called {item.name!r}"), where)
                seen.add(item.name)
                self.check_name(item.name, where)

    def check_name(self, name: str, path: KeyPath) -> None:
        """Report a name that no part can have."""
        if name in RESERVED or name.startswith("_"):
            mismatch = MismatchError(
                f"no part can be called {name!r}",
                expected="a word that is no attribute of torch's modules and begins with a letter",
            )
            self.report(mismatch, path)


def check_entries(shape: Shape) -> Shape:
    """Check that a value between layers fits a computer's memory.

    Raises:
        MismatchError: it has more entries than any net's.
    """
    if (entries := count(shape)) > MOST_VALUE:
        raise MismatchError(
            "an output beyond measure",
            expected=f"at most {MOST_VALUE:,} numbers",
            found=f"{_number_text(entries)} numbers",
        )
    return shape


def _number_text(number: int) -> str:
    return f"{number:,}" if number < 10**18 else f"about 10^{int(math.log10(number))}"
