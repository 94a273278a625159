"""The error tree, and the one shape that every message has.

ZeroinitError
├── UsageError             an option or argument of ours is wrong
├── SourceError            SOURCE names nothing that can be built
│   ├── UnknownModelError  no such model name
│   ├── ArgumentError      a --set that the builder does not take
│   ├── BuildError         the builder itself refused
│   ├── SpecError          a YAML spec with mistakes
│   └── MistakeError       one of them, with its place; raised within a SpecError alone
├── PlanError              an architecture that cannot be planned
│   └── NoRuleError        tensors that no rule covers
├── ProbeError             a model that cannot be run for a few steps
├── OutputError            what was asked for cannot be written
├── CheckpointError        a file that is not a sound safetensors checkpoint
├── LockError              a lock that cannot be read, trusted or found
└── InputError             a file that cannot be read

Each carries what is wrong, where, and, where they exist, what was expected, what was found, and
what to type or change. They are rendered once, at the edge, by `str()`.
"""

import difflib
import os
import reprlib
import shlex
from collections.abc import Iterable
from pathlib import PurePath

_MOST_LINE = 4000  # characters
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 80


class ZeroinitError(Exception):
    """The base of all errors that a person can cause and mend.

    Args:
        problem: what is wrong, a phrase without a full stop.
        where: the file, tensor, key path or option it is wrong in.
        expected: what would have been right.
        found: what stood there instead.
        hint: what to type or change.
    """

    exit_code = 2

    def __init__(
        self,
        problem: str,
        *,
        where: str | None = None,
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.problem = problem
        self.where = where
        self.expected = expected
        self.found = found
        self.hint = hint
        super().__init__(problem)

    def __str__(self) -> str:
        """Write the whole message, in the shape that docs and tests show."""
        first = f"error: {self.problem}"
        if self.where is not None:
            first += f" in {self.where}"
        lines = [one_line(first)]
        if self.expected is not None:
            lines.append(_indented(f"  expected: {self.expected}"))
        if self.found is not None:
            lines.append(_indented(f"  found: {self.found}"))
        if self.hint is not None:
            lines += ["", _indented(f"hint: {self.hint}")]
        return "\n".join(lines)


class UsageError(ZeroinitError):
    """A wrong option or argument of ours."""


class SourceError(ZeroinitError):
    """A SOURCE that names nothing which can be built."""


class UnknownModelError(SourceError):
    """A name that no model has."""


class ArgumentError(SourceError):
    """A `--set` that the builder does not take."""


class BuildError(SourceError):
    """A refusal by the builder itself."""


class MistakeError(SourceError):
    """One mistake in a YAML spec.

    Args:
        problem: what is wrong, a phrase without a full stop.
        file: the spec, as the user named it.
        line: from 1.
        column: from 1, in characters.
        path: the keys that lead to it, `layers[3].Linear`; empty for the whole.
        expected: what would have been right.
        found: what stood there instead.
        hint: what to type or change.
    """

    def __init__(
        self,
        problem: str,
        *,
        file: str,
        line: int,
        column: int,
        path: str = "",
        expected: str | None = None,
        found: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.file, self.line, self.column, self.path = file, line, column, path
        where = f"{file}:{line}:{column}" + (f": {path}" if path else "")
        super().__init__(problem, where=where, expected=expected, found=found, hint=hint)


class SpecError(SourceError):
    """A YAML spec with mistakes: all that could be told apart, in the order of the file.

    A mistake that aliases or repeats lead to several times is one. Of more than `most_kept` the
    rest is left out, and the message says so.
    """

    most_kept = 1000
    most_shown = 50

    def __init__(self, faults: Iterable[MistakeError]) -> None:
        ordered = sorted(faults, key=lambda fault: (fault.line, fault.column, fault.problem))
        by_facts: dict[tuple[object, ...], MistakeError] = {}
        for mistake in ordered:
            facts = (
                mistake.line,
                mistake.column,
                mistake.problem,
                mistake.expected,
                mistake.found,
                mistake.hint,
            )
            by_facts.setdefault(facts, mistake)
        distinct = tuple(by_facts.values())
        self.faults: tuple[MistakeError, ...] = distinct[: self.most_kept]
        self.complete = len(distinct) <= self.most_kept
        first = self.faults[0]
        super().__init__(
            first.problem,
            where=first.where,
            expected=first.expected,
            found=first.found,
            hint=first.hint,
        )

    def __str__(self) -> str:
        """Write every fault in the shape of all messages, a blank line between."""
        shown = [str(fault) for fault in self.faults[: self.most_shown]]
        more = len(self.faults) - len(shown)
        least = "" if self.complete else "at least "
        return "\n\n".join([*shown, *([f"and {least}{more} more"] if more else [])])


class PlanError(ZeroinitError):
    """An architecture that was built but cannot be planned."""


class NoRuleError(PlanError):
    """Tensors that no rule covers; none is guessed."""


class ProbeError(ZeroinitError):
    """A model that cannot be run for a few steps."""


class OutputError(ZeroinitError):
    """An output that cannot be written."""


class CheckpointError(ZeroinitError):
    """A file that is not a sound safetensors checkpoint."""


class LockError(ZeroinitError):
    """A lock that cannot be read, trusted or found."""


class InputError(ZeroinitError):
    """A file that cannot be read."""


def _indented(text: str) -> str:
    """Indent all lines of a message but the first, whoever wrote them."""
    first, *rest = text.split("\n")
    lines = (line if line.startswith("    ") else f"    {line.lstrip()}" for line in rest)
    return "\n".join(map(one_line, [first.rstrip(), *lines]))


def one_line(text: str, most: int = _MOST_LINE) -> str:
    """Write text as one printable line of at most so many characters, `...` behind a longer one.

    A stranger's name or value can then neither pass for a line of ours nor be endless.
    """
    line = printable(text)
    return line if len(line) <= most else f"{line[:most]}..."


def printable(text: str) -> str:
    """Escape every control and undecodable character of a text.

    Names come from files that strangers made; a terminal must show them, not obey them.
    """
    if text.isprintable():
        return text
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def shown(value: object) -> str:
    """Write a value as Python does, cut short where a stranger made it long or deep."""
    try:
        return _SHORT.repr(value)
    except ValueError:  # Python writes no decimal of more than 4300 digits
        return f"{type(value).__name__} too large to write"


def pasted(path: PurePath) -> str:
    """Quote a path as a word of a shell's command line, for hints that can be pasted."""
    text = str(path)
    return pasted_word(f"./{text}" if text.startswith("-") else text)  # a word, not an option


def pasted_word(text: str) -> str:
    """Quote a word of a shell's command line, for hints that can be pasted."""
    if text.isprintable():
        return shlex.quote(text)
    # A message escapes unprintable characters; only this quotation survives that and pastes well.
    marks = {"'": r"\'", "\\": "\\\\"}
    escaped = (
        marks.get(character, character)
        if character.isprintable()
        else "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
        for character in text
    )
    return f"$'{''.join(escaped)}'"


def near(wrong: str, known: Iterable[str], *, count: int = 3) -> str | None:
    """Write the hint that names what was probably meant; None where nothing is near."""
    matches = difflib.get_close_matches(wrong, sorted(known), n=count, cutoff=0.7)
    return f"did you mean {' or '.join(matches)}?" if matches else None


def reason_of(error: OSError) -> str:
    """Return the operating system's words for an error, without the path, which we name."""
    # os.strerror speaks C-locale English under Python's default locale handling; the message of a
    # hand-made OSError without errno is its own text.
    return os.strerror(error.errno) if error.errno is not None else str(error)


def reason_of_unreadable(error: Exception) -> str:
    """Say why a text could not be parsed, in a line that is the same in all versions of Python."""
    match error:
        case RecursionError():
            return "nested too deeply"
        case UnicodeDecodeError():
            return f"not UTF-8: byte 0x{error.object[error.start]:02x} at {error.start}"
        case UnicodeEncodeError():
            return "a lone surrogate, which is no text"
        case _ if str(error).startswith("Exceeds the limit"):
            return "a number of more than 4300 digits"
    return " ".join(str(error).split())
