"""Count what judges accept: of the files as they are now, of a lock, of a list of sums."""

import shutil
import subprocess
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from tests.reliability.small import Judge
from zeroinit_cli.errors import LockError
from zeroinit_cli.lock import LockEntry, parse_lock

Change = TypeVar("Change")
_FEW = 25


@dataclass(kw_only=True)
class Row:
    """A class of changes, and what became of them.

    Attributes:
        name: the class, in words.
        tried: how many.
        accepted: by each judge.
        meaningless: of a lock or sidecar: changes of what nobody reads.
    """

    name: str
    tried: int = 0
    accepted: Counter[str] = field(default_factory=Counter)
    meaningless: int = 0

    def ask(self, judging: Mapping[str, Judge]) -> None:
        """Count who accepts what is there now.

        Raises:
            RuntimeError: a judge gave no judgement.
        """
        for name, judge in judging.items():
            code = judge()
            if code not in (0, 1, 2):
                raise RuntimeError(f"{name} ended with {code}")
            self.accepted[name] += code == 0


def some(changes: Iterable[Change], quick: bool) -> list[Change]:
    """All, or a few from everywhere."""
    every = list(changes)
    return every[:: max(len(every) // _FEW, 1)] if quick else every


def check_control(judging: Mapping[str, Judge]) -> None:
    """See that every judge accepts what nobody changed.

    Raises:
        RuntimeError: one does not.
    """
    control = Row(name="no change")
    control.ask(judging)
    if control.accepted.total() != len(judging):
        raise RuntimeError(f"what nobody changed is not accepted: {dict(control.accepted)}")


def judge_lock(
    row: Row,
    lock: Path,
    after: bytes,
    judging: Mapping[str, tuple[Judge, Callable[[LockEntry], Any]]],
) -> None:
    """Edit a lock, ask, and undo it.

    Args:
        row: where it is counted.
        lock: its path.
        after: what it is edited to.
        judging: by name, who is asked, and what he reads of an entry. Who reads nothing else than
            before is not asked; what nobody reads otherwise is of no meaning.
    """
    before = lock.read_bytes()
    assert after != before
    row.tried += 1
    asked = {
        name: judge
        for name, (judge, reads) in judging.items()
        if _read(after, reads) != _read(before, reads)
    }
    row.meaningless += not asked
    lock.write_bytes(after)
    row.ask(asked)
    lock.write_bytes(before)


def all_said(entry: LockEntry) -> Any:
    """All that an entry says but what it was built with, which is for information."""
    return entry.model_dump(exclude={"built_with"})


def _read(lock: bytes, reads: Callable[[LockEntry], Any]) -> Any:
    try:
        return [reads(entry) for entry in parse_lock(lock, "a lock").checkpoint]
    except LockError:
        return None


def digests(sums: bytes) -> set[tuple[bytes, bytes]]:
    """Digest and name of each line; capital digits and the mark of binary files mean the same."""
    lines = sums.splitlines()
    return {(line[:64].lower(), line[64:].replace(b" *", b"  ", 1)) for line in lines}


def by_sha256sum(sums: Path) -> Judge:
    """The tool that everybody has, run in the folder of the list."""

    def judge() -> int:
        words = [str(shutil.which("sha256sum")), "--strict", "--status", "-c", sums.name]
        done = subprocess.run(words, cwd=sums.parent, capture_output=True, check=False)
        return done.returncode

    return judge
