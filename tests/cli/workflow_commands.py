"""Workflow commands as GitHub's runner reads them."""

import re
from dataclasses import dataclass

_ESCAPES = {"%0D": "\r", "%0A": "\n", "%3A": ":", "%2C": ","}  # and last of all %25


@dataclass(frozen=True)
class Annotation:
    """One command: its name, its properties, its message."""

    level: str
    properties: dict[str, str]
    message: str


def annotations(text: str) -> list[Annotation]:
    """The commands among lines, read by the rules of actions/runner's ActionCommand.TryParseV2."""
    found = []
    for line in text.split("\n"):
        if not line.lstrip().startswith("::"):
            assert "##[" not in line  # the runner's first syntax, which it finds anywhere
            continue
        command = line.lstrip()[2:]
        head, _, data = command.partition("::")
        name, _, listed = head.partition(" ")
        pairs = (each.partition("=") for each in listed.split(",") if each)
        properties = {
            key: _unescaped(value, ("%0D", "%0A", "%3A", "%2C")) for key, _, value in pairs
        }
        found.append(Annotation(name, properties, _unescaped(data, ("%0D", "%0A"))))
    return found


def _unescaped(text: str, escapes: tuple[str, ...]) -> str:
    for escape in escapes:
        text = re.sub(escape, _ESCAPES[escape], text)
    return text.replace("%25", "%")
