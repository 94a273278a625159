"""The reference of the language, as Markdown, from its schema: docs/specs-reference.md.

python -m tests.spec.reference > docs/specs-reference.md
"""

import sys
from collections.abc import Iterator
from typing import Any

import yaml

from zeroinit_cli.spec.families import FAMILIES
from zeroinit_cli.spec.items import COMBINATIONS
from zeroinit_cli.spec.layers import LAYERS
from zeroinit_cli.spec.schema import Schema, alternatives, in_words, json_schema

_HEAD = """\
# Reference of the spec language

Made from the schema by `python -m tests.spec.reference`; do not edit. The tutorial is
[specs.md](specs.md), the schema itself `zeroinit spec schema`. Keys without a default are needed,
unless they say what they are inferred from."""


def reference() -> str:
    """The whole reference."""
    schema = json_schema()
    names = {family.__name__: key for key, family in FAMILIES.items()}
    parts = [
        _HEAD,
        "## The top of a spec",
        _table(schema),
        "## `init`",
        _described(schema["$defs"]["Init"]),
        "### One of `overrides`",
        _described(schema["$defs"]["Override"]),
        "## `model`",
        "A family by its key, or a model of a library:",
        _table(schema["$defs"]["Model"], only=("torchvision", "timm", "transformers", "arguments")),
    ]
    for name, key in names.items():
        parts += [f"### `{key}`", _described(schema["$defs"][name])]
    parts += ["## `layers`", _described(schema["$defs"]["Item"], only=("name",))]
    for name in COMBINATIONS:
        parts += [f"### `{name}`", _described(schema["$defs"][name.capitalize()])]
    parts += [
        "## Layers",
        "Classes of torch.nn, by the names of their arguments there. Where a key is marked (*), "
        "the value may stand alone: `Linear: 10`.",
    ]
    for name in LAYERS:
        parts += [f"### {name}", _described(schema["$defs"][name])]
    return "\n\n".join(parts) + "\n"


def _described(schema: Schema, only: tuple[str, ...] | None = None) -> str:
    table = _table(schema, only)
    description = str(schema.get("description") or _mapping(schema).get("description", ""))
    return f"{description}\n\n{table}" if table else description


def _mapping(schema: Schema) -> Schema:
    """The alternative that has keys."""
    return next(kind for kind in alternatives(schema) if "properties" in kind)


def _table(schema: Schema, only: tuple[str, ...] | None = None) -> str:
    rows = list(_rows(schema, only))
    if not rows:
        return ""
    return "\n".join(["| key | value | default | |", "| --- | --- | --- | --- |", *rows])


def _rows(schema: Schema, only: tuple[str, ...] | None) -> Iterator[str]:
    mapping = _mapping(schema)
    alone = LAYERS[mapping_name].shorthand if (mapping_name := _name_of(schema)) in LAYERS else None
    for key, field in mapping["properties"].items():
        if only is not None and key not in only:
            continue
        star = " (*)" if key == alone else ""
        value = in_words(field).replace("|", "\\|")
        yield f"| `{key}`{star} | {value} | {_default(field)} | {field.get('description', '')} |"


def _name_of(schema: Schema) -> str:
    """The definition's own name."""
    definitions: dict[str, Any] = json_schema()["$defs"]
    return next((name for name, definition in definitions.items() if definition is schema), "")


def _default(field: Schema) -> str:
    if "default" not in field:
        return ""
    # behind a scalar, YAML marks the end of the document on a second line
    return f"`{yaml.safe_dump(field['default'], default_flow_style=True).splitlines()[0]}`"


if __name__ == "__main__":
    sys.stdout.write(reference())
