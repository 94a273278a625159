"""The words for what verification found: what was locked or planned, and what is there."""

from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.files import sha256_of, size_of
from zeroinit_cli.lock import Locked, LockEntry
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.store.compare import Comparison


def unreproduced_lines(plan: Plan, entry: LockEntry, sha256: str) -> tuple[str, ...]:
    """The locked facts that the plan does not give."""
    from zeroinit_cli.store.stream import plan_size

    facts = (
        ("sha256", entry.sha256, sha256),
        ("size", entry.size, plan_size(plan)),
        ("tensors", entry.tensors, len(plan.tensors)),
    )
    return tuple(
        f"{name}: locked {locked}, derived {derived}"
        for name, locked, derived in facts
        if locked != derived
    )


def spec_lines(source: Source, entry: LockEntry) -> tuple[str, ...]:
    """What to say of a spec that is not the one that was locked."""
    found = source.spec.digest() if source.spec is not None else None
    if found == entry.spec_sha256:
        return ()
    return (f"the spec {entry.source} has changed: locked {entry.spec_sha256}, found {found}",)


def drift_lines(
    plan: Plan,
    entry: LockEntry,
    comparison: "Comparison | None",
    *,
    reproduced: bool,
    changed: bool,
) -> tuple[str, ...]:
    """What can be told of how the plan changed: the lock holds its digest, the file its tensors.

    Args:
        plan: as it is derived now.
        entry: what was locked.
        comparison: of the file with the plan; None if there is no file.
        reproduced: the plan gives the locked bytes all the same.
        changed: the file has other bytes than the locked ones, so it is no witness of what the
            rules were.
    """
    if plan.digest() == entry.plan:
        return ("the plan is the same: lock it again with zeroinit generate",)
    lines = [f"plan: locked {entry.plan}, derived {plan.digest()}"]
    if reproduced:
        return tuple(lines)  # no tensor has other bytes
    if comparison is None:
        lines.append("the file is not there to tell which tensors are concerned")
    elif changed:
        lines.append("the file has changed too, and cannot tell which tensors are concerned")
    else:
        lines += [problem for problem in comparison.problems if problem.startswith("tensor ")]
        lines += [
            f"tensor {difference.info.name!r}: another rule"
            for difference in comparison.differences
        ]
    return tuple(lines)


def changed_lines(
    locked: Locked, comparison: "Comparison | None", *, by_digest: bool
) -> tuple[str, ...]:
    """Where the file is not what was locked: by the lock's digest, or tensor by tensor."""
    if comparison is None:
        return ()
    return hash_lines(locked) if by_digest else comparison_lines(comparison)


def hash_lines(locked: Locked) -> tuple[str, ...]:
    """The locked facts that the file does not have."""
    return digest_lines(locked.path, locked.entry.sha256, locked.entry.size)


def digest_lines(path: Path, expected: str, expected_size: int) -> tuple[str, ...]:
    """The locked facts that a file does not have.

    Raises:
        InputError: it cannot be read.
    """
    size = size_of(path)
    facts: list[tuple[str, object, object]] = [("size", expected_size, size)]
    if size <= expected_size:  # else it has other bytes for certain, and may be endlessly many
        sha256, size = sha256_of(path)
        facts = [("sha256", expected, sha256), ("size", expected_size, size)]
    return tuple(
        f"{name}: locked {recorded}, found {found}"
        for name, recorded, found in facts
        if recorded != found
    )


def comparison_lines(comparison: "Comparison") -> tuple[str, ...]:
    """Where the file differs from the plan, tensor by tensor."""
    lines = list(comparison.problems)
    for difference in comparison.differences:
        count = f"{difference.count} of {difference.info.numel} elements differ"
        first = f"first at {list(difference.index)}"
        values = f"expected {difference.expected}, found {difference.found}"
        lines.append(f"tensor {difference.info.name!r}: {count}, {first}: {values}")
    return tuple(lines)


def steps(drifted: bool, unreproduced: bool, comparison: "Comparison | None") -> tuple[str, ...]:
    """The steps of a verification that held, in words."""
    held = []
    if not drifted:
        held.append("the source gives the locked plan")
    if not unreproduced:
        held.append("the plan gives the locked bytes")
    if comparison is not None and comparison.same and not unreproduced:
        held.append("the file has them")
    return tuple(held)
