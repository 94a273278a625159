"""`zeroinit verify [PATH...]`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli.arguments import (
    SOURCE_HELP,
    DTypeName,
    ExpansionName,
    Json,
    Overrides,
    PresetName,
    Quiet,
    ResidualName,
    ScaleName,
    Settings,
    read_request,
)
from zeroinit_cli.cli.console import out, out_json, say, shown_progress
from zeroinit_cli.errors import UsageError, printable

if TYPE_CHECKING:
    from zeroinit_cli.findings import Unanswered, Verified

_FAILED, _UNANSWERED = 1, 2


def command(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[PATH...]",
            show_default=False,
            readable=False,  # what cannot be read is said in our words
            help="Folders with a lock, locks, or locked files. [default: the lock of this folder]",
        ),
    ] = None,
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help=f"Hold one file against it. {SOURCE_HELP}"),
    ] = None,
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    ignore_missing: Annotated[
        bool,
        typer.Option("--ignore-missing", help="A file that is not there is no failure."),
    ] = False,
    hash_only: Annotated[
        bool,
        typer.Option("--hash-only", help="Only hold the files against the locked digests."),
    ] = False,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Re-derive every locked checkpoint and compare, byte for byte."""
    words = {"dtype": dtype, "expansion": expansion, "residual": residual, "scale": scale}
    results: Sequence[Verified | Unanswered]
    with shown_progress(quiet=quiet or json) as progress:
        if source is None:
            if settings or preset or override or any(words.values()):
                raise UsageError(
                    "the lock says how its checkpoints were made",
                    where="the options",
                    hint="--set and options that change bytes go with --source",
                )
            from zeroinit_cli.verify import verify_locked

            results = verify_locked(
                paths or [],
                ignore_missing=ignore_missing,
                hash_only=hash_only,
                progress=progress,
            )
        else:
            if ignore_missing or hash_only or len(paths or []) != 1:
                raise UsageError(
                    "--source takes one file, and neither --ignore-missing nor --hash-only",
                    where="the options",
                )
            what, options = read_request(source, settings, words, preset, override)

            from zeroinit_cli.verify import verify_source

            results = [verify_source((paths or [])[0], what, options, progress=progress)]
    if json:
        out_json({"checkpoints": [_to_json(result) for result in results]})
    elif not quiet:
        for result in results:
            _print_result(result)
    code = _exit_code(results)
    if code:
        raise typer.Exit(code)


def _status(result: "Verified | Unanswered") -> str:
    """One word; "ok" only where something was checked and held."""
    from zeroinit_cli.findings import Unanswered

    if isinstance(result, Unanswered):
        return "unanswered"
    if result.findings:
        return ", ".join(finding.outcome.value for finding in result.findings)
    return "ok" if result.checked else "skipped"


def _print_result(result: "Verified | Unanswered") -> None:
    from zeroinit_cli.findings import Unanswered

    path = printable(str(result.path))
    if isinstance(result, Unanswered):
        out(f"{_status(result)}: {path}")
        say(str(result.error))
        return
    said = f" ({', '.join(result.checked)})" if result.checked and not result.findings else ""
    out(f"{_status(result)}: {path}{said}")
    for finding in result.findings:
        for line in finding.lines:
            out(f"  {finding.outcome.value}: {printable(line)}")


def _to_json(result: "Verified | Unanswered") -> dict[str, Any]:
    from zeroinit_cli.findings import Unanswered

    common = {"path": str(result.path), "status": _status(result)}
    if isinstance(result, Unanswered):
        return {**common, "error": str(result.error)}
    findings = [
        {"outcome": finding.outcome.value, "lines": list(finding.lines)}
        for finding in result.findings
    ]
    return {**common, "checked": list(result.checked), "findings": findings}


def _exit_code(results: "Sequence[Verified | Unanswered]") -> int:
    from zeroinit_cli.findings import Unanswered

    if any(not isinstance(result, Unanswered) and result.findings for result in results):
        return _FAILED
    if any(isinstance(result, Unanswered) for result in results):
        return _UNANSWERED
    if not any(not isinstance(result, Unanswered) and result.checked for result in results):
        raise UsageError(
            "nothing was checked: no file is there",
            where="--hash-only with --ignore-missing",
            hint="without --hash-only the digests are derived again and held against the lock",
        )
    return 0
