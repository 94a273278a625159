"""What is beyond measure, and other mismatches of a whole net."""

import math

from zeroinit_cli.spec.layers.base import ORIGIN, MismatchError

MOST_PARAMETERS = 10**13
MOST_VECTORS = 5 * 10**7
"""Numbers in biases, norms and buffers, which are built real even where weights are not."""
MOST_LAYERS = 20_000
MOST_VALUE = 10**12
"""Entries of a value between layers, for one sample."""


class MissingInputError(MismatchError):
    """A shape is needed, and none is given."""

    def __init__(self) -> None:
        super().__init__(
            "missing key 'input'",
            expected="the shape of the input without the batch, such as [3, 32, 32]",
        )


def one_input(family: str) -> MismatchError:
    """A family is given several inputs."""
    return MismatchError(
        f"{family} takes one input", expected="one shape", hint="layers: can take several"
    )


def no_integers() -> MismatchError:
    """A table is to look up what other layers gave."""
    return MismatchError(
        "Embedding looks up integers", expected="the input itself", found=f"features from {ORIGIN}"
    )


def too_much(what: str, number: int, most: int) -> MismatchError:
    """More of something than any net has."""
    shown = f"{number:,}" if number < 10**18 else f"about 10^{int(math.log10(number))}"
    numbers = "" if what != "an output" else " numbers"
    return MismatchError(
        f"{what} beyond measure" if what == "an output" else f"too many {what}",
        expected=f"at most {most:,}{numbers}",
        found=f"{shown}{numbers}",
    )
