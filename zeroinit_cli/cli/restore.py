"""`zeroinit restore [PATH...]`."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli.console import out, out_json, painted, say, shown_progress
from zeroinit_cli.cli.options import Jobs, Json, LockedPaths, Quiet, TrustCode, check_jobs
from zeroinit_cli.errors import one_line, printable

if TYPE_CHECKING:
    from zeroinit_cli.commands.restore import Restored

_FAILED, _UNANSWERED = 1, 2
_PAINTS = {"ok": "green", "restored": "green", "updated": "green", "unanswered": "yellow"}


def command(
    *,
    paths: LockedPaths = None,
    update: Annotated[
        bool,
        typer.Option(
            "--update", help="Write and lock anew what no longer comes out as it was locked."
        ),
    ] = False,
    trust_code: TrustCode = False,
    jobs: Jobs = 1,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write the files that a lock names and its folder lacks; replace none."""
    check_jobs(jobs)
    from zeroinit_cli.commands.restore import Status, restore

    def tell(message: str) -> None:
        if not quiet:
            say(printable(message))

    with shown_progress(quiet=quiet or json) as progress:
        results = restore(
            paths or [],
            update=update,
            trust_code=trust_code,
            jobs=jobs,
            progress=progress,
            say=tell,
        )
    if json:
        out_json(_to_json(results))
    else:
        _print(results, quiet=quiet)
    found = {result.status for result in results}
    if found & {Status.CHANGED, Status.DRIFTED}:
        raise typer.Exit(_FAILED)
    if Status.UNANSWERED in found:
        raise typer.Exit(_UNANSWERED)


def _print(results: "Sequence[Restored]", *, quiet: bool) -> None:
    for result in results:
        if not quiet:
            word = painted(f"{result.status}:", _PAINTS.get(result.status, "red"), sys.stdout)
            out(f"{word} {printable(str(result.path))}")
            for line in result.lines:
                out(f"  {one_line(line)}")
            if (hint := _HINTS.get(result.status)) is not None:
                out(f"  hint: {hint}")
        if result.error is not None:
            say(str(result.error))


_HINTS = {
    "changed": "no file is replaced: remove it, or see what zeroinit verify says of it",
    "drifted": "zeroinit restore --update writes and locks what comes out now",
}


def _to_json(results: "Sequence[Restored]") -> dict[str, Any]:
    return {
        "checkpoints": [
            {
                "error": None if result.error is None else str(result.error),
                "lines": list(result.lines),
                "lock": str(result.lock),
                "path": str(result.path),
                "status": result.status.value,
            }
            for result in results
        ]
    }
