"""What every layer of torch.nn has in common here: arguments in, a shape through, numbers out.

Each class of `layers/` is named like the class of torch.nn that it stands for, and its fields like
the parameters of that class. Sizes that follow from what comes before are optional: where they are
given, they are checked.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from pydantic import GetJsonSchemaHandler, model_validator
from pydantic_core import CoreSchema

from zeroinit_cli.spec.blueprint import Shape as Shape
from zeroinit_cli.spec.fields import Strict
from zeroinit_cli.text import counted

ORIGIN = "\0"
"""Stands in a mismatch's words for where the input comes from, which the layer does not know."""


class MismatchError(Exception):
    """A layer that cannot take what it is given. It has no place yet; who raises knows none.

    Args:
        problem: what is wrong.
        key: the argument that is wrong, where one is.
        expected: what would have been right.
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
    """A layer that knows its input.

    Attributes:
        arguments: what the class of torch.nn is called with.
        output: shape of what it gives, without the batch.
        weights: entries of its weight matrices, kernels and tables.
        vectors: entries of biases, norms and the like, buffers included, which are built real.
        buffers: those of the vectors that are no parameters.
    """

    arguments: Mapping[str, Any]
    output: Shape
    weights: int = 0
    vectors: int = 0
    buffers: int = 0

    @property
    def parameters(self) -> int:
        """Numbers that train."""
        return self.weights + self.vectors - self.buffers


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
        """The mapping of all arguments, or the value of the first alone, or nothing."""
        schema = handler(core_schema)
        mapping = dict(handler.resolve_ref_schema(schema))
        description = mapping.pop("description", None)
        alone: list[dict[str, Any]] = []
        if cls.shorthand is not None:
            field = mapping["properties"][cls.shorthand]
            alone = field.get("anyOf", [field])
            alone = [{k: v for k, v in each.items() if k != "default"} for each in alone]
        if not mapping.get("required") and {"type": "null"} not in alone:
            alone = [*alone, {"type": "null"}]
        result: dict[str, Any] = {"anyOf": [mapping, *alone]} if alone else mapping
        return {"description": description, **result} if description else result

    @property
    def kind(self) -> str:
        """The class in torch.nn."""
        return type(self).__name__

    def resolve(self, shape: Shape) -> Resolved:
        """The layer on an input of a shape.

        Raises:
            MismatchError: it cannot take this input.
        """
        raise NotImplementedError

    def given(self, **inferred: Any) -> dict[str, Any]:
        """The arguments for torch: the fields, those that were inferred in their place."""
        return {**self.model_dump(), **inferred}

    def expects(self, what: str, declared: int | None, actual: int, *, key: str) -> None:
        """Hold a size that was written down against the one that arrives.

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
        """Hold the number of dimensions against the ones that the layer knows by name.

        Raises:
            MismatchError: there are more or fewer.
        """
        allowed = [names, *([also] if also else [])]
        if len(shape) not in [len(each) for each in allowed]:
            hint = None
            if min(len(each) for each in allowed) > len(shape):
                hint = "Unflatten makes dimensions of one"
            raise MismatchError(
                f"{self.kind} gets a value of another rank",
                expected=" or ".join(f"[{', '.join(each)}]" for each in allowed),
                found=f"{list(shape)} from {ORIGIN}",
                hint=hint,
            )


class SameShape(Layer):
    """A layer that gives the shape that it takes and holds nothing."""

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        return Resolved(arguments=self.given(), output=shape)


def spread(value: int | tuple[int, ...], rank: int, layer: Layer, key: str) -> tuple[int, ...]:
    """One number for each dimension.

    Raises:
        MismatchError: a list of another length.
    """
    if isinstance(value, int):
        return (value,) * rank
    if len(value) != rank:
        raise MismatchError(
            f"{layer.kind} has {counted(rank, 'dimension')}, {key} another number of them",
            key=key,
            expected=f"an integer, or a list of {rank}",
            found=str(list(value)),
        )
    return value


def count(shape: Shape) -> int:
    """Entries of a value of this shape."""
    return math.prod(shape)
