"""What is found on the way through an architecture: mistakes, and sums that have limits.

Nothing stops at a mistake, so that all are told at once. What comes to more than any net has is one
of them, said once, where the sum passes the limit.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from zeroinit_cli.errors import MistakeError
from zeroinit_cli.spec.faults import KeyPath, Locator, from_mismatch
from zeroinit_cli.spec.layers.base import ORIGIN, MismatchError
from zeroinit_cli.spec.limits import MOST_LAYERS, MOST_PARAMETERS, MOST_VECTORS, too_much
from zeroinit_cli.spec.structure import RESERVED, Item


@dataclass(frozen=True, kw_only=True, slots=True)
class Totals:
    """What an architecture, or a part of one, comes to.

    Attributes:
        weights: entries of weight matrices, kernels and tables.
        vectors: entries of biases, norms and raw parameters.
        buffers: entries that do not train, part of no count of parameters.
        layers: modules.
    """

    weights: int = 0
    vectors: int = 0
    buffers: int = 0
    layers: int = 0

    def plus(self, other: "Totals", times: int = 1) -> "Totals":
        """With some number of copies of another part."""
        return Totals(
            weights=self.weights + times * other.weights,
            vectors=self.vectors + times * other.vectors,
            buffers=self.buffers + times * other.buffers,
            layers=self.layers + times * other.layers,
        )


MODULE = Totals(layers=1)
"""A module without anything of its own."""


class Findings:
    """Gathers what is found in one document.

    Args:
        locator: knows the places in the file.
    """

    def __init__(self, locator: Locator):
        self.faults: list[MistakeError] = []
        self.totals = Totals()
        self.beyond_measure = False
        self._locator = locator

    def words(self, path: KeyPath) -> str:
        """A path as a person writes it."""
        return self._locator.words(path)

    def say(self, mismatch: MismatchError, path: KeyPath, origin: str = "") -> None:
        """Keep a mistake, with its place and with what its value comes from, in words."""
        for field in ("problem", "expected", "found"):
            words = getattr(mismatch, field)
            if words is not None:
                setattr(mismatch, field, words.replace(ORIGIN, origin))
        self.faults.append(from_mismatch(mismatch, path, self._locator))

    def add(self, part: Totals, path: KeyPath, times: int = 1) -> None:
        """Count a part, and say once, where a sum passes it, that there is too much of it."""
        self.totals = totals = self.totals.plus(part, times)
        sums = (
            ("parameters", totals.weights + totals.vectors, MOST_PARAMETERS),
            ("numbers in biases, norms and buffers", totals.vectors + totals.buffers, MOST_VECTORS),
            ("layers", totals.layers, MOST_LAYERS),
        )
        for what, number, most in sums:
            if number > most and not self.beyond_measure:
                self.beyond_measure = True
                self.say(too_much(what, number, most), path)

    def check_names(self, items: Sequence[Item], path: KeyPath) -> None:
        """Say of parts of one chain which names no part can have, or two have."""
        seen: set[str] = set()
        for number, item in enumerate(items):
            if item.name is not None:
                where = (*path, number, "name")
                if item.name in seen:
                    mismatch = MismatchError(f"two parts are called {item.name!r}")
                    self.say(mismatch, where)
                seen.add(item.name)
                self.check_name(item.name, where)

    def check_name(self, name: str, path: KeyPath) -> None:
        """Say it of one name."""
        if name in RESERVED or name.startswith("_"):
            mismatch = MismatchError(
                f"no part can be called {name!r}",
                expected="a word that is no attribute of torch's modules and begins with a letter",
            )
            self.say(mismatch, path)
