"""Plans of language models that no memory here holds."""

from collections.abc import Callable

from benchmarks.processes import run_child
from benchmarks.samples import Part, Row, Series, as_megabytes, as_seconds, value

_SIZES = ("70B", "405B")
_KINDS = ("written", "transformers")

ROWS = (
    Row(label="weights, 10^9", figure=value("billions"), form=lambda number: f"{number:.1f}"),
    Row(label="tensors", figure=value("tensors"), form=lambda number: f"{number:,.0f}"),
    Row(label="build + plan, s", figure=value("plan_seconds"), form=as_seconds),
    Row(label="memory of build + plan, MB", figure=value("plan_growth"), form=as_megabytes),
    Row(label="the plan's digest, s", figure=value("canonical_seconds"), form=as_seconds),
)


def measure(full: bool, say: Callable[[str], None]) -> Part:
    """Llama of two sizes, each written by hand and of transformers."""
    series = []
    for size in _SIZES:
        for kind in _KINDS:
            say(f"plan of a Llama of {size}, {kind}")
            samples = tuple(run_child("llama", size, kind)[1] for _ in range(3 if full else 1))
            series.append(Series(name=f"{size}, {kind}", samples=samples))
    title = "Plans of Llama, written by hand and of transformers"
    return Part(key="plans", title=title, rows=ROWS, series=tuple(series))
