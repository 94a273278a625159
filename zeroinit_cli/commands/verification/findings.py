"""What verification found of one checkpoint."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.errors import ZeroinitError

if TYPE_CHECKING:
    from zeroinit_cli.store.differences import TensorDifference


class Outcome(StrEnum):
    """What can be wrong with a checkpoint."""

    DRIFTED = "drifted"
    UNREPRODUCED = "unreproduced"
    CHANGED = "changed"
    MISSING = "missing"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing that does not hold, and what explains it.

    Attributes:
        outcome: what it is.
        lines: in words.
        differences: the tensors that the lines tell of, for programs.
    """

    outcome: Outcome
    lines: tuple[str, ...]
    differences: "tuple[TensorDifference, ...]" = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Cause:
    """What has probably happened to a checkpoint: a guess, and told as one.

    Attributes:
        kind: a word for programs, stable between releases.
        text: a phrase that can follow "probably".
        hint: what to type or look at, where something helps.
    """

    kind: str
    text: str
    hint: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verified:
    """What was checked of one checkpoint, and what was found.

    Attributes:
        path: the checkpoint.
        checked: the steps that were taken and held, in words.
        findings: what does not hold; empty if all does.
        causes: what has probably happened, the likeliest first; empty where nothing can be told.
        lock: that records it, if one does.
        line: where in the lock its entry begins.
    """

    path: Path
    checked: tuple[str, ...]
    findings: tuple[Finding, ...]
    causes: tuple[Cause, ...] = ()
    lock: Path | None = None
    line: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Unanswered:
    """A checkpoint of which nothing can be said, and why."""

    path: Path
    error: ZeroinitError
    lock: Path | None = None
    line: int | None = None
