"""`zeroinit plan SOURCE`."""

import base64
from typing import Annotated, Any

import typer

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Json,
    Overrides,
    PresetName,
    ResidualName,
    ScaleName,
    Settings,
    ShardSize,
    SourceText,
    read_request,
)
from zeroinit_cli.cli.console import out, out_json, say
from zeroinit_cli.cli.tables import print_table
from zeroinit_cli.describe import Group, describe_rule, group_tensors, nonzeros, numel
from zeroinit_cli.errors import printable
from zeroinit_cli.options import Options
from zeroinit_cli.plans import Caution, Plan, PlannedTensor
from zeroinit_cli.source import Source

_MOST_PATTERNS = 4
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
    what, options = read_request(source, settings, words, preset, override)

    from zeroinit_cli.architectures import plan_source

    plan = plan_source(what, options)
    if json:
        out_json(_plan_json(plan, what, options))
    else:
        print_table(
            _every_row(plan) if every else _group_rows(plan),
            numbers=frozenset({"count", "elements"}),
            whole=frozenset({"type", "shape"}),
        )
        out(_totals(plan, what))
        for caution in plan.cautions:
            say(_caution_text(caution))
    if strict and plan.cautions:
        raise typer.Exit(_STRICT)


def _plan_json(plan: Plan, source: Source, options: Options) -> dict[str, Any]:
    """The canonical form, and beside it what explains it and what its kept values are."""
    tensors = [
        {
            **tensor.to_json(),
            "module_type": tensor.module_type,
            "position": tensor.position,
            "reason": tensor.reason,
        }
        for tensor in plan.tensors
    ]
    return {
        **plan.to_json(),
        "adds": [{"class": kind, "place": place} for place, kind in plan.adds],
        "arguments": dict(source.arguments),
        "digest": plan.digest(),
        "kept": {sha256: base64.b64encode(data).decode() for sha256, data in plan.kept.items()},
        "options": {
            **options.to_words(),
            "overrides": [str(override) for override in options.overrides],
        },
        "source": str(source),
        "tensors": tensors,
        "warnings": [
            {"hint": caution.hint, "kind": caution.kind, "text": caution.text}
            for caution in plan.cautions
        ],
    }


def _caution_text(caution: Caution) -> str:
    hint = f"\n  hint: {caution.hint}" if caution.hint else ""
    return f"warning: {printable(caution.text)}{hint}"


def _group_rows(plan: Plan) -> list[tuple[str, ...]]:
    return [
        ("count", "elements", "rule", "why", "tensors"),
        *(
            (
                str(len(group.tensors)),
                f"{numel(group.tensors):,}",
                group.rule,
                group.reason,
                _group_names(group),
            )
            for group in group_tensors(plan)
        ),
    ]


def _group_names(group: Group) -> str:
    shown = group.names[:_MOST_PATTERNS]
    more = len(group.names) - len(shown)
    return printable(", ".join(shown)) + (f" and {more} more" if more else "")


def _every_row(plan: Plan) -> list[tuple[str, ...]]:
    return [
        ("tensor", "type", "shape", "rule", "why"),
        *(
            (
                printable(tensor.info.name),
                tensor.info.dtype.code,
                " x ".join(str(size) for size in tensor.info.shape) or "scalar",
                describe_rule(tensor.rule, tensor.info.shape),
                _reason(tensor),
            )
            for tensor in plan.tensors
        ),
    ]


def _reason(tensor: PlannedTensor) -> str:
    tie = f"; tied to {printable(tensor.tied_to)}" if tensor.tied_to else ""
    return f"{tensor.reason}{tie}"


def _totals(plan: Plan, source: Source) -> str:
    elements = numel(plan.tensors)
    zeros = elements - sum(nonzeros(each.rule, each.info.shape) for each in plan.tensors)
    share = f"{zeros / max(elements, 1):.1%} zeros"
    return (
        f"{source}: {len(plan.tensors)} tensors, {elements:,} elements ({share}), "
        f"{plan.nbytes:,} bytes\nscheme {plan.scheme}, plan {plan.digest()}"
    )
