"""The language as a JSON Schema: for editors, the reference page, and messages."""

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

from zeroinit_cli.spec.document import Document

Schema = dict[str, Any]
KeyPathPart = str | int

_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_MANY = 12


@cache
def json_schema() -> Schema:
    """Return the schema of a whole spec, draft 2020-12."""
    schema = Document.model_json_schema()
    schema["properties"]["init"]["description"] = Document.model_fields["init"].description
    tidied = _tidy(schema)
    return {"$schema": _DIALECT, "title": "zeroinit spec", **tidied}


def _tidy(value: Any) -> Any:
    """Remove generated titles, defaults that are null, and choices within choices."""
    if isinstance(value, list):
        return [_tidy(entry) for entry in value]
    if not isinstance(value, dict):
        return value
    if "anyOf" in value and all(isinstance(choice, dict) for choice in value["anyOf"]):
        flat: list[Any] = []
        for choice in value["anyOf"]:
            flat += choice["anyOf"] if set(choice) == {"anyOf"} else [choice]
        value = {**value, "anyOf": flat}
    result = {}
    for key, entry in value.items():
        if key == "properties":
            result[key] = {name: _tidy(field) for name, field in entry.items()}
        elif (key == "title" and isinstance(entry, str)) or (key == "default" and entry is None):
            continue
        elif key == "default" and isinstance(entry, dict):
            result[key] = {name: part for name, part in entry.items() if part is not None}
        else:
            result[key] = _tidy(entry)
    return result


def resolve_refs(schema: Schema) -> Schema:
    """Follow references to the schema itself."""
    while "$ref" in schema:
        schema = json_schema()["$defs"][schema["$ref"].rpartition("/")[2]]
    return schema


def alternatives(schema: Schema) -> Iterator[Schema]:
    """Yield the schemas of what a value may be, each without choices and references."""
    schema = resolve_refs(schema)
    if "anyOf" not in schema:
        yield schema
    for choice in schema.get("anyOf", ()):
        yield from alternatives(choice)


def schema_at(path: Sequence[KeyPathPart]) -> Schema | None:
    """Find the schema of the value at a path of keys and numbers; None where there is none."""
    schema = json_schema()
    for part in path:
        found = next(
            (below for kind in alternatives(schema) if (below := _below(kind, part)) is not None),
            None,
        )
        if found is None:
            return None
        schema = found
    return schema


def _below(schema: Schema, part: KeyPathPart) -> Schema | None:
    if isinstance(part, int):
        items = schema.get("items")
        return items if isinstance(items, dict) else None
    if part in schema.get("properties", {}):
        below: Schema = schema["properties"][part]
        return below
    more = schema.get("additionalProperties")
    return more if isinstance(more, dict) else None


def known_keys(path: Sequence[KeyPathPart]) -> list[str]:
    """List the keys of the mapping at a path, in the schema's order."""
    schema = schema_at(path)
    keys: dict[str, None] = {}
    for kind in alternatives(schema) if schema is not None else ():
        keys |= dict.fromkeys(kind.get("properties", {}))
    return list(keys)


def in_words(schema: Schema) -> str:
    """Describe what a value must be: `an integer from 1 to 16777216`."""
    if str(schema.get("$ref")).endswith("/Item"):
        return "a class name of torch.nn, or a mapping of one to its arguments"
    every = list(alternatives(schema))
    named = [kind for kind in every if kind.get("type") != "null"]
    return " or ".join(dict.fromkeys(map(_one_in_words, named or every)))


def _one_in_words(schema: Schema) -> str:
    if "const" in schema:
        return str(schema["const"])
    if "enum" in schema:
        choices = [str(choice) for choice in schema["enum"]]
        return ", ".join(choices) if len(choices) <= 2 * _MANY else "a class name of torch.nn"
    match schema.get("type"):
        case "integer":
            return f"an integer{_bounds(schema)}"
        case "number":
            return f"a number{_bounds(schema)}"
        case "boolean":
            return "true or false"
        case "null":
            return "nothing"
        case "string":
            return _string_in_words(schema)
        case "array":
            return _list_in_words(schema)
        case "object":
            required = ", ".join(schema.get("required", ()))
            return f"a mapping with {required}" if required else "a mapping"
    return "a number, true or false, a text"  # an argument of torchvision's


def _string_in_words(schema: Schema) -> str:
    if "pattern" in schema:
        tagged = ", with a tag after a dot" if r"\." in schema["pattern"] else ""
        return f"letters, digits and underscores{tagged}"
    return (
        f"a text of at most {schema['maxLength']} characters" if "maxLength" in schema else "a text"
    )


def _list_in_words(schema: Schema) -> str:
    least, most = schema.get("minItems", 0), schema.get("maxItems")
    items = schema.get("items", {})
    names = {"integer": "integers", "array": "lists", "object": "mappings"}
    kinds = [names.get(str(kind.get("type"))) for kind in alternatives(items)]
    many = f"{kinds[0]}{_bounds(items)}" if len(kinds) == 1 and kinds[0] else "these"
    if str(items.get("$ref")).endswith("/Item"):
        many = "layers"
    if most is not None and most <= _MANY:
        return f"a list of {least} to {most} {many}"
    return f"a list of {f'{least} or more ' if least else ''}{many}"


def _bounds(schema: Schema) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    above = schema.get("exclusiveMinimum")
    parts = [
        f" above {above}" if above is not None else "",
        f" of at least {low}" if low is not None else "",
        f"{', ' if above is not None or low is not None else ' of '}at most {high}"
        if high is not None
        else "",
    ]
    return "".join(parts)
