"""A whole spec: the top of the language."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainValidator, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from zeroinit_cli.options import CHOICES
from zeroinit_cli.spec.families import FAMILIES
from zeroinit_cli.spec.families.base import Family, LayeredFamily
from zeroinit_cli.spec.families.plain import CNN, MLP
from zeroinit_cli.spec.families.resnet import ResNet
from zeroinit_cli.spec.families.transformers import GPT, Encoder, ViT
from zeroinit_cli.spec.fields import MOST_SIZE, ShapeField, Strict, Text
from zeroinit_cli.spec.items import MOST_ITEMS, Item

SPEC_VERSION = 1
LIBRARIES = ("torchvision", "timm", "transformers")
"""Keys under `model` whose models other packages build."""
_OF_TIMM = r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?$"
MOST_INPUTS = 4


def _scalar_or_list(value: Any) -> Any:
    parts = value if isinstance(value, list) else [value]
    if not all(isinstance(part, bool | int | float | str) for part in parts):
        raise PydanticCustomError("argument", "no argument")
    if any(isinstance(part, float) and part - part != 0 for part in parts):  # infinite or NaN
        raise PydanticCustomError("argument", "no argument")
    return tuple(value) if isinstance(value, list) else value


_SCALARS = ["integer", "number", "boolean", "string"]
BuilderArgument = Annotated[
    Any,
    PlainValidator(_scalar_or_list),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": _SCALARS},
                {"type": "array", "items": {"type": _SCALARS}},
            ]
        }
    ),
]


class Override(Strict):
    """A rule for some tensors, in place of the policy's."""

    pattern: Annotated[str, Field(min_length=1, max_length=1000)] = Field(
        description="A glob over names in the state dict; * matches dots too."
    )
    rule: Literal[
        "algorithm-1",
        "algorithm-2",
        "kept",
        "ones",
        "patch",
        "position",
        "transposed:algorithm-1",
        "transposed:algorithm-2",
        "zeros",
    ] = Field(description="What these tensors get.")


class Init(Strict):
    """How it is initialized, where the command line does not say otherwise."""

    dtype: Literal["float64", "float32", "float16", "bfloat16"] | None = Field(
        default=None, description="Type of the floating tensors; float32 by default."
    )
    policy: Literal["default", "paper"] | None = Field(
        default=None, description="The rule for each kind of tensor; default by default."
    )
    overrides: Annotated[list[Override], Field(max_length=1000)] = Field(
        default=[], description="Rules for the tensors of a pattern; the last that matches wins."
    )

    def to_words(self) -> dict[str, str]:
        """Return the options that it gives."""
        given = {key: getattr(self, key) for key in CHOICES}
        return {key: word for key, word in given.items() if word is not None}


class Model(Strict):
    """A model of a library, or a family."""

    torchvision: Annotated[str, Field(pattern="^[A-Za-z0-9_]+$", max_length=100)] | None = Field(
        default=None, description="A name that zeroinit models lists."
    )
    timm: Annotated[str, Field(pattern=_OF_TIMM, max_length=100)] | None = Field(
        default=None, description="A name that zeroinit models 'timm:*' lists."
    )
    transformers: Annotated[str, Field(min_length=1, max_length=1000)] | None = Field(
        default=None, description="The path of a config.json, or of its folder, from the spec's."
    )
    arguments: dict[str, BuilderArgument] | None = Field(
        default=None, description="For a model of a library: what it is built with."
    )
    mlp: MLP | None = None
    cnn: CNN | None = None
    resnet: ResNet | None = None
    vit: ViT | None = None
    gpt: GPT | None = None
    encoder: Encoder | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, dict):  # `mlp:` alone is a family with defaults only
            return {k: {} if v is None and k in FAMILIES else v for k, v in value.items()}
        return value

    @model_validator(mode="after")
    def _check_one(self) -> "Model":
        kinds = [key for key in type(self).model_fields if key != "arguments"]
        given = [key for key in kinds if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(given) or "none of them"
            raise PydanticCustomError("one_model", "{found}", {"found": found})
        if self.arguments is not None and self.library is None:
            raise PydanticCustomError("stray_arguments", "{found}", {"found": given[0]})
        return self

    @property
    def library(self) -> str | None:
        """The key of the library whose model it is; None if it is a family."""
        return next((key for key in LIBRARIES if getattr(self, key) is not None), None)

    @property
    def family(self) -> tuple[str, Family | LayeredFamily] | None:
        """The family's key and fields; None if the model is no family."""
        for key in FAMILIES:
            fields = getattr(self, key)
            if fields is not None:
                return key, fields
        return None


ONLY = ""
"""The name of an input that is the only one."""


def _named_inputs(value: Any) -> Any:
    """Name the inputs; one shape, or one number, is the only input."""
    if isinstance(value, dict):
        return {key: [shape] if type(shape) is int else shape for key, shape in value.items()}
    return {ONLY: [value] if type(value) is int else value}


_SHAPE: dict[str, Any] = {
    "type": "array",
    "items": {"type": "integer", "minimum": 1, "maximum": MOST_SIZE},
    "minItems": 1,
    "maxItems": 8,
}
_ONE = [_SHAPE, _SHAPE["items"]]
Input = Annotated[
    dict[str, ShapeField],
    BeforeValidator(_named_inputs),
    WithJsonSchema(
        {
            "anyOf": [
                *_ONE,
                {
                    "type": "object",
                    "additionalProperties": {"anyOf": _ONE},
                    "minProperties": 2,
                    "maxProperties": MOST_INPUTS,
                },
            ],
        }
    ),
]


class Document(Strict):
    """An architecture for zeroinit to build and initialize."""

    zeroinit: Literal[1] = Field(description="Version of this language.")
    name: Annotated[str, Field(max_length=200)] | None = Field(
        default=None, description="What people call it."
    )
    description: Text | None = Field(default=None, description="What it is, in prose.")
    input: Input | None = Field(
        default=None,
        description="The shape of the input without the batch, such as [3, 224, 224]; or several "
        "by name, which the branches of a first `parallel` take by the same names.",
    )
    model: Model | None = Field(
        default=None, description="A family by its numbers, or a model of a library."
    )
    layers: Annotated[list[Item], Field(min_length=1, max_length=MOST_ITEMS)] | None = Field(
        default=None, description="The layers, in order."
    )
    init: Init = Field(
        default=Init(),
        description="How it is initialized, where the command line does not say otherwise.",
    )

    @model_validator(mode="after")
    def _check_one(self) -> "Document":
        if (self.model is None) == (self.layers is None):
            found = "neither" if self.model is None else "both"
            raise PydanticCustomError("one_architecture", "{found}", {"found": found})
        if self.input is not None and ONLY not in self.input:
            names = sorted(self.input)
            if not 2 <= len(names) <= MOST_INPUTS or not all(map(_is_name, names)):
                raise PydanticCustomError("inputs", "{found}", {"found": ", ".join(names)})
        return self

    def inputs(self) -> dict[str, tuple[int, ...]] | None:
        """Return the shapes of its inputs by name; by default its family's."""
        family = self.model.family if self.model is not None else None
        if self.input is not None or family is None or not isinstance(family[1], Family):
            return self.input
        shape = family[1].default_input()
        return None if shape is None else {ONLY: shape}


def _is_name(text: str) -> bool:
    return text.isidentifier() and text.isascii()
