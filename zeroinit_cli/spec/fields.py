"""The types of fields that several parts of the language share."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

MOST_SIZE = 2**24
"""Features, channels, positions: no layer has more, and products of two still fit 64 bits."""
MOST_WINDOW = 2**16
"""Kernel sizes, strides and the like."""


class Strict(BaseModel):
    """A part of a spec: it takes no other keys, converts nothing and cannot be changed."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


Size = Annotated[int, Field(ge=1, le=MOST_SIZE)]
BlockCount = Annotated[int, Field(ge=1, le=1000)]
Probability = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Number = Annotated[float, Field(allow_inf_nan=False)]
Epsilon = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Name = Annotated[str, Field(pattern="^[A-Za-z_][A-Za-z0-9_]*$", max_length=60)]
Text = Annotated[str, Field(max_length=10_000)]


def _one_or_list(value: Any, least: int, most: int, longest: int) -> Any:
    """Check an integer, or a list of them, which becomes a tuple."""
    parts = value if isinstance(value, list | tuple) else [value]
    good = all(type(part) is int and least <= part <= most for part in parts)
    if not good or not 1 <= len(parts) <= longest:
        raise PydanticCustomError("sizes", "not integers in range")
    return tuple(parts) if isinstance(value, list | tuple) else value


def _schemas(least: int, most: int, longest: int) -> list[dict[str, Any]]:
    """Return the schemas of an integer, and of a list of them."""
    one = {"type": "integer", "minimum": least, "maximum": most}
    return [one, {"type": "array", "items": one, "minItems": 1, "maxItems": longest}]


def _schema(least: int, most: int, longest: int) -> WithJsonSchema:
    return WithJsonSchema({"anyOf": _schemas(least, most, longest)})


Windows = Annotated[
    int | tuple[int, ...],
    PlainValidator(lambda value: _one_or_list(value, 1, MOST_WINDOW, 3)),
    _schema(1, MOST_WINDOW, 3),
]
"""One window for every dimension, or one for each: kernel sizes, strides, dilations."""
Margins = Annotated[
    int | tuple[int, ...],
    PlainValidator(lambda value: _one_or_list(value, 0, MOST_WINDOW, 6)),
    _schema(0, MOST_WINDOW, 6),
]
"""Paddings: like `Windows`, and 0 is allowed."""
Sizes = Annotated[
    int | tuple[int, ...],
    PlainValidator(lambda value: _one_or_list(value, 1, MOST_SIZE, 8)),
    _schema(1, MOST_SIZE, 8),
]
"""Sizes of several dimensions."""


def _padding(value: Any) -> Any:
    return value if value in ("same", "valid") else _one_or_list(value, 0, MOST_WINDOW, 3)


Padding = Annotated[
    int | tuple[int, ...] | str,
    PlainValidator(_padding),
    WithJsonSchema({"anyOf": [{"enum": ["same", "valid"]}, *_schemas(0, MOST_WINDOW, 3)]}),
]
"""Zeros on each side of every dimension, or what torch computes them from."""

ShapeField = Annotated[tuple[Size, ...], Field(strict=False, min_length=1, max_length=8)]
"""A shape without the batch."""

Activation = Literal[
    "CELU",
    "ELU",
    "GELU",
    "GELU(tanh)",
    "Hardsigmoid",
    "Hardswish",
    "LeakyReLU",
    "Mish",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
]
"""Activations by their class in torch.nn, with its defaults; GELU(tanh) approximates by tanh."""
