"""Kill writers at random moments, and see that nothing is lost, half written or left behind."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.entries import entry
from tests.reliability.small import SPEC
from zeroinit_cli.files.reading import sha256_of
from zeroinit_cli.lock import read_lock, update_lock

ROOT = Path(__file__).parents[2]
GENERATE = """
import sys
from pathlib import Path
from tests.plans import plan, tensor
from zeroinit_cli.generate import write_files
from zeroinit_cli.lock import update_lock
from tests.entries import entry
from zeroinit_cli.plans import Hadamard

plans = [plan(tensor("a", (rows, 1024), Hadamard(half_exponent=-10))) for rows in (1024, 1025)]
path = Path(sys.argv[1])
print("ready", flush=True)
while True:
    for made in plans:
        result = write_files(made, path, force=True)
        update_lock(path.with_name("zeroinit.lock"), entry(path.name, sha256=result.sha256))
"""
UPDATE = """
import sys
from pathlib import Path
from tests.entries import entry
from zeroinit_cli.lock import update_lock

print("ready", flush=True)
for number in range(1_000_000):
    update_lock(Path(sys.argv[1]), entry(f"b/{number % 7}", sha256=f"{number:064x}"))
"""
COMMAND = "from zeroinit_cli.__main__ import main; print('ready', flush=True); main()"


def start(script: str, *arguments: str | Path) -> subprocess.Popen[bytes]:
    """A child that has said that it is ready."""
    child = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"
    return child


def kill(child: subprocess.Popen[bytes], after: float) -> None:
    """SIGKILL, which nothing can be done about."""
    time.sleep(after)
    child.send_signal(signal.SIGKILL)
    child.communicate()


def killed(folder: Path, moments: int, seed: int) -> str:
    """Kill `generate`'s writing, updates of a lock, and the whole command, in turn.

    Returns:
        what was seen, in a line.

    Raises:
        AssertionError: something was lost, half written, or left after the next run.
    """
    chance = random.Random(seed)
    whole: set[tuple[str, int]] = set()
    litter = 0
    kept = [entry(f"kept/{number}") for number in range(3)]
    lock = folder / "zeroinit.lock"
    for each in kept:
        update_lock(lock, each)
    for number in range(moments):
        _kill_one(folder, number, chance)
        litter += len(_litter(folder))
        if (folder / "a").exists():
            whole.add(sha256_of(folder / "a"))
        _check_lock(lock, [each.path for each in kept])
    assert len(whole) <= 3, "a half written file was seen"
    _finish(folder)
    return (
        f"{moments} kills: {len(whole)} different files seen, each whole; no entry lost; "
        f"litter {litter} times, none after the next run"
    )


def _kill_one(folder: Path, number: int, chance: random.Random) -> None:
    match number % 3:
        case 0:
            kill(start(GENERATE, folder / "a"), chance.uniform(0, 0.25))
        case 1:
            kill(start(UPDATE, folder / "zeroinit.lock"), chance.uniform(0, 0.1))
        case _:
            (folder / "net.yaml").write_text(SPEC)
            words = ("generate", folder / "net.yaml", "-o", folder / "a", "--force")
            kill(start(COMMAND, *words), chance.uniform(0, 2.5))


def _check_lock(lock: Path, kept: Sequence[str]) -> None:
    """What was in the lock before is in it still, and all of it can be read."""
    paths = {each.path for each in read_lock(lock).checkpoint}
    assert set(kept) <= paths, "an entry was lost"


def _litter(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


def _finish(folder: Path) -> None:
    """The next run, of whatever kind, leaves nothing but what it wrote."""
    update_lock(folder / "zeroinit.lock", entry("last"))
    assert _litter(folder) == [], "litter is left"
