"""The items of `layers:` torch.nn layers, and what combines them: sequential, residual, ..."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    GetJsonSchemaHandler,
    create_model,
    model_validator,
)
from pydantic_core import CoreSchema, PydanticCustomError

from zeroinit_cli.spec.blueprint import Shape
from zeroinit_cli.spec.fields import Name, Strict
from zeroinit_cli.spec.layers import LAYERS
from zeroinit_cli.spec.layers.base import Layer, MismatchError, index_of

MOST_ITEMS = 2_000
"""Layers in one list. `repeat` stands for more."""


class _ListOrMapping(Strict):
    """A combination whose list of layers may stand alone."""

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        return {"layers": value} if isinstance(value, list) else value

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema: the mapping, or the list of layers alone."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        mapping = dict(schema)
        schema.clear()
        description = mapping.pop("description")
        schema |= {"description": description, "anyOf": [mapping, mapping["properties"]["layers"]]}
        return schema


Items = Annotated[list["Item"], Field(min_length=1, max_length=MOST_ITEMS)]
ItemsOrNone = Annotated[list["Item"], Field(max_length=MOST_ITEMS)]


class Sequential(_ListOrMapping):
    """Layers one after the other, as one named part."""

    layers: Items = Field(description="The layers, in order.")


class Residual(_ListOrMapping):
    """Layers whose output is added to their input: y = layers(x) + shortcut(x)."""

    layers: Items = Field(description="The branch.")
    shortcut: Annotated[ItemsOrNone | None, BeforeValidator(lambda value: value or None)] = Field(
        default=None, description="Layers of the shortcut, such as a projection; none: x itself."
    )


class Repeat(Strict):
    """The same layers several times, each time with weights of their own."""

    count: int = Field(ge=1, le=100_000, description="How many times.")
    layers: Items = Field(description="The layers, in order.")


def _branches(value: Any) -> Any:
    """Name the branches of a list by their number."""
    if isinstance(value, list):
        return {str(number): branch for number, branch in enumerate(value)}
    return value


class Parallel(Strict):
    """Branches side by side on one input, or each on its own of several, joined."""

    branches: Annotated[
        dict[str, ItemsOrNone],
        BeforeValidator(_branches),
        Field(min_length=2, max_length=100),
    ] = Field(
        description="Two or more lists of layers; an empty one gives its input. Under names, they "
        "are joined in the order of the alphabet."
    )
    join: Literal["cat", "add", "mul"] = Field(
        default="cat", description="How: one behind the other, the sum, or the product."
    )
    dim: int = Field(default=1, ge=-8, le=8, description="For cat: along which; 0 is the batch.")

    @model_validator(mode="after")
    def _check_names(self) -> "Parallel":
        for name in self.branches:
            if not name.isdecimal() and not (name.isidentifier() and name.isascii()):
                raise PydanticCustomError("branch_name", "{found}", {"found": name})
        return self

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema: branches are a mapping, or a list."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        named = schema["properties"]["branches"]
        branch = named["additionalProperties"]
        schema["properties"]["branches"] = {
            "description": named["description"],
            "anyOf": [
                {"type": "array", "items": branch, "minItems": 2, "maxItems": 100},
                {
                    "type": "object",
                    "additionalProperties": branch,
                    "minProperties": 2,
                    "maxProperties": 100,
                },
            ],
        }
        return schema

    def ordered(self) -> list[tuple[str, list["Item"]]]:
        """Return the branches in the order in which they are joined, not that of the file."""
        key = (lambda name: (len(name), name)) if "0" in self.branches else (lambda name: (0, name))
        return [(name, self.branches[name]) for name in sorted(self.branches, key=key)]

    def joined(self, shapes: Sequence[Shape]) -> Shape:
        """Return the output's shape; `shapes` are the branches', in the order of the join.

        Raises:
            MismatchError: they do not fit together.
        """
        shown = ", ".join(str(list(shape)) for shape in shapes[:8])
        if len(set(map(len, shapes))) > 1:
            raise MismatchError(
                f"{self.join} of branches of different ranks",
                key="join",
                expected="as many dimensions from each",
                found=shown,
            )
        if self.join == "cat":
            return self._concatenated(shapes, shown)
        sizes = [set(column) for column in zip(*shapes, strict=True)]
        stretched = self.join == "mul"  # a size of 1 is repeated
        if any(len(column - {1} if stretched else column) > 1 for column in sizes):
            raise MismatchError(
                f"{self.join} of different shapes",
                expected="equal sizes, or 1, in each dimension" if stretched else "one shape",
                found=shown,
            )
        return tuple(max(column) for column in sizes)

    def _concatenated(self, shapes: Sequence[Shape], shown: str) -> Shape:
        rank, index = len(shapes[0]), index_of(self.dim, shapes[0])
        if not 0 <= index < rank:
            raise MismatchError(
                "no such dimension", key="dim", expected=f"1 to {rank}", found=str(self.dim)
            )
        if len({(*shape[:index], *shape[index + 1 :]) for shape in shapes}) > 1:
            raise MismatchError(
                f"cat along dimension {self.dim} of branches that differ in others",
                expected=f"the same sizes but for dimension {self.dim}",
                found=shown,
            )
        total = sum(shape[index] for shape in shapes)
        return (*shapes[0][:index], total, *shapes[0][index + 1 :])


COMBINATIONS = ("sequential", "residual", "parallel", "repeat")
"""Keys of an item that combine several layers."""


class ItemBase(Strict):
    """One layer, or several put together: a class of torch.nn by name, and its arguments."""

    name: Name | None = Field(
        default=None, description="The part's name in the state dict; its number by default."
    )
    sequential: Sequential | None = None
    residual: Residual | None = None
    parallel: Parallel | None = None
    repeat: Repeat | None = None

    @model_validator(mode="before")
    @classmethod
    def _expand(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {value: {}}
        if isinstance(value, dict):
            # `- ReLU:` is a class name without arguments
            return {k: {} if v is None and k in LAYERS else v for k, v in value.items()}
        return value

    @model_validator(mode="after")
    def _check_one(self) -> "ItemBase":
        given = self.model_fields_set - {"name"}
        named = sorted(key for key in given if getattr(self, key) is not None)
        if len(named) != 1:
            found = " and ".join(named) or ("a name alone" if self.name else "nothing")
            raise PydanticCustomError("one_layer", "{found}", {"found": found})
        return self

    @property
    def kind(self) -> str:
        """The item's key: a class of torch.nn, or a combination."""
        return next(
            key
            for key in type(self).model_fields
            if key != "name" and getattr(self, key) is not None
        )

    @property
    def layer(self) -> Layer | None:
        """The layer's arguments, if it is one of torch.nn."""
        found = getattr(self, self.kind)
        return found if isinstance(found, Layer) else None

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema: a class name alone, or a mapping of it to its arguments."""
        schema = handler.resolve_ref_schema(handler(core_schema))
        mapping = dict(schema)
        schema.clear()
        for key, field in mapping["properties"].items():
            if key != "name":
                [only] = [kind for kind in field["anyOf"] if kind != {"type": "null"}]
                mapping["properties"][key] = only
        alone = sorted(
            name
            for name, layer in LAYERS.items()
            if not any(field.is_required() for field in layer.model_fields.values())
        )
        schema |= {
            "description": mapping.pop("description"),
            "anyOf": [{**mapping, "minProperties": 1, "maxProperties": 2}, {"enum": alone}],
        }
        return schema


if TYPE_CHECKING:
    Item = ItemBase
else:
    Item = create_model(
        "Item",
        __base__=ItemBase,
        __doc__=ItemBase.__doc__,
        **{name: (layer | None, Field(default=None)) for name, layer in LAYERS.items()},
    )

for _combination in (Sequential, Residual, Repeat, Parallel):
    _combination.model_rebuild(_types_namespace={"Item": Item})
Item.model_rebuild()

_ATTRIBUTES = """
    add_module append apply bfloat16 buffers call_super_init children compile cpu cuda double
    dump_patches eval extend extra_repr float forward get_buffer get_extra_state get_parameter
    get_submodule half insert ipu load_state_dict modules mtia named_buffers named_children
    named_modules named_parameters parameters pop register_backward_hook register_buffer
    register_forward_hook register_forward_pre_hook register_full_backward_hook
    register_full_backward_pre_hook register_load_state_dict_post_hook
    register_load_state_dict_pre_hook register_module register_parameter
    register_state_dict_post_hook register_state_dict_pre_hook requires_grad_ set_extra_state
    set_submodule share_memory state_dict to to_empty train training type xpu zero_grad
    dim join
"""
RESERVED = frozenset(_ATTRIBUTES.split())
"""Attributes of torch's modules and ours, which no part can have as its name."""
