"""`zeroinit verify [PATH...]`."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroinit_cli.cli import complete
from zeroinit_cli.cli.console import append, out_json, shown_progress
from zeroinit_cli.cli.options import (
    SOURCE_HELP,
    Asked,
    Format,
    FormatName,
    Jobs,
    Json,
    LockedPaths,
    Quiet,
    ShardSize,
    TrustCode,
    check_jobs,
    chosen_format,
)
from zeroinit_cli.errors import UsageError, ZeroinitError

if TYPE_CHECKING:
    from zeroinit_cli.commands.findings import Unanswered, Verified

_FAILED, _UNANSWERED = 1, 2


def command(
    *,
    paths: LockedPaths = None,
    source: Annotated[
        str | None,
        typer.Option(
            "--source",
            metavar="SOURCE",
            help=f"Hold one file, or a folder with shards, against it. {SOURCE_HELP}",
            autocompletion=complete.source,
        ),
    ] = None,
    asked: Asked,
    max_shard_size: ShardSize = None,
    jobs: Jobs = 1,
    ignore_missing: Annotated[
        bool,
        typer.Option("--ignore-missing", help="A file that is not there is no failure."),
    ] = False,
    hash_only: Annotated[
        bool,
        typer.Option("--hash-only", help="Only hold the files against the locked digests."),
    ] = False,
    trust_code: TrustCode = False,
    summary: Annotated[
        Path | None,
        typer.Option(
            "--summary",
            metavar="PATH",
            help="Append the report as Markdown, such as to $GITHUB_STEP_SUMMARY.",
        ),
    ] = None,
    format_: FormatName = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Re-derive every locked checkpoint and compare, byte for byte."""
    check_jobs(jobs)
    form = chosen_format(format_, json)
    if summary is not None:
        append(summary, "")  # report a path that cannot be written before any work
    with _reporting_errors(form, summary):
        results: Sequence[Verified | Unanswered]
        with shown_progress(quiet=quiet or form is not Format.HUMAN) as progress:
            if source is None:
                _check_bare(asked.about_source or asked.changes or max_shard_size)
                from zeroinit_cli.commands.verify import verify_locked

                results = verify_locked(
                    paths or [],
                    ignore_missing=ignore_missing,
                    hash_only=hash_only,
                    trust_code=trust_code,
                    jobs=jobs,
                    progress=progress,
                )
            else:
                path = _one_file(paths, ignore_missing or hash_only)
                what, options = asked.read(source, max_shard_size=max_shard_size)

                from zeroinit_cli.commands.verify import verify_source

                results = [verify_source(path, what, options, jobs=jobs, progress=progress)]
        _print(results, form, quiet=quiet)
        if summary is not None:
            _append_results(summary, results)
        code = _exit_code(results)
    if code:
        raise typer.Exit(code)


def _check_bare(options: object) -> None:
    if options:
        raise UsageError(
            "the lock says how its checkpoints were made",
            where="the options",
            hint="--set, --input and options that change bytes go with --source",
        )


def _one_file(paths: list[Path] | None, modes: bool) -> Path:
    if modes or paths is None or len(paths) != 1:
        raise UsageError(
            "--source takes one file or folder, and neither --ignore-missing nor --hash-only",
            where="the options",
        )
    return paths[0]


@contextmanager
def _reporting_errors(form: Format, summary: Path | None) -> Iterator[None]:
    """Report the error that ends the command in its format, and in the summary."""
    from zeroinit_cli.cli import github

    try:
        with github.annotated("zeroinit verify", form is Format.GITHUB):
            yield
    except ZeroinitError as error:
        if summary is not None:
            from zeroinit_cli.cli import markdown

            append(summary, markdown.no_answer(error))
        raise


def _print(results: "Sequence[Verified | Unanswered]", form: Format, *, quiet: bool) -> None:
    from zeroinit_cli.cli.reports import verification

    if form is Format.JSON:
        out_json(verification.to_json(results))
    elif form is Format.GITHUB:
        verification.print_github(results, quiet=quiet)
    elif not quiet:
        verification.print_human(results)


def _append_results(summary: Path, results: "Sequence[Verified | Unanswered]") -> None:
    from zeroinit_cli.cli import markdown

    append(summary, markdown.summary(results))


def _exit_code(results: "Sequence[Verified | Unanswered]") -> int:
    from zeroinit_cli.commands.findings import Unanswered

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
