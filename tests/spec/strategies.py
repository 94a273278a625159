"""Layers and whole specs, made up by Hypothesis from the language's own schema."""

from typing import Any

from hypothesis import strategies as st

from zeroinit_cli.spec.layers import LAYERS
from zeroinit_cli.spec.layers.base import MismatchError
from zeroinit_cli.spec.schema import alternatives, json_schema

_MOST = 6
INFERRED = frozenset(
    ["in_features", "in_channels", "num_features", "num_channels", "d_model", "normalized_shape"]
)


def values(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Small values of one field."""
    return st.one_of(*(_one_value(each) for each in alternatives(schema)))


def _one_value(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema["type"]:
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "integer":
            low, high = schema.get("minimum", 0), schema.get("maximum", _MOST)
            return st.integers(low, min(high, max(low, 0) + _MOST))
        case "number":
            return st.floats(0.125, 0.875, width=16)
        case "array":
            items = values(schema["items"])
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=3)
    raise AssertionError(schema)


@st.composite
def arguments(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    """Arguments of one class of torch.nn: all that are needed, and some of the others."""
    [mapping] = [
        each for each in alternatives(json_schema()["$defs"][kind]) if each["type"] == "object"
    ]
    required = mapping.get("required", [])
    return {
        name: draw(values(field))
        for name, field in mapping["properties"].items()
        if name not in INFERRED and (name in required or draw(st.integers(0, 3)) == 0)
    }


SHAPES = st.lists(st.integers(1, 12), min_size=1, max_size=4).map(tuple)


@st.composite
def items(draw: st.DrawFn, shape: tuple[int, ...], depth: int = 0) -> tuple[Any, tuple[int, ...]]:
    """One item on an input of a shape, and the shape of its output."""
    if depth < 2 and draw(st.integers(0, 3)) == 0:
        return draw(structures(shape, depth))
    for _ in range(8):
        kind = draw(st.sampled_from(sorted(LAYERS)))
        if kind == "Embedding":
            continue
        given = draw(arguments(kind))
        try:
            output = LAYERS[kind].model_validate(given).resolve(shape).output
        except MismatchError:
            continue
        if max(output) <= 64 and len(output) <= 4:
            return {kind: given} if given else draw(st.sampled_from([kind, {kind: None}])), output
    return "ReLU", shape


@st.composite
def structures(draw: st.DrawFn, shape: tuple[int, ...], depth: int) -> tuple[Any, tuple[int, ...]]:
    """Several items put together."""
    layers, output = draw(chains(shape, depth + 1))
    match draw(st.sampled_from(["sequential", "residual", "parallel", "repeat"])):
        case "residual" if output == shape:
            return {"residual": layers}, output
        case "parallel":
            if len(output) == 1:
                other: list[Any] = [{"Flatten": {}}] if len(shape) > 1 else []
                both = {"branches": [layers, [*other, {"Linear": 3}]], "join": "cat"}
                return {"parallel": both}, (output[0] + 3,)
            two = {
                "branches": {"b": layers, "a": layers},
                "join": draw(st.sampled_from(["add", "mul"])),
            }
            return {"parallel": two}, output
        case "repeat" if output == shape:
            return {"repeat": {"count": draw(st.integers(1, 3)), "layers": layers}}, output
    return {"sequential": layers}, output


@st.composite
def chains(
    draw: st.DrawFn, shape: tuple[int, ...], depth: int = 0
) -> tuple[list[Any], tuple[int, ...]]:
    """One to four items one after the other."""
    made = []
    for _ in range(draw(st.integers(1, 4))):
        item, shape = draw(items(shape, depth))
        made.append(item)
    return made, shape


@st.composite
def documents(draw: st.DrawFn) -> tuple[dict[str, Any], tuple[int, ...]]:
    """A whole spec of layers, and the shape of its output."""
    shape = draw(SHAPES)
    layers, output = draw(chains(shape))
    document: dict[str, Any] = {"zeroinit": 1, "input": list(shape), "layers": layers}
    if draw(st.booleans()):
        document["init"] = draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "dtype": st.sampled_from(["float32", "bfloat16"]),
                    "policy": st.sampled_from(["default", "paper"]),
                },
            )
        )
    return document, output
