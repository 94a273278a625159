"""What all layers have in common: arguments in, a shape through, counts out.

Each class of `layers/` has the name of a class of torch.nn, and its fields have the names of that
class's parameters. Sizes that follow from the input are optional. Where the spec declares them,
they are checked.
"""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from pydantic import GetJsonSchemaHandler, create_model, model_validator
from pydantic_core import CoreSchema

from zeroinit_cli.spec.blueprint import MODULE, Counts, Shape
from zeroinit_cli.spec.fields import Strict
from zeroinit_cli.text import counted

ORIGIN = "\0"
"""Stands in a message for the part that the input comes from, which a layer does not know."""


class MismatchError(Exception):
    """A layer or family that cannot take its input; its place in the file is added later.

    Args:
        problem: what is wrong.
        key: the argument that is wrong, where one is.
        expected: what would be right.
        found: what is there.
        hint: what to change.
    """

    def __init__(
        self,
        problem: str,
        *,
        key: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem, self.key, self.hint = problem, key, hint
        self.expected, self.found = expected, found
        super().__init__(problem)


@dataclass(frozen=True, kw_only=True, slots=True)
class Resolved:
    """A layer on an input of a known shape.

    Attributes:
        arguments: what the class of torch.nn is called with.
        output: shape of its output, without the batch.
        counts: what it holds.
    """

    arguments: Mapping[str, Any]
    output: Shape
    counts: Counts = MODULE


class Layer(Strict):
    """The arguments of one class of torch.nn.

    Attributes:
        shorthand: the argument that a value alone stands for, as in `Linear: 10`.
    """

    shorthand: ClassVar[str | None] = None

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if value is None:
            return {}
        if cls.shorthand is not None and not isinstance(value, dict | cls):
            return {cls.shorthand: value}
        return value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema: all arguments, or the shorthand's value alone, or nothing."""
        schema = handler(core_schema)
        mapping = dict(handler.resolve_ref_schema(schema))
        description = mapping.pop("description", None)
        alone: list[dict[str, Any]] = []
        if cls.shorthand is not None:
            field = mapping["properties"][cls.shorthand]
            alone = field.get("anyOf", [field])
            alone = [{k: v for k, v in choice.items() if k != "default"} for choice in alone]
        if not mapping.get("required") and {"type": "null"} not in alone:
            alone = [*alone, {"type": "null"}]
        result: dict[str, Any] = {"anyOf": [mapping, *alone]} if alone else mapping
        return {"description": description, **result} if description else result

    @property
    def kind(self) -> str:
        """Name of the class in torch.nn."""
        return type(self).__name__

    def resolve(self, shape: Shape) -> Resolved:
        """Return the layer's output and counts on an input of a shape.

        Raises:
            MismatchError: it cannot take this input.
        """
        raise NotImplementedError

    def result(self, output: Shape, counts: Counts = MODULE, **inferred: Any) -> Resolved:
        """Return the result of `resolve` with the layer's arguments.

        Args:
            output: shape of the output.
            counts: what the layer holds.
            **inferred: arguments that follow from the input; they replace those of the spec.
        """
        arguments = {**self.model_dump(), **inferred}
        return Resolved(arguments=arguments, output=output, counts=counts)

    def expects(self, what: str, declared: int | None, actual: int, *, key: str) -> None:
        """Compare a size that the spec declares with the one that arrives.

        Raises:
            MismatchError: they differ.
        """
        if declared is not None and declared != actual:
            raise MismatchError(
                f"{self.kind} expects {declared} {what}, gets {actual} from {ORIGIN}",
                key=key,
                expected=f"{actual}, or no {key} at all",
                found=str(declared),
            )

    def needs_rank(self, shape: Shape, *names: str, also: tuple[str, ...] | None = None) -> None:
        """Compare the number of dimensions with the dimensions that the layer has names for.

        Raises:
            MismatchError: there are more or fewer.
        """
        allowed = [names, *([also] if also else [])]
        if len(shape) not in [len(dimensions) for dimensions in allowed]:
            needs_more = min(len(dimensions) for dimensions in allowed) > len(shape)
            raise MismatchError(
                f"{self.kind} gets a value of another rank",
                expected=" or ".join(bracketed(dimensions) for dimensions in allowed),
                found=f"{list(shape)} from {ORIGIN}",
                hint="Unflatten makes dimensions of one" if needs_more else None,
            )

    def spread(self, key: str, count: int) -> tuple[int, ...]:
        """Return an argument for each of some dimensions: one number holds for all.

        Raises:
            MismatchError: the argument is a list of another length.
        """
        value = getattr(self, key)
        if isinstance(value, int):
            return (value,) * count
        if len(value) != count:
            raise MismatchError(
                f"{self.kind} has {counted(count, 'dimension')}, {key} another number of them",
                key=key,
                expected=f"an integer, or a list of {count}",
                found=str(list(value)),
            )
        return tuple(value)


class SameShape(Layer):
    """A layer whose output has the shape of its input, and that holds nothing."""

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        return self.result(shape)


DIMENSIONS = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""Names of the spatial dimensions, by their number."""


class SpatialLayer(Layer):
    """A layer over channels and one to three spatial dimensions, such as Conv2d.

    Attributes:
        rank: number of spatial dimensions.
    """

    rank: ClassVar[int]

    def needs_space(self, shape: Shape) -> None:
        """Check that the input has channels and the layer's spatial dimensions.

        Raises:
            MismatchError: it has not.
        """
        self.needs_rank(shape, "channels", *DIMENSIONS[self.rank])

    def along(self, key: str) -> tuple[int, ...]:
        """Return an argument for each spatial dimension.

        Raises:
            MismatchError: the argument is a list of another length.
        """
        return self.spread(key, self.rank)


_LayerT = TypeVar("_LayerT", bound=Layer)


def variant(base: type[_LayerT], name: str, description: str) -> type[_LayerT]:
    """Make the class of a layer that differs from others only in its name.

    Args:
        base: its arguments and its arithmetic.
        name: of the class in torch.nn.
        description: for the reference.
    """
    return create_model(name, __base__=base, __module__=base.__module__, __doc__=description)


def in_each_rank(
    base: type[SpatialLayer], name: str, description: str, ranks: tuple[int, ...] = (1, 2, 3)
) -> tuple[type[SpatialLayer], ...]:
    """Make the classes of layers that differ only in their number of spatial dimensions.

    Args:
        base: their arguments and their arithmetic.
        name: of the classes, without `1d`, `2d` and `3d`.
        description: for the reference; `{}` stands for the dimensions.
        ranks: numbers of spatial dimensions.
    """
    layers = []
    for rank in ranks:
        dimensions = bracketed(("channels", *DIMENSIONS[rank]))
        layer = variant(base, f"{name}{rank}d", description.format(dimensions))
        layer.rank = rank
        layers.append(layer)
    return tuple(layers)


def bracketed(names: Iterable[str]) -> str:
    """Write the names of dimensions as a list: `[channels, height, width]`."""
    return f"[{', '.join(names)}]"


def count(shape: Shape) -> int:
    """Count the entries of a value of this shape."""
    return math.prod(shape)


def index_of(dim: int, shape: Shape) -> int:
    """Return the index, in a shape without the batch, of a dimension that counts the batch as 0.

    It is out of range where the shape has no such dimension.
    """
    return (dim + len(shape) + 1 if dim < 0 else dim) - 1


def check_divisor(part: int, whole: int, key: str, problem: str) -> Iterator[MismatchError]:
    """Yield a mismatch if a number does not divide another one."""
    if whole % part:
        yield MismatchError(problem, key=key, expected=f"a divisor of {whole}", found=str(part))


def check_padding_row(row: int | None, rows: int) -> Iterator[MismatchError]:
    """Yield a mismatch if a table has no row for `padding_idx`."""
    if row is not None and row >= rows:
        yield MismatchError(
            "no such row in the table",
            key="padding_idx",
            expected=f"at most {rows - 1}",
            found=str(row),
        )


def raise_first(mismatches: Iterator[MismatchError]) -> None:
    """Raise the first mismatch, if there is one.

    Raises:
        MismatchError: the first.
    """
    for mismatch in mismatches:
        raise mismatch


def encoder_block(features: int, inner: int) -> Counts:
    """Count a transformer block: self-attention and two linear layers, all with biases, two norms.

    Args:
        features: of a token.
        inner: features between the linear layers.
    """
    return Counts(
        weights=4 * features**2 + 2 * features * inner,  # q, k, v and output; the linear layers
        vectors=(4 + 1 + 4) * features + inner,  # their biases; scale and shift of two norms
    )
