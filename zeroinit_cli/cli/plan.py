"""`zeroinit plan SOURCE`."""

from typing import Annotated

import typer

from zeroinit_cli.cli.console import out_json
from zeroinit_cli.cli.github import annotated
from zeroinit_cli.cli.options import (
    Asked,
    Format,
    FormatName,
    Json,
    ShardSize,
    SourceText,
    chosen_format,
)

_STRICT = 1


def command(
    *,
    source: SourceText,
    asked: Asked,
    max_shard_size: ShardSize = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if there is anything to warn about.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for every tensor.")] = False,
    format_: FormatName = None,
    json: Json = False,
) -> None:
    """Print every tensor, its rule, and why; make no weights."""
    form = chosen_format(format_, json)
    with annotated("zeroinit plan", form is Format.GITHUB):
        what, options = asked.read(source, max_shard_size=max_shard_size)

        from zeroinit_cli.cli.reports import plans
        from zeroinit_cli.models import plan_source

        plan = plan_source(what, options)
        if form is Format.JSON:
            out_json(plans.to_json(plan, what, options))
        elif form is Format.GITHUB:
            plans.print_github(plan, what)
        else:
            plans.print_human(plan, what, every=every)
    if strict and plan.warnings:
        raise typer.Exit(_STRICT)
