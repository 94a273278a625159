"""The tree of a YAML text: plain values that know their place in the file. No tags, no code.

PyYAML scans and parses; this module decides what the events mean. Scalars follow YAML 1.2's core
schema, as in editors: `1e-5` is a number and `no` is a word. Keys are words and stand once, aliases
and merge keys are followed, and limits bound all of it. The parser is PyYAML's own in Python, never
libyaml's, so that every message is the same everywhere.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

from zeroinit_cli.errors import MistakeError, SpecError
from zeroinit_cli.spec.yaml_text import (
    YamlScalar,
    decode,
    position_of,
    refuse_tabs,
    resolve,
    single_fault,
)

_TAG = re.compile(r"![^\s,\[\]{}]*")
MOST_DEPTH = 100
MOST_NODES = 50_000
"""Values in a spec, each counted as often as aliases repeat it."""


@dataclass(slots=True)
class YamlNode:
    """A value of a YAML text and its place.

    Attributes:
        value: a scalar, a list of nodes, or a dict of nodes by key.
        start: index of its first character; its anchor belongs to it.
        end: index behind its last character; for block collections behind trailing space.
        line: of its first character, from 1.
        column: of its first character, from 1.
        flow: written in brackets or braces, or quoted.
        keys: for a mapping, where each key stands: (line, column).
        size: nodes in it, itself included, as often as aliases repeat them.
    """

    value: Any
    start: int
    end: int
    line: int
    column: int
    flow: bool = False
    keys: dict[str, tuple[int, int]] = field(default_factory=dict)
    size: int = 1

    @property
    def is_mapping(self) -> bool:
        """Whether it is a mapping."""
        return isinstance(self.value, dict)

    @property
    def is_sequence(self) -> bool:
        """Whether it is a list."""
        return isinstance(self.value, list)

    def plain(self) -> Any:
        """Return the value without places."""
        if isinstance(self.value, dict):
            return {key: node.plain() for key, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


def parse_tree(data: bytes, file: str) -> YamlNode:
    """Parse a YAML document into a tree.

    Args:
        data: the file's bytes.
        file: what messages call it.

    Raises:
        SpecError: the bytes are no YAML that this language allows.
    """
    text = decode(data, file)
    refuse_tabs(text, file)
    parser = _Parser(text, file)
    root = parser.document()
    if parser.faults:
        raise SpecError(parser.faults)
    return root


class _Parser:
    """A builder of the tree from PyYAML's events; `MOST_DEPTH` bounds the recursion."""

    def __init__(self, text: str, file: str):
        self.faults: list[MistakeError] = []
        self._text, self._file = text, file
        self._events: Iterator[Any] = self._parse()
        # None: the anchored node is still open, so an alias of it would be endless
        self._anchors: dict[str, YamlNode | None] = {}
        self._total = 0

    def _parse(self) -> Iterator[Any]:
        try:
            yield from yaml.parse(self._text, Loader=yaml.SafeLoader)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
            words = " ".join(filter(None, (error.context, error.problem)))
            if "'\\t'" in words:  # it is YAML, but yaml/pyyaml#450
                raise single_fault(
                    "a tab that PyYAML cannot read here",
                    self._file,
                    line,
                    column,
                    expected="a space",
                ) from error
            raise single_fault("not YAML", self._file, line, column, found=words) from error
        except yaml.reader.ReaderError as error:
            line, column = position_of(self._text, int(error.position))
            character = self._text[int(error.position)]
            found = f"the character U+{ord(character):04X}"
            raise single_fault("not YAML", self._file, line, column, found=found) from error

    def document(self) -> YamlNode:
        """Return the one document of the file."""
        next(self._events)  # the stream starts
        event = next(self._events)
        if isinstance(event, yaml.StreamEndEvent):
            raise single_fault(
                "an empty file", self._file, 1, 1, expected="a spec: zeroinit: 1, ..."
            )
        root = self._node(next(self._events), 1)
        next(self._events)  # the document ends
        event = next(self._events)
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._stop("a second document", event, expected="one spec a file")
        return root

    def _node(self, event: Any, depth: int) -> YamlNode:
        if depth > MOST_DEPTH:
            raise self._stop("nested too deep", event, expected=f"at most {MOST_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._count(self._alias(event), event)
        mark = event.start_mark
        if event.tag is not None:
            written = _TAG.search(self._text, mark.index)
            found = written[0] if written else event.tag
            self._fault("a tag", event, expected="plain values", found=shorten(found))
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = YamlNode(
            value=None, start=mark.index, end=mark.index, line=mark.line + 1, column=mark.column + 1
        )
        if isinstance(event, yaml.ScalarEvent):
            node.end, node.flow = _end_of(event), event.style is not None
            node.value = event.value if event.style is not None else self._scalar(event)
        else:
            node.flow = bool(event.flow_style)
            if isinstance(event, yaml.SequenceStartEvent):
                self._fill_sequence(node, depth)
            else:
                self._fill_mapping(node, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return self._count(node, event)

    def _count(self, node: YamlNode, event: Any) -> YamlNode:
        own = 1 if not isinstance(event, yaml.AliasEvent) else node.size
        self._total += own
        if self._total > MOST_NODES or node.size > MOST_NODES:
            expected = f"at most {MOST_NODES} values, each counted as often as aliases repeat it"
            raise self._stop("too many values", event, expected=expected)
        return node

    def _alias(self, event: Any) -> YamlNode:
        node = self._anchors.get(event.anchor)
        if node is not None:
            return node
        if event.anchor in self._anchors:
            raise self._stop(f"*{event.anchor} stands inside itself", event)
        known = ", ".join(f"&{name}" for name in sorted(self._anchors)) or None
        raise self._stop(f"no anchor &{event.anchor} before this alias", event, expected=known)

    def _fill_sequence(self, node: YamlNode, depth: int) -> None:
        node.value = []
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            item = self._node(event, depth + 1)
            node.value.append(item)
            node.size += item.size
        node.end = _end_of(event)

    def _fill_mapping(self, node: YamlNode, depth: int) -> None:
        node.value = {}
        merged: list[YamlNode] = []
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            key = self._key(event, depth)
            value = self._node(next(self._events), depth + 1)
            node.size += value.size
            place = event.start_mark.line + 1, event.start_mark.column + 1
            if key == "<<" and event.style is None:
                merged += self._mergeable(value, event)
            elif key is not None and key in node.value:
                line, column = node.keys[key]
                self._fault(f"{key} stands twice", event, found=f"also at {line}:{column}")
            elif key is not None:
                node.value[key] = value
                node.keys[key] = place
        for other in merged:  # the mapping's own key wins, then the first merged mapping
            for key, value in other.value.items():
                node.value.setdefault(key, value)
                node.keys.setdefault(key, other.keys[key])
        node.end = _end_of(event)

    def _key(self, event: Any, depth: int) -> str | None:
        if isinstance(event, yaml.ScalarEvent):
            value = event.value if event.style is not None else self._scalar(event)
            if isinstance(value, str) and event.tag is None and event.anchor is None:
                return value
            self._fault("a key that is no plain word", event, found=_excerpt(event, self._text))
            return None
        self._fault("a key that is no plain word", event, expected="letters, such as num_classes")
        self._node(event, depth + 1)
        return None

    def _mergeable(self, value: YamlNode, event: Any) -> list[YamlNode]:
        found = value.value if value.is_sequence else [value]
        if all(node.is_mapping for node in found):
            return list(found)
        self._fault("<< merges mappings alone", event, expected="an alias of a mapping, or several")
        return []

    def _scalar(self, event: Any) -> YamlScalar:
        value = resolve(event.value)
        if isinstance(value, int) and not -(2**63) <= value < 2**63:
            self._fault("a number beyond 64 bits", event, found=_excerpt(event, self._text))
            return 0
        return value

    def _fault(
        self, problem: str, event: Any, *, expected: str | None = None, found: str | None = None
    ) -> None:
        mark = event.start_mark
        fault = MistakeError(
            problem,
            file=self._file,
            line=mark.line + 1,
            column=mark.column + 1,
            expected=expected,
            found=found,
        )
        self.faults.append(fault)

    def _stop(self, problem: str, event: Any, *, expected: str | None = None) -> SpecError:
        """Make the error that ends the parse, with the faults that were found before."""
        self._fault(problem, event, expected=expected)
        return SpecError(self.faults)


def _end_of(event: Any) -> int:
    """Return the index behind an event; PyYAML's types allow no mark, but its parser sets one."""
    return int(event.end_mark.index)


def _excerpt(event: Any, text: str) -> str:
    return shorten(text[event.start_mark.index : event.end_mark.index])


def shorten(text: str, most: int = 60) -> str:
    """Cut a text so that a message can quote it."""
    return text if len(text) <= most else f"{text[:most]}..."
