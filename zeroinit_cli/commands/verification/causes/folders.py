"""Guesses about a folder with shards: file by file, and of how its tensors were split."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from zeroinit_cli.commands.verification.findings import Cause

if TYPE_CHECKING:
    from zeroinit_cli.commands.verification.causes.evidence import Evidence


def of_files(guesses: Iterable[tuple[str, Cause | None]]) -> Cause | None:
    """The first guess, with the names of whatever files the same has happened to.

    Args:
        guesses: a file's name, and what has probably happened to it.
    """
    told = [(name, cause) for name, cause in guesses if cause is not None]
    if not told:
        return None
    first, cause = told[0]
    more = sum((each.kind, each.hint) == (cause.kind, cause.hint) for _, each in told[1:])
    names = f"{first} and {more} more" if more else first
    return replace(cause, text=f"{names}: {cause.text}")


def split_otherwise(evidence: "Evidence", places: Mapping[str, str]) -> Cause | None:
    """All tensors are right, but they lie in other files than planned.

    Args:
        evidence: of the whole folder.
        places: the file that each tensor should be in.
    """
    stored = evidence.stored
    if stored is None or not evidence.same_form or evidence.differences:
        return None
    found = {each.info.name: stored.files[each.file].path.name for each in stored.tensors}
    if found == places:
        return None
    moved = sum(places[name] != file for name, file in found.items())
    return Cause(
        kind="other-split",
        text=f"split otherwise: all tensors are right, but {moved} of {len(found)} lie in other "
        "files than planned",
        hint="zeroinit generate --force writes the locked files",
    )
