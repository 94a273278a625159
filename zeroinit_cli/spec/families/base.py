"""What every family has in common: fields in, shapes and counts out."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

from zeroinit_cli.spec.fields import Strict
from zeroinit_cli.spec.layers.base import ORIGIN, MismatchError, Shape


@dataclass(frozen=True, kw_only=True, slots=True)
class Counted:
    """What a family comes to, by its own arithmetic.

    Attributes:
        outputs: shapes of what it gives, without the batch.
        weights: entries of its weight matrices, kernels and tables.
        vectors: entries of biases, norms and raw parameters, which are built real.
        buffers: what is built real besides and does not train.
        layers: modules, about.
    """

    outputs: tuple[Shape, ...]
    weights: int
    vectors: int
    buffers: int = 0
    layers: int = 1


class Family(Strict):
    """The fields of one family.

    Attributes:
        input_names: what the dimensions of its input are called.
    """

    input_names: ClassVar[tuple[str, ...]]

    def default_input(self) -> Shape | None:
        """The input's shape where the spec need not say it."""
        return None

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """Everything that does not go together, on an input of the right rank."""
        yield from ()

    def count(self, shape: Shape) -> Counted:
        """Shapes and numbers, where nothing mismatches."""
        raise NotImplementedError


class LayeredFamily(Strict):
    """A family that is a short way to write `layers`.

    Attributes:
        input_names: what the dimensions of its input are called; None if any number will do.
    """

    input_names: ClassVar[tuple[str, ...] | None] = None

    def as_layers(self, shape: Shape) -> list[dict[str, Any]]:
        """The layers that it stands for, as a spec would write them."""
        raise NotImplementedError


def divides(part: int, whole: int, key: str, problem: str) -> Iterator[MismatchError]:
    """A mismatch if one number does not divide the other."""
    if whole % part:
        yield MismatchError(problem, key=key, expected=f"a divisor of {whole}", found=str(part))


def wrong_rank(family: str, names: tuple[str, ...], shape: Shape) -> MismatchError:
    """An input of another rank than the family's."""
    return MismatchError(
        f"{family} gets an input of another rank",
        expected=f"[{', '.join(names)}]",
        found=f"{list(shape)} from {ORIGIN}",
    )
