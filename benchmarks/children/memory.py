"""The largest resident set since a moment of one's choice; Linux only, None elsewhere."""

import re
from pathlib import Path

_CLEAR = Path("/proc/self/clear_refs")
_STATUS = Path("/proc/self/status")
_RESET_PEAK = "5"  # proc(5): the peak becomes what is resident now


def reset_peak() -> int | None:
    """Forget this process's earlier peak.

    Returns:
        bytes resident now; None where the system cannot do it.
    """
    try:
        _CLEAR.write_text(_RESET_PEAK)
    except OSError:
        return None
    return peak()


def peak() -> int | None:
    """Most bytes that were resident since `reset_peak`, or None."""
    try:
        found = re.search(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def growth(before: int | None) -> int | None:
    """How far the peak lies above what `reset_peak` returned, in bytes, or None."""
    after = peak()
    return None if before is None or after is None else after - before
