"""`zeroinit probe SOURCE`."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zeroinit_cli.arguments import is_input
from zeroinit_cli.cli.console import out_json, say, shown_progress
from zeroinit_cli.cli.github import annotated
from zeroinit_cli.cli.options import (
    SOURCE_HELP,
    Asked,
    Format,
    FormatName,
    Json,
    Quiet,
    chosen_format,
)
from zeroinit_cli.errors import UsageError, printable
from zeroinit_cli.probing.setting import LEARNING_RATE, STEPS, Setting, check_setting

if TYPE_CHECKING:
    from zeroinit_cli.probing.judge import Verdict
    from zeroinit_cli.probing.report import Probe

_STRICT = 1


def command(
    *,
    subject: Annotated[
        str,
        typer.Argument(
            metavar="SOURCE",
            show_default=False,
            help=f"{SOURCE_HELP} With --source: a checkpoint, FILE.",
        ),
    ],
    source: Annotated[
        str | None,
        typer.Option("--source", metavar="SOURCE", help="What the checkpoint FILE is one of."),
    ] = None,
    asked: Asked,
    steps: Annotated[int, typer.Option("--steps", metavar="K", help="Steps of SGD.")] = STEPS,
    learning_rate: Annotated[
        float, typer.Option("--lr", metavar="RATE", help="Their learning rate.")
    ] = LEARNING_RATE,
    batch: Annotated[
        int | None,
        typer.Option("--batch", metavar="N", help="Samples. [default: 8, fewer if they are large]"),
    ] = None,
    image_size: Annotated[
        int | None,
        typer.Option(
            "--image-size",
            metavar="PIXELS",
            help="Height and width of images. [default: 96, or what the model takes]",
        ),
    ] = None,
    input: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]FILE.npy",
            help="A batch of your own, (samples, ...), or its form, such as float32[8,3,64,64]. "
            "Repeatable, for several inputs.",
        ),
    ] = None,
    seeds: Annotated[
        int | None,
        typer.Option(
            "--seeds",
            metavar="N",
            help="Torch's own starts to compare with. [default: 3, of large models 1]",
        ),
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, ...")] = "cpu",
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write the report as one page."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace another file at --html.")] = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 unless the verdict is: will train.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for every layer.")] = False,
    format_: FormatName = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Run a few steps and tell, layer by layer, whether a start will train."""
    form = chosen_format(format_, json)
    with annotated("zeroinit probe", form is Format.GITHUB):
        file = _file(subject, source)
        if file is not None and asked.changes:
            raise UsageError(
                "a file is as it is",
                where="the options",
                hint="options that change bytes say how a SOURCE is started",
            )
        setting = Setting(
            steps=steps,
            learning_rate=learning_rate,
            batch=batch,
            image_size=image_size,
            seeds=seeds,
            device=device,
            inputs=_inputs([text for text in input or [] if not is_input(text)]),
        )
        check_setting(setting)
        if html is not None:
            from zeroinit_cli.commands.preflight import check_document

            read = [*setting.inputs.values(), Path(subject), Path(source or subject)]
            check_document(html, "--html", read, force=force)
        asked = replace(asked, input=[text for text in input or [] if is_input(text)])
        what, options = asked.read(source or subject)

        from zeroinit_cli.probing.judge import judge
        from zeroinit_cli.probing.run import probe_source

        quiet_progress = quiet or form is not Format.HUMAN
        with shown_progress(quiet=quiet_progress, unit="passes") as progress:
            found = probe_source(what, options, setting, file=file, progress=progress)
        verdict = judge(found)
        if html is not None:
            _write_page(html, found, verdict, quiet=quiet)
        _show(found, verdict, form=form, every=every, quiet=quiet)
    if strict and not verdict.good:
        raise typer.Exit(_STRICT)


def _show(found: "Probe", verdict: "Verdict", *, form: Format, every: bool, quiet: bool) -> None:
    from zeroinit_cli.cli.reports import probes

    if form is Format.JSON:
        out_json(probes.to_json(found, verdict))
    elif form is Format.GITHUB:
        probes.print_github(found, verdict)
    elif not quiet:
        probes.print_human(found, verdict, every=every)


def _file(subject: str, source: str | None) -> Path | None:
    """Return the checkpoint's path if `--source` is given; else SOURCE is no checkpoint.

    Raises:
        UsageError: SOURCE is a checkpoint, and nothing says what it was made from.
    """
    if source is not None:
        return Path(subject)
    if subject.lower().endswith((".safetensors", ".index.json")):
        raise UsageError(
            "a checkpoint does not say how its tensors are used",
            where="SOURCE",
            expected="a model name or a YAML spec",
            found=subject,
            hint="name both: zeroinit probe FILE --source SOURCE",
        )
    return None


def _inputs(texts: list[str]) -> dict[str, Path]:
    """Return files by the name of the input; an only input has no name."""
    found: dict[str, Path] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or not name.isidentifier():
            name, path = "", text
        if name in found:
            raise UsageError(f"{name or 'an input without a name'} is given twice", where="--input")
        found[name] = Path(path)
    return found


def _write_page(page: Path, found: "Probe", verdict: "Verdict", *, quiet: bool) -> None:
    from zeroinit_cli.atomic import guarded, replacing, write_all
    from zeroinit_cli.probing.page import page_of

    with guarded(page, waiting=say), replacing(page) as file:
        write_all(file, page_of(found, verdict).encode())
    if not quiet:
        say(f"{printable(str(page))} written")
