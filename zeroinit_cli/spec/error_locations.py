"""The places of mistakes in the file, and messages in the words of the file."""

import difflib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

from pydantic import ValidationError

from zeroinit_cli.errors import MistakeError, SpecError
from zeroinit_cli.spec.items import COMBINATIONS
from zeroinit_cli.spec.layers import LAYERS
from zeroinit_cli.spec.schema import KeyPathPart, in_words, known_keys, schema_at
from zeroinit_cli.spec.yaml_tree import YamlNode, shorten

KeyPath = tuple[KeyPathPart, ...]


class Locator:
    """The places of a file's values, by their key paths.

    Args:
        root: the file's tree.
        text: the file's text.
        file: what messages call it.
    """

    def __init__(self, root: YamlNode, text: str, file: str):
        self._root, self._text, self._file = root, text, file

    def node(self, path: KeyPath) -> YamlNode:
        """Find the innermost node on a path; parts that the file leaves out are skipped."""
        return self._walk(path)[0]

    def path_text(self, path: KeyPath) -> str:
        """Write a key path as text: `layers[3].Linear`."""
        return self._walk(path)[1]

    def _walk(self, path: KeyPath) -> tuple[YamlNode, str]:
        node, words = self._root, ""
        for part in path:
            index = int(part) if str(part).isdecimal() else None
            if node.is_mapping and part in node.value:
                node = node.value[part]
                words += f".{part}" if words else str(part)
            elif node.is_sequence and index is not None and index < len(node.value):
                node = node.value[index]
                words += f"[{part}]"
        return node, words

    def fault(
        self,
        problem: str,
        path: KeyPath,
        *,
        key: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> MistakeError:
        """Make a mistake at a path, or at a key of the mapping there."""
        node, words = self._walk(path)
        line, column = node.keys.get(key, (node.line, node.column)) if key else self._place(path)
        if key is not None and key in node.keys:
            words = f"{words}.{key}" if words else key
        return MistakeError(
            problem,
            file=self._file,
            line=line,
            column=column,
            path=words,
            expected=expected,
            found=found,
            hint=hint,
        )

    def _place(self, path: KeyPath) -> tuple[int, int]:
        """Find the place of a value, or of its key where the value stands on the lines below it."""
        node = self.node(path)
        if path and node.is_mapping | node.is_sequence and not node.flow:
            parent = self.node(path[:-1])
            if parent.is_mapping and parent.value.get(path[-1]) is node:
                return parent.keys[str(path[-1])]
        return node.line, node.column

    def excerpt(self, path: KeyPath) -> str:
        """Quote what the file has at a path."""
        node = self.node(path)
        text = self._text[node.start : node.end].strip()
        if node.is_mapping and not node.flow:
            return f"a mapping of {', '.join(list(node.value)[:4]) or 'nothing'}"
        if node.is_sequence and not node.flow:
            return f"a list of {len(node.value)}"
        return shorten(" ".join(text.split())) or "nothing"


def from_validation(error: ValidationError, locator: Locator) -> Iterator[MistakeError]:
    """Yield the faults that pydantic found, each once, however often aliases repeat its place.

    It stops at the number that a SpecError keeps: a short file can have tens of thousands, and a
    message takes longer to write than the fault takes to find.
    """
    errors = error.errors(include_url=False, include_input=False)
    paths = [tuple(found["loc"]) for found in errors]
    outer = {path[:end] for path in paths for end in range(len(path))}
    told = set()
    for found, path in zip(errors, paths, strict=True):
        # a list is not too short because some of its entries are wrong
        if found["type"] == "too_short" and path in outer:
            continue
        key = (id(locator.node(path)), found["type"], path[-1:], _name_of(path))
        if key not in told:
            told.add(key)
            yield _fault(found["type"], path, found.get("ctx", {}), locator)
        if len(told) > SpecError.most_kept:
            return


_OWN_CHECKS = {
    # errors that the validators of document.py and items.py raise: problem, expected
    "one_layer": ("a layer needs one class name", "one class of torch.nn, or one structure"),
    "one_model": (
        "model needs one family or builder",
        "one of torchvision, timm, transformers, mlp, cnn, resnet, vit, gpt, encoder",
    ),
    "one_architecture": ("a spec has one architecture", "either model or layers"),
    "stray_arguments": ("arguments go with a model of a library alone", "the family's own fields"),
    "inputs": ("input by name needs two to four names", "words such as query and item"),
    "branch_name": ("a branch's name that is no word", "letters, digits and underscores"),
}


def _fault(kind: str, path: KeyPath, context: dict[str, Any], locator: Locator) -> MistakeError:
    last = str(path[-1]) if path else ""
    if kind == "missing":
        return _missing(path, last, locator)
    if kind == "extra_forbidden":
        return _unknown_key(path[:-1], last, locator)
    if kind in _OWN_CHECKS:
        problem, expected = _OWN_CHECKS[kind]
        return locator.fault(problem, path, expected=expected, found=str(context["found"]))
    if last == "[key]":
        path = path[:-1]
    schema = schema_at(path)
    found = locator.excerpt(path)
    return locator.fault(
        f"wrong value for {_name_of(path)}",
        path,
        expected=in_words(schema) if schema is not None else None,
        found=found,
        hint=_value_hint(schema, found, locator.node(path)),
    )


def _name_of(path: KeyPath) -> str:
    """Name a value by the last key of its path and the numbers behind it."""
    numbers = ""
    for part in reversed(path):
        if isinstance(part, str) and part:
            return f"{part}{numbers}"
        numbers = f"[{part}]{numbers}" if part != "" else numbers
    return "the spec"


def _missing(path: KeyPath, key: str, locator: Locator) -> MistakeError:
    schema = schema_at(path)
    hint = "every spec begins with zeroinit: 1" if path == ("zeroinit",) else None
    description = str(schema.get("description", "")) if schema else ""
    words = in_words(schema) if schema else ""
    return locator.fault(
        f"missing key {key!r}",
        path[:-1],
        expected=f"{words}: {description[0].lower()}{description[1:]}".removesuffix(".")
        if description
        else words,
        hint=hint,
    )


def _unknown_key(path: KeyPath, key: str, locator: Locator) -> MistakeError:
    known = known_keys(path)
    is_item = "repeat" in known
    if is_item:
        kinds = ", ".join(COMBINATIONS)
        expected = f"one of {len(LAYERS)} classes of torch.nn, {kinds}, or name"
    else:
        expected = ", ".join(known) if known else "no key"
    return locator.fault(
        f"unknown {'layer' if is_item else 'key'} {key!r}",
        path,
        key=key,
        expected=expected,
        hint=_space_after_colon(key, known) or near_words(key, known),
    )


def _space_after_colon(key: str, known: Collection[str]) -> str | None:
    """Tell that `Linear:4` is one word in YAML; None where that is not the mistake."""
    name, colon, value = key.partition(":")
    return f"a space after the colon: {name}: {value}" if colon and name in known else None


def _value_hint(schema: dict[str, Any] | None, found: str, node: YamlNode) -> str | None:
    choices = [str(choice) for choice in (schema or {}).get("enum", ())]
    if not choices and schema is not None:
        choices = [str(c) for kind in schema.get("anyOf", ()) for c in kind.get("enum", ())]
    if found.lower() in ("yes", "no", "on", "off"):
        return "in YAML 1.2 these are words; write true or false"
    return near_words(str(node.value), choices) if isinstance(node.value, str) else None


def near_words(wrong: str, known: Iterable[str]) -> str | None:
    """Suggest known words that are near a wrong one; case and underscores do not count."""
    by_lower = {word.lower().replace("_", ""): word for word in sorted(known)}
    matches = difflib.get_close_matches(wrong.lower().replace("_", ""), by_lower, n=3, cutoff=0.7)
    return f"did you mean {' or '.join(by_lower[match] for match in matches)}?" if matches else None
