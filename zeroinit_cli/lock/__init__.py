"""zeroinit.lock: what each checkpoint was made from, and the digests that prove it.

The whole file is written again from its entries, so that the same entries give the same bytes in
any order of runs. A lock of another `version` is refused. Within a version an unknown key is
refused, so that nothing is ignored that another release meant.

Only reading is offered here: `lock.write` imports libraries that reading does without.
"""

from zeroinit_cli.lock.find import Locked, locked_checkpoints
from zeroinit_cli.lock.read import parse_lock, read_lock
from zeroinit_cli.lock.schema import (
    LOCK_NAME,
    OWN_FOLDER,
    Lock,
    LockedShard,
    LockEntry,
    make_entry,
)

__all__ = [
    "LOCK_NAME",
    "OWN_FOLDER",
    "Lock",
    "LockEntry",
    "Locked",
    "LockedShard",
    "locked_checkpoints",
    "make_entry",
    "parse_lock",
    "read_lock",
]
