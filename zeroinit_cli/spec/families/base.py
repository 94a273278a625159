"""What all families have in common: fields in, shapes and counts out."""

from collections.abc import Iterator
from typing import Any, ClassVar

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.fields import Strict
from zeroinit_cli.spec.layers.base import MismatchError


class Family(Strict):
    """The fields of a family that has its own module.

    Attributes:
        input_names: names of its input's dimensions.
    """

    input_names: ClassVar[tuple[str, ...]]

    def default_input(self) -> Shape | None:
        """Return the input's shape where the spec need not give it."""
        return None

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """Yield everything that does not fit together, on an input of the right rank."""
        yield from ()

    def outputs(self, shape: Shape) -> tuple[Shape, ...]:
        """Return the shapes of the outputs; there must be no mismatches."""
        raise NotImplementedError

    def counts(self, shape: Shape) -> Counts:
        """Count what the family holds; there must be no mismatches. Modules are counted roughly."""
        raise NotImplementedError


class LayeredFamily(Strict):
    """The fields of a family that is a short form of `layers`.

    Attributes:
        input_names: names of its input's dimensions; None if any number will do.
    """

    input_names: ClassVar[tuple[str, ...] | None] = None

    def as_layers(self, shape: Shape) -> list[dict[str, Any]]:
        """Return the layers that it stands for, as a spec would write them."""
        raise NotImplementedError
