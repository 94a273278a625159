"""A spec's text with defaults filled in; comments, order and layout stay as they are.

Edits are insertions into the text, at the places that the tree knows: behind the last entry of a
block mapping, before the brace of a flow mapping, around a value that stands for a mapping.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from zeroinit_cli.spec.scalars import resolve
from zeroinit_cli.spec.spec import Spec, canonical
from zeroinit_cli.spec.tree import Node

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_ANCHOR = re.compile(r"&\S+\s+")


def filled_in(spec: Spec) -> str:
    """The spec's text, defaults filled in; what follows from other values is left to follow."""
    edits = _Edits(text=spec.text)
    data = canonical(spec.document)
    if "input" not in spec.root.value and "input" in data:
        data = {"input": data.pop("input"), **data}
    edits.fill(spec.root, data)
    return edits.applied()


@dataclass(kw_only=True)
class _Edits:
    """Insertions and replacements, by where they start."""

    text: str
    replacements: dict[int, tuple[int, str]] = field(default_factory=dict)
    seen: set[int] = field(default_factory=set)

    def applied(self) -> str:
        """The text with every edit made, the last first, so that the others stay in place."""
        text = self.text
        for start, (end, words) in sorted(self.replacements.items(), reverse=True):
            text = text[:start] + words + text[end:]
        return text

    def fill(self, node: Node, data: Any) -> None:
        """Bring a node up to the data that it stands for; one with several aliases once."""
        if id(node) in self.seen:
            return
        self.seen.add(id(node))
        if isinstance(data, dict):
            self._fill_mapping(node, data)
        elif isinstance(data, list) and node.is_sequence:
            self._fill_entries(node, data)

    def _fill_entries(self, node: Node, data: list[Any]) -> None:
        for inner, each in zip(node.value, data, strict=True):
            self.fill(inner, each)

    def _fill_mapping(self, node: Node, data: dict[str, Any]) -> None:
        if node.is_mapping:
            missing = {key: value for key, value in data.items() if key not in node.value}
            for key, inner in node.value.items():
                if key in data:
                    self.fill(inner, data[key])
            if missing:
                self._insert(node, missing)
        elif node.is_sequence:  # it stands for one of the mapping's entries
            self._fill_list(node, data)
        elif any(value for value in data.values()):
            self._replace(node, data)

    def _fill_list(self, node: Node, data: dict[str, Any]) -> None:
        """A list where the data has a mapping: branches, layers alone, or a first argument."""
        if all(key.isdecimal() for key in data):
            self._fill_entries(node, [data[key] for key in sorted(data, key=int)])
        elif "layers" in data:
            self._fill_entries(node, data["layers"])
        elif len(data) > 1:
            self._replace(node, data)

    def _replace(self, node: Node, data: dict[str, Any]) -> None:
        """A value alone: a layer's first argument, a class name, or nothing behind one."""
        words = self.text[node.start : node.end].rstrip()
        if not words and not self.text[: node.start].endswith(":"):
            return  # nothing behind `? key`, which has no place to write to
        anchor = match[0] if (match := _ANCHOR.match(words)) else ""
        if isinstance(node.value, str) and node.value in data:  # `- GELU`
            inner = f"{node.value}: {as_flow(data[node.value])}"
            new = f"{anchor}{{{inner}}}" if anchor else inner
        else:
            new = f"{anchor}{as_flow(data)}"
            if not words:
                new = f" {new}"
        self.replacements[node.start] = node.start + len(words), new

    def _insert(self, node: Node, missing: dict[str, Any]) -> None:
        entries = [f"{key}: {as_flow(value)}" for key, value in missing.items()]
        if node.flow:
            brace = node.end - 1
            before = self.text[:brace].rstrip()
            comma = "" if before.endswith(("{", ",")) else ", "
            self.replacements[brace] = brace, f"{comma}{', '.join(entries)}"
            return
        column = self._column(node)
        end = self._last_line(node)
        lines = "".join(
            f"\n{' ' * column}{key}: {as_flow(value)}" for key, value in missing.items()
        )
        if end in self.replacements:  # an inner mapping ends on the same line, and comes first
            lines = self.replacements[end][1] + lines
        self.replacements[end] = end, lines

    def _column(self, node: Node) -> int:
        """Of the mapping's keys; its own start may be that of an anchor."""
        own = [place for key, place in node.keys.items() if self._is_own(node, place)]
        return min(own)[1] - 1 if own else node.column - 1

    @staticmethod
    def _is_own(node: Node, place: tuple[int, int]) -> bool:
        """Whether a key stands here, and was not merged from elsewhere."""
        return place[0] >= node.line

    def _last_line(self, node: Node) -> int:
        """Index of the end of the line on which a block mapping ends, its comment included."""
        last = len(self.text[: node.end].rstrip())
        line_start = max(self.text.rfind("\n", 0, last), self.text.rfind("\r", 0, last)) + 1
        while line_start > node.start and self._is_comment(line_start):
            last = len(self.text[:line_start].rstrip())
            line_start = max(self.text.rfind("\n", 0, last), self.text.rfind("\r", 0, last)) + 1
        found = re.compile(r"[\r\n]|\Z").search(self.text, last)
        return found.start() if found else len(self.text)

    def _is_comment(self, index: int) -> bool:
        return self.text[index:].lstrip(" ").startswith("#")


def as_flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {as_flow(each)}' for key, each in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(as_flow, value))}]"
    if isinstance(value, str):
        plain = _PLAIN.fullmatch(value) and isinstance(resolve(value), str)
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, float):
        text = repr(value)
        return re.sub(r"^(-?\d+)e", r"\1.0e", text)  # a dot, for readers of YAML 1.1
    return json.dumps(value)
