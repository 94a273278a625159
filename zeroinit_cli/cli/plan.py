"""`zeroinit plan SOURCE`."""

from typing import Annotated

import typer

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Format,
    FormatName,
    Json,
    Overrides,
    PresetName,
    ResidualName,
    ScaleName,
    Settings,
    ShardSize,
    SourceText,
    chosen_format,
    read_request,
)
from zeroinit_cli.cli.console import out_json
from zeroinit_cli.cli.reports.github import annotated

_STRICT = 1


def command(
    source: SourceText,
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    max_shard_size: ShardSize = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit 1 if there is anything to warn about.")
    ] = False,
    every: Annotated[bool, typer.Option("--all", help="A line for every tensor.")] = False,
    format_: FormatName = None,
    json: Json = False,
) -> None:
    """Print every tensor, its rule, and why; make no weights."""
    words = {
        "dtype": dtype,
        "expansion": expansion,
        "max-shard-size": max_shard_size,
        "residual": residual,
        "scale": scale,
    }
    form = chosen_format(format_, json)
    with annotated("zeroinit plan", form is Format.GITHUB):
        what, options = read_request(source, settings, words, preset, override)

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
