"""A writer of a folder with shards, to be killed, and what must hold of the folder afterwards."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.reliability.small import answered
from zeroinit_cli.atomic import move
from zeroinit_cli.commands import exchange
from zeroinit_cli.filenames import INDEX, MODEL, is_of_family
from zeroinit_cli.lock import LOCK_NAME

FOLDER, DOING = Path("folder"), Path("doing")
COMMANDS = tuple(
    (*options, "--max-shard-size", size)
    for size in ("300", "200", "5GB")
    for options in (("--policy", "default"), ("--policy", "paper", "--override", "*=ones"))
)
"""In turn: the same files, each with other bytes; other files; and one without an index."""
SLOW = 0.005  # seconds before a file is moved to its place, so that moments fall between two moves
Files = Mapping[str, bytes]


@dataclass
class FolderSeen:
    """What there was after the kills.

    Attributes:
        kills: how many.
        whole: after how many a loader would have found a whole checkpoint.
        behind: after how many of these the lock had still, or had lost, another.
        mixed: after how many the files, without an index, were not those of one command.
    """

    kills: int = 0
    whole: int = 0
    behind: int = 0
    mixed: int = 0

    def __str__(self) -> str:
        """What to print of it."""
        return (
            f"{self.kills} of them of a folder with shards: no mixture for a loader to take, and "
            f"the same command mended all; after {self.whole} the folder was whole, in "
            f"{self.behind} of these the lock was another's; after {self.kills - self.whole} there "
            f"was no index, and in {self.mixed} of these the files were of two checkpoints"
        )


@dataclass(frozen=True)
class Shards:
    """What each of the commands leaves in its folder."""

    made: tuple[Files, ...]

    @classmethod
    def of_commands(cls) -> "Shards":
        """Run each by itself."""
        made = []
        for options in COMMANDS:
            _run(options)
            made.append({path.name: path.read_bytes() for path in FOLDER.iterdir()})
            shutil.rmtree(FOLDER)
        return cls(made=tuple(made))

    def write(self) -> None:
        """All commands in turn, each of which first says that it is the one."""
        for number, options in enumerate(COMMANDS):
            said = DOING.with_suffix(".next")
            said.write_text(str(number))
            said.replace(DOING)
            with patch.object(exchange, "move", _slow_move):
                _run(options)

    def look(self, seen: FolderSeen) -> None:
        """See what there is, and that the command that was killed mends it.

        Raises:
            AssertionError: a file is no whole one, a loader would take a mixture for a whole, the
                lock is not one of a command, or something is left after the next run.
        """
        seen.kills += 1
        there = {path.name: path.read_bytes() for path in FOLDER.iterdir() if path.is_file()}
        lock = there.get(LOCK_NAME)
        self._check_pieces(there)
        parts = {name: data for name, data in there.items() if is_of_family(name)}
        wholes = [_parts(files) == parts for files in self.made]
        if any(wholes):
            seen.whole += 1
            seen.behind += self.made[wholes.index(True)][LOCK_NAME] != lock
        else:
            assert INDEX not in parts, "a loader would take a mixture for a whole"
            assert MODEL not in parts, "a loader would take one of two"
            seen.mixed += not any(parts.items() <= files.items() for files in self.made)
        killed = int(DOING.read_text())
        _run(COMMANDS[killed])
        left = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
        assert left == self.made[killed], "the same command again did not mend all"
        for options in ((), ("--hash-only",)):
            code, told = answered("verify", str(FOLDER), *options)
            assert code == 0, told

    def _check_pieces(self, there: Files) -> None:
        """Each file by itself is whole, be it of this command or of that."""
        for name, data in there.items():
            if not name.startswith("."):
                known = [files[name] for files in self.made if name in files]
                assert data in known, f"half of {name}"


def _slow_move(source: Path, target: Path) -> None:
    time.sleep(SLOW)
    move(source, target)


def _parts(files: Files) -> Files:
    return {name: data for name, data in files.items() if is_of_family(name)}


def _run(options: tuple[str, ...]) -> None:
    code, told = answered("generate", "net.yaml", "-o", f"{FOLDER}/", "--force", *options)
    if code:
        raise RuntimeError(f"generate ended with {code}: {told}")
