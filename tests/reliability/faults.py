"""Kill writers at random moments, and see that nothing is lost, half written or left behind."""

import os
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.entries import entry
from tests.plans import plan, tensor
from tests.reliability.folder_faults import FolderSeen, Shards
from tests.reliability.small import SPEC, answered, command
from zeroinit_cli.commands.generate import write_plan
from zeroinit_cli.commands.location import Location
from zeroinit_cli.filenames import sha256sum_line
from zeroinit_cli.files import sha256_of
from zeroinit_cli.lock import read_lock
from zeroinit_cli.lock.write import update_lock
from zeroinit_cli.plans.rules import Hadamard
from zeroinit_cli.store.stream import plan_sha256

LARGE, SMALL, LOCK = Path("large.safetensors"), Path("small.safetensors"), Path("zeroinit.lock")
KEPT = ("kept/0", "kept/1", "kept/2")
PLANS = [plan(tensor("a", (rows, 1024), Hadamard(half_exponent=-10))) for rows in (1024, 1025)]
POLICIES = ("default", "paper")


@dataclass
class Seen:
    """What there was after the kills.

    Attributes:
        kills: how many.
        litter: after how many a part or a guard was left.
        new: after how many a file was another than before.
        behind: after how many the sidecar was still that of the file before.
        folder: what there was in the folder with shards.
    """

    kills: int = 0
    litter: int = 0
    new: int = 0
    behind: int = 0
    whole: dict[Path, str] = field(default_factory=dict)
    folder: FolderSeen = field(default_factory=FolderSeen)

    def __str__(self) -> str:
        """What to print of it."""
        return (
            f"{self.kills} kills: every file whole, no entry lost; after {self.new} a file was the "
            f"new one, after {self.behind} its sidecar still the old one's, after {self.litter} "
            f"there was litter, which the next run cleared\n{self.folder}"
        )


def write_large() -> None:
    """Two checkpoints of 4 MB in turn, each with its sidecar and its entry."""
    for made in PLANS:
        result = write_plan(made, Location(path=LARGE), force=True)
        update_lock(LOCK, entry(LARGE.name, sha256=result.sha256))


def write_entries() -> None:
    """Entries of a lock, one after another."""
    for number in range(20):
        update_lock(LOCK, entry(f"other/{number % 7}", sha256=f"{number:064x}"))


def run_commands() -> None:
    """The command itself, with other bytes each time."""
    for policy in POLICIES:
        code = command("generate", "net.yaml", "-o", str(SMALL), "--force", "--policy", policy)
        if code:
            raise RuntimeError(f"generate ended with {code}")


WRITERS = (write_large, write_entries, run_commands)
"""And one more, which writes shards."""


def killed(folder: Path, moments: int, seed: int = 0) -> Seen:
    """Kill each of the writers in turn, as often as asked, at moments of a seed.

    Raises:
        AssertionError: something was lost, half written, or left after the next run.
    """
    os.chdir(folder)
    Path("net.yaml").write_text(SPEC)
    for path in KEPT:
        update_lock(LOCK, entry(path))
    known, shards = _known(), Shards.of_commands()
    writers = [*WRITERS, shards.write]
    lasts = [_seconds(writer) for writer in writers]
    chance, seen = random.Random(seed), Seen()
    for number in range(moments):
        which = number % len(writers)
        _kill(_forked(writers[which]), chance.uniform(0, 1.2 * lasts[which]))
        _look(seen, known)
        if writers[which] == shards.write:
            shards.look(seen.folder)
    return seen


def _known() -> dict[Path, set[str]]:
    """The digests that each file may have: anything else is half of one."""
    digests = {answered("digest", "net.yaml", "--policy", each)[1].split()[0] for each in POLICIES}
    return {LARGE: {plan_sha256(made) for made in PLANS}, SMALL: digests}


def _seconds(writer: Callable[[], None]) -> float:
    writer()  # imports what it needs, which a moment should not fall into
    began = time.monotonic()
    writer()
    return time.monotonic() - began


def _forked(writer: Callable[[], None]) -> int:
    sys.stdout.flush()
    number = os.fork()
    if number == 0:
        try:
            while True:
                writer()
        finally:
            os._exit(1)
    return number


def _kill(number: int, after: float) -> None:
    time.sleep(after)
    os.kill(number, signal.SIGKILL)
    _, status = os.waitpid(number, 0)
    assert os.WIFSIGNALED(status), "the writer ended by itself"


def _look(seen: Seen, known: dict[Path, set[str]]) -> None:
    seen.kills += 1
    for path, digests in known.items():
        digest, _ = sha256_of(path)
        assert digest in digests, f"{path} is neither the old file nor the new one"
        sidecar = Location(path=path).sha256sum_file.read_bytes()
        assert sidecar in {sha256sum_line(path.name, each) for each in digests}, "half a sidecar"
        seen.new += seen.whole.get(path) not in (None, digest)
        seen.whole[path] = digest
        seen.behind += sidecar != sha256sum_line(path.name, digest)
    entries = {each.path: each for each in read_lock(LOCK).checkpoint}
    assert set(KEPT) <= entries.keys(), "an entry was lost"
    assert entries[str(LARGE)].sha256 in known[LARGE]
    seen.litter += bool(_litter())
    update_lock(LOCK, entry("next"))
    assert not _litter(), "the next run left what the killed one did not clear"


def _litter() -> list[str]:
    return sorted(path.name for path in Path().iterdir() if path.name.startswith("."))
