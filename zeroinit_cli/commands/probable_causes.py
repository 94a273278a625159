"""What has probably happened to a checkpoint that fails verification: a guess from its bytes.

There is at most one guess about the lock and one about the files. Each costs at most one pass over
the files. Nothing is guessed where verification finds nothing.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zeroinit_cli.commands.file_damage import damage, shortened
from zeroinit_cli.commands.findings import Cause, Finding, Outcome
from zeroinit_cli.commands.foreign_files import foreign
from zeroinit_cli.commands.location import Location
from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import CheckpointError, InputError, ZeroinitError
from zeroinit_cli.filenames import CONFIG
from zeroinit_cli.lock import LockEntry
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.text import listed

if TYPE_CHECKING:
    from zeroinit_cli.commands.checked_files import CheckedFile, Derived
    from zeroinit_cli.store.diff import Difference
    from zeroinit_cli.store.read import StoredCheckpoint

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
_COUNTER = "num_batches_tracked"


def probable_causes(
    location: Location,
    findings: Iterable[Finding],
    files: "Sequence[CheckedFile]",
    derived: "Derived | None",
    entry: LockEntry | None,
) -> tuple[Cause, ...]:
    """Guess what has happened to the lock and to the files.

    A guess that fails is left out; the findings do not depend on it.

    Args:
        location: of the checkpoint.
        findings: what does not hold.
        files: as they were checked.
        derived: what the source gives; None if only digests were compared.
        entry: of the lock, if there is one.
    """
    outcomes = {finding.outcome for finding in findings}
    causes: list[Cause | None] = []
    with suppress(ZeroinitError, MemoryError):
        causes.append(_cause_of_lock(outcomes, derived, entry))
    with suppress(ZeroinitError, MemoryError):
        causes.append(_cause_of_files(location, outcomes, files, derived))
    return tuple(cause for cause in causes if cause is not None)


def _cause_of_lock(
    outcomes: Collection[Outcome], derived: "Derived | None", entry: LockEntry | None
) -> Cause | None:
    """Guess why the lock does not agree with its source."""
    if entry is None or derived is None:
        return None
    if Outcome.DRIFTED in outcomes:
        if derived.source.digests() != entry.source_digests():
            return None  # a finding says so already
        return (
            _other_versions(entry, derived.source.versions())
            if derived.plan.digest() != entry.plan
            else None
        )
    same = derived.comparisons.keys() == derived.plans.keys() and all(
        comparison.same for comparison in derived.comparisons.values()
    )
    if Outcome.UNREPRODUCED not in outcomes or not same:
        return None
    return Cause(
        kind="lock-edited",
        text="the lock was edited or merged wrongly: "
        + ("the shards have" if entry.shard else "the file has")
        + " the bytes of the plan",
        hint="zeroinit generate records them again",
    )


def _other_versions(entry: LockEntry, here: Mapping[str, str]) -> Cause | None:
    changed = [
        f"{name} {was} then, {here[name]} now"
        for name, was in sorted(entry.built_with.items())
        if name in here and here[name] != was
    ]
    if not changed:
        return None
    return Cause(
        kind="other-versions",
        text=f"another version builds another net: {', '.join(changed)}",
        hint="install the versions of then, or lock the checkpoint again",
    )


def _cause_of_files(
    location: Location,
    outcomes: Collection[Outcome],
    files: "Sequence[CheckedFile]",
    derived: "Derived | None",
) -> Cause | None:
    """Guess from the bytes of each file, else from the tensors of all files."""
    changed = [
        file for file in files if file.lines and not file.elsewhere and file.expected.name != CONFIG
    ]
    guesses = [(file.expected.name, _cause_of_file(file, derived)) for file in changed]
    cause = _first(guesses, named=location.own_folder)
    if cause is not None or derived is None or Outcome.UNREPRODUCED in outcomes:
        return cause  # today's plan is not what the files were made from
    if location.own_folder:
        return _cause_of_folder(location.folder, derived)
    for file in changed:
        if file.comparison is not None and file.comparison.sound and file.comparison.difference:
            return _cause_of_tensors(derived.plan, file.comparison.difference)
    return None


def _cause_of_file(file: "CheckedFile", derived: "Derived | None") -> Cause | None:
    cause = None
    with suppress(InputError):  # the file is no longer there
        cause = foreign(file.path, file.expected.sha256)
        cause = cause or shortened(file.path, file.expected.size)
    if cause is not None or derived is None or file.comparison is None:
        return cause
    return damage(file.path, derived.plans[file.expected.name], file.comparison)


def _first(guesses: Iterable[tuple[str, Cause | None]], *, named: bool) -> Cause | None:
    """Take the first guess; if `named`, add the files that the same has happened to."""
    told = [(name, cause) for name, cause in guesses if cause is not None]
    if not told:
        return None
    first, cause = told[0]
    if not named:
        return cause
    more = sum((other.kind, other.hint) == (cause.kind, cause.hint) for _, other in told[1:])
    names = f"{first} and {more} more" if more else first
    return replace(cause, text=f"{names}: {cause.text}")


def _cause_of_folder(folder: Path, derived: "Derived") -> Cause | None:
    """Guess from the tensors of a folder, whatever files they lie in."""
    from zeroinit_cli.store.diff import diff, planned_contents, stored_contents
    from zeroinit_cli.store.read import read_checkpoint

    try:
        stored = read_checkpoint(folder)
    except CheckpointError:
        return None
    difference = diff(planned_contents("", derived.plan), stored_contents(stored))
    return _split_otherwise(stored, difference, derived) or _cause_of_tensors(
        derived.plan, difference
    )


def _split_otherwise(
    stored: "StoredCheckpoint", difference: "Difference", derived: "Derived"
) -> Cause | None:
    """Detect that all tensors are right, but lie in other files than planned."""
    if not difference.same_form or difference.differing:
        return None
    planned = {
        tensor.info.name: name for name, plan in derived.plans.items() for tensor in plan.tensors
    }
    found = {tensor.info.name: stored.files[tensor.file].path.name for tensor in stored.tensors}
    moved = sum(planned[name] != file for name, file in found.items())
    if not moved:
        return None
    return Cause(
        kind="other-split",
        text=f"split otherwise: all tensors are right, but {moved} of {len(found)} lie in other "
        "files than planned",
        hint="zeroinit generate --force writes the locked files",
    )


def _cause_of_tensors(plan: Plan, difference: "Difference") -> Cause | None:
    guesses: tuple[Callable[[Plan, Difference], Cause | None], ...] = (
        _wrapped,
        _ties_left_out,
        _run_in_training_mode,
        _trained,
        _another_model,
    )
    causes = (guess(plan, difference) for guess in guesses)
    return next((cause for cause in causes if cause is not None), None)


def _wrapped(plan: Plan, difference: "Difference") -> Cause | None:
    """Detect a wrapper: every name begins with the wrapper's attribute."""
    planned, found = difference.only_a, difference.only_b
    if not found or not len(found) == len(planned) == len(plan.tensors):
        return None
    prefix = found[0].name.removesuffix(planned[0].name)
    if [replace(info, name=f"{prefix}{info.name}") for info in planned] != list(found):
        return None
    return Cause(
        kind="wrapped",
        text=f"saved from a module that wraps the model: every name begins with {prefix!r}",
        hint="save the state dict of the inner module",
    )


def _ties_left_out(plan: Plan, difference: "Difference") -> Cause | None:
    """Detect that only tensors are missing that are there under their other name."""
    tied = {tensor.info.name: tensor.tied_to for tensor in plan.tensors if tensor.tied_to}
    missing = [info.name for info in difference.only_a]
    if not missing or difference.only_b or len(missing) == len(plan.tensors):
        return None
    if not set(missing) <= {*tied, *tied.values()}:
        return None
    return Cause(
        kind="ties-left-out",
        text="saved by safetensors.torch.save_model, which leaves out tensors that are tied to "
        f"others: {', '.join(missing)}",
    )


def _run_in_training_mode(plan: Plan, difference: "Difference") -> Cause | None:
    """Detect a run without an optimizer's step: only statistics of batch norms differ."""
    names = [tensor.info.name for tensor in difference.differing]
    if not difference.same_form or not names or not all(map(_is_statistic, names)):
        return None
    return Cause(
        kind="statistics",
        text="run in training mode without a step of an optimizer: only statistics of batch norms "
        f"differ{_batches(difference)}",
    )


def _trained(plan: Plan, difference: "Difference") -> Cause | None:
    """Detect training: most floating tensors differ, all over the model."""
    infos = (tensor.info for tensor in plan.tensors)
    weights = {info.name for info in infos if info.dtype in FLOATS and not _is_statistic(info.name)}
    changed = {tensor.info.name for tensor in difference.differing} & weights
    if not difference.same_form or len(changed) < 2 or 2 * len(changed) < len(weights):
        return None
    return Cause(
        kind="trained",
        text="trained from here, or initialized by something else: "
        f"{len(changed)} of {len(weights)} floating tensors differ{_batches(difference)}",
    )


def _another_model(plan: Plan, difference: "Difference") -> Cause | None:
    """Detect other tensors, shapes or types; this is the last guess."""
    reshaped = difference.reshaped
    names = [planned.name for planned, _ in reshaped]
    if difference.same_form:
        return None
    if difference.only_a or difference.only_b:
        shared = len(plan.tensors) - len(difference.only_a)
        text = (
            "another architecture, or another version of it: "
            f"{shared} of {len(plan.tensors)} tensors are there under their names"
        )
    elif all(planned.shape == found.shape for planned, found in reshaped):
        text = f"converted to other types: {listed(names, 3)}"
    else:
        text = f"the same architecture with other sizes: {listed(names, 3)}"
    return Cause(kind="other-architecture", text=text)


def _is_statistic(name: str) -> bool:
    return name.endswith(_STATISTICS)


def _batches(difference: "Difference") -> str:
    """Write how many batches a batch norm has counted."""
    counters = (tensor for tensor in difference.differing if tensor.info.name.endswith(_COUNTER))
    first = next(counters, None)
    return f"; its batch norms have counted {first.found}" if first is not None else ""
