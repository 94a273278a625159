"""Results as sorted JSON, and as the rows of evidence/README.md."""

import json
from collections.abc import Sequence
from pathlib import Path

from evidence.experiment import EFFORTS, Cells, Effort, Experiment, Json, Row

_HEAD = (
    "| claim | what was run | result | by default | `--policy paper` |\n"
    "| --- | --- | --- | --- | --- |\n"
)


def write_json(path: Path, value: Json) -> None:
    """Keys sorted, whole or not at all."""
    part = path.with_suffix(".part")
    part.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def table(experiment: Experiment, results: Cells, effort: Effort) -> str:
    """The rows of one experiment, as Markdown."""
    return _HEAD + "".join(_line(row) for row in experiment.rows(results, effort))


def _line(row: Row) -> str:
    paper = "-" if row.paper is None else f"**{row.paper}**"
    cells = (row.claim, row.run, row.result, f"**{row.verdict}**", paper)
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def put_between(path: Path, name: str, body: str) -> None:
    """Put what was measured between two markers of a document.

    Args:
        path: the document.
        name: of its markers, `<!-- name -->` and `<!-- /name -->`.
        body: whole lines.

    Raises:
        ValueError: the document has no such markers.
    """
    first, last = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
    before, begin, rest = path.read_text(encoding="utf-8").partition(first)
    _, end, after = rest.partition(last)
    if not (begin and end):
        raise ValueError(f"{path} has no {first.strip()} ... {last.strip()}")
    path.write_text(before + begin + body + end + after, encoding="utf-8")


def sections(published: Path, experiments: Sequence[Experiment]) -> str:
    """The rows of everything that is published, an experiment after the other."""
    return "".join(_section(published, each) for each in experiments) + _times(published)


def _section(published: Path, experiment: Experiment) -> str:
    path = published / f"{experiment.name}.json"
    if not path.exists():
        return ""
    results = json.loads(path.read_text(encoding="utf-8"))["cells"]
    name = experiment.name
    return (
        f"\n## {experiment.title}\n\n`python -m evidence.run {name}`, of "
        f"[{name}.py]({name}.py); numbers in [{name}.json](published/{name}.json).\n\n"
        f"{table(experiment, results, EFFORTS['published'])}\n"
        f"![{experiment.title}](published/{name}.svg)\n"
    )


def _times(published: Path) -> str:
    """How long everything took, in seconds of one processor."""
    path = published / "seconds.json"
    if not path.exists():
        return ""
    seconds: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    total = sum(seconds.values())
    each = ", ".join(f"{name} {seconds[name]}" for name in sorted(seconds))
    return (
        f"\n## Time\n\nSeconds of one processor: {each}; together {total}, "
        f"that is {total / 120:.0f} minutes on two.\n"
    )
