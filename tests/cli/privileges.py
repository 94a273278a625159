"""Permissions that bind, also where the tests are run by root."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Give up root for a while; what lies outside the current folder may be out of reach."""
    if os.geteuid() != 0:
        yield
        return
    _open_the_way_to(Path.cwd())
    os.setresgid(_NOBODY, _NOBODY, 0)
    os.setresuid(_NOBODY, _NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def _open_the_way_to(folder: Path) -> None:
    """Let anybody pass through the folders above, which pytest closes; they cannot be listed."""
    for parent in folder.parents:
        mode = stat.S_IMODE(parent.stat().st_mode)
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)
