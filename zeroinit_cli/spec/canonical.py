"""The canonical form of a spec, which its digest is computed from and `spec show` prints.

It has everything that the spec says but its prose, with defaults filled in.
"""

import hashlib
import json
from typing import Any

import yaml

from zeroinit_cli.options import Options
from zeroinit_cli.spec.document import ONLY, Document
from zeroinit_cli.spec.fields import Strict
from zeroinit_cli.spec.items import Residual, Sequential
from zeroinit_cli.spec.yaml_text import resolve

_PROSE = ("name", "description")


def canonical(document: Document) -> dict[str, Any]:
    """Return a document as JSON data; what is not given and has no default is left out."""
    data = document.model_dump(exclude_none=True, exclude={*_PROSE, "init", "input"})
    form = {"zeroinit": data.pop("zeroinit")}
    inputs = document.inputs()
    if inputs is not None:
        shapes = {name: list(shape) for name, shape in inputs.items()}
        form["input"] = shapes.get(ONLY, shapes)
    overrides = [override.model_dump() for override in document.init.overrides]
    words = Options.from_words(document.init.to_words()).to_words()
    return {**form, **data, "init": {**words, "overrides": overrides}}


def digest(form: dict[str, Any]) -> str:
    """Return the SHA-256 of a canonical form, in hexadecimal: sorted UTF-8 JSON, no spaces."""
    text = json.dumps(form, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


class _Dumper(yaml.SafeDumper):
    """A YAML writer that YAML 1.1 and 1.2 read alike; repeated values in full, without aliases."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    # PyYAML itself quotes what YAML 1.1 takes for another type, such as no and 1:30
    style = None if isinstance(resolve(text), str) else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _represent_text)


def to_yaml(document: Document) -> str:
    """Write the canonical form of a document as a spec, which has the same digest."""
    form = canonical(document)
    form |= {key: _plain(getattr(document, key)) for key in ("model", "layers") if key in form}
    return yaml.dump(
        form,
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=10**6,  # one line for a layer, however many arguments it has
        default_flow_style=None,  # in brackets and braces where all entries are scalars
    )


def _plain(value: Any) -> Any:
    """Return a part of a document as plain data.

    A null is kept where it is not the default: without it, the default would be read. `layers:` is
    left out where the list may stand alone, so that the result is nested no deeper than the spec.
    """
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequential) or (isinstance(value, Residual) and not value.shortcut):
        return _plain(value.layers)
    if not isinstance(value, Strict):
        return value
    fields = type(value).model_fields
    return {
        key: _plain(entry)
        for key, entry in value
        if entry is not None or fields[key].default is not None
    }
