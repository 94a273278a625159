"""The output of `plan`: tables and warnings for people, a document for programs."""

import base64
from dataclasses import asdict
from typing import Any

from zeroinit_cli.cli import github
from zeroinit_cli.cli.console import out, say
from zeroinit_cli.cli.tables import Column, Kind, print_table
from zeroinit_cli.errors import printable
from zeroinit_cli.options import Options
from zeroinit_cli.plans.grouping import group_tensors
from zeroinit_cli.plans.plan import Plan, PlannedTensor, PlanWarning
from zeroinit_cli.source import Source
from zeroinit_cli.text import counted, listed

_MOST_PATTERNS = 4
_OF_GROUPS = (
    Column(heading="count", kind=Kind.NUMBER),
    Column(heading="elements", kind=Kind.NUMBER),
    Column(heading="rule"),
    Column(heading="why"),
    Column(heading="tensors"),
)
_OF_TENSORS = (
    Column(heading="tensor", kind=Kind.NAME),
    Column(heading="type", kind=Kind.WORD, spare=1),
    Column(heading="shape"),
    Column(heading="rule"),
    Column(heading="why"),
)


def print_human(plan: Plan, source: Source, *, every: bool) -> None:
    """Print a table and totals; warnings go to standard error.

    Args:
        plan: of the source.
        source: what was asked for.
        every: a row for each tensor, whole, not for each group of them that are alike.
    """
    if every:
        print_table(_OF_TENSORS, _every_row(plan), every=True)
    else:
        print_table(_OF_GROUPS, _group_rows(plan))
    out(_totals(plan, source))
    for warning in plan.warnings:
        say(_warning_text(warning))


def print_github(plan: Plan, source: Source) -> None:
    """Print totals, and an annotation for each warning: at the spec, if the source is one."""
    for line in _totals(plan, source).splitlines():
        github.plain(line)
    for warning in plan.warnings:
        hint = [f"hint: {warning.hint}"] if warning.hint else []
        github.annotate(
            github.Level.WARNING,
            f"zeroinit plan: {warning.kind}",
            [warning.text, *hint],
            file=next(iter(source.files), None),
        )


def to_json(plan: Plan, source: Source, options: Options) -> dict[str, Any]:
    """Return the canonical form with the reasons, the options and the kept values."""
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
        "warnings": [asdict(warning) for warning in plan.warnings],
    }


def _warning_text(warning: PlanWarning) -> str:
    hint = f"\n  hint: {warning.hint}" if warning.hint else ""
    return f"warning: {printable(warning.text)}{hint}"


def _group_rows(plan: Plan) -> list[tuple[str, ...]]:
    return [
        (
            str(len(group.tensors)),
            f"{group.numel:,}",
            group.rule,
            group.reason,
            printable(listed(group.names, _MOST_PATTERNS)),
        )
        for group in group_tensors(plan)
    ]


def _every_row(plan: Plan) -> list[tuple[str, ...]]:
    return [
        (
            printable(tensor.info.name),
            tensor.info.dtype.code,
            " x ".join(str(size) for size in tensor.info.shape) or "scalar",
            tensor.rule.describe(tensor.info.shape),
            _reason(tensor),
        )
        for tensor in plan.tensors
    ]


def _reason(tensor: PlannedTensor) -> str:
    tie = f"; tied to {printable(tensor.tied_to)}" if tensor.tied_to else ""
    return f"{tensor.reason}{tie}"


def _totals(plan: Plan, source: Source) -> str:
    elements = plan.numel
    zeros = elements - sum(tensor.rule.nonzeros(tensor.info.shape) for tensor in plan.tensors)
    share = f"{zeros / max(elements, 1):.1%} zeros"
    return (
        f"{source}: {counted(len(plan.tensors), 'tensor')}, "
        f"{counted(elements, 'element')} ({share}), "
        f"{plan.nbytes:,} bytes\nscheme {plan.scheme}, plan {plan.digest()}"
    )
