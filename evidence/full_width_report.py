"""The study at full width as one table and one JSON, verdicts computed."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from evidence.experiment import Json, mean
from evidence.full_width import SEEDS, Cell, Trained, cells
from evidence.report import put_between, write_json
from evidence.starts import ENDS, OPEN_ATTENTION, WEIGHTS, ZERO_HEAD
from evidence.wide_nets import NETS
from zeroinit_cli.policies import DEFAULT

_FOLDER = Path(__file__).resolve().parent
_DOCUMENT = _FOLDER / "full_width.md"
_CLEAR = 2.7  # of Student's t: one in a hundred for 39 differences
_HEAD = (
    "| net, data | torch: error at each rate | ZerO: error at each rate | paper | zero-1 | "
    "training loss: torch, ZerO | ZerO against torch | against zero-1 |\n"
    "| --- | --- | --- | --- | --- | --- | --- | --- |\n"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Row:
    """A net and its data: the trainings of each start by rate, a list of seeds each."""

    net: str
    data: str
    runs: Mapping[str, Mapping[float, Sequence[Trained]]]

    def best(self, start: str) -> float | None:
        """The rate of the smallest validation loss; None if there is no training."""
        by_rate = self.runs.get(start, {})
        if not by_rate:
            return None
        return min(by_rate, key=lambda rate: mean([run.validation_loss for run in by_rate[rate]]))

    def chosen(self, start: str) -> Sequence[Trained]:
        """The trainings at that rate."""
        rate = self.best(start)
        return [] if rate is None else self.runs[start][rate]


def rows(found: Mapping[Cell, Trained]) -> list[Row]:
    """Everything that was measured, by net and data."""
    places = list(dict.fromkeys((cell.net, cell.data) for cell in cells()))
    listed = []
    for net, data in places:
        runs: dict[str, dict[float, list[Trained]]] = {}
        here = [cell for cell in found if (cell.net, cell.data) == (net, data)]
        for cell in sorted(here, key=lambda cell: (-cell.rate, cell.seed)):
            runs.setdefault(cell.start, {}).setdefault(cell.rate, []).append(found[cell])
        both = set(runs.get("zero", {})) & set(runs.get("torch", {}))
        for start in ("zero", "torch"):  # a rate that one of them has not had yet would be unfair
            runs[start] = {rate: runs[start][rate] for rate in runs.get(start, {}) if rate in both}
        if both:
            listed.append(Row(net=net, data=data, runs=runs))
    return listed


def verdict(row: Row, other: str) -> str:
    """ZerO against another start, each at its own rate: `better`, `level` or `worse`.

    Paired by forty blocks of test examples, seeds averaged. It counts where Student's t is beyond
    2.7 and no seed says otherwise.
    """
    ours, theirs = row.chosen("zero"), row.chosen(other)
    if not theirs:
        return "-"
    count = min(len(ours), len(theirs))
    pairs = list(zip(ours[:count], theirs[:count], strict=True))
    by_seed = [mean(one.blocks) - mean(two.blocks) for one, two in pairs]
    gaps = [
        mean([one.blocks[i] - two.blocks[i] for one, two in pairs])
        for i in range(len(pairs[0][0].blocks))
    ]
    middle = mean(gaps)
    deviation = math.sqrt(sum((gap - middle) ** 2 for gap in gaps) / (len(gaps) - 1))
    clear = abs(middle) > _CLEAR * deviation / math.sqrt(len(gaps))
    if not clear or any(gap * middle < 0 for gap in by_seed):
        return "level"
    return "better" if middle < 0 else "worse"


def markdown(listed: Sequence[Row]) -> str:
    """The table, a line of counts, and what is missing."""
    lines = [_line(row) for row in listed]
    counts = {word: [verdict(row, "torch") for row in listed].count(word) for word in _WORDS}
    told = ", ".join(f"{count} {word}" for word, count in counts.items())
    seconds = sum(run.seconds for row in listed for run in _all(row))
    took = f"All trainings together took {seconds / 60:.0f} minutes on a busy machine.\n"
    head = f"Against torch's start: {told}. {took}\n{_HEAD}"
    rivals = (line for title, starts in _RIVALS.items() for line in _rivals(listed, title, starts))
    return f"{head}{''.join(lines)}\n{''.join(rivals)}{''.join(_cut(listed))}"


_WORDS = ("better", "level", "worse")


def _by_size(sizes: Mapping[str, float]) -> dict[str, str]:
    return {name: f"{sizes[name]:g}" for name in sorted(sizes, key=sizes.__getitem__)}


_RIVALS: Mapping[str, Mapping[str, str]] = {
    "norms at ends of branches": _by_size({"zero": DEFAULT.last_norm, **ENDS}),
    "weights at ends of branches": _by_size({"zero": DEFAULT.last_weight, **WEIGHTS}),
    "attention": {"zero": "K = V = 0", OPEN_ATTENTION: "Q = K = V = I, output 1/16"},
    "a head that its constructor sets to 0": {"zero": "Algorithm 1", ZERO_HEAD: "kept"},
}


def _rivals(listed: Sequence[Row], title: str, starts: Mapping[str, str]) -> Iterator[str]:
    """What other choices did beside the default's, at the same rates and under the same seeds.

    Args:
        listed: all rows; those that have none of these starts are left out.
        title: what is chosen.
        starts: by name, what each chooses; `zero` among them.
    """
    others = [name for name in starts if name != "zero"]
    found = [
        (row, rate)
        for row in listed
        for rate in sorted({rate for name in others for rate in row.runs.get(name, {})})
        if rate in row.runs["zero"]
    ]
    if found:
        yield f"| {title} | {' | '.join(starts.values())} |\n"
        yield f"| --- |{' --- |' * len(starts)}\n"
    for row, rate in found:
        runs = [row.runs.get(name, {}).get(rate, []) for name in starts]
        seeds = min(len(each) for each in runs if each)
        words = [_error_and_loss(row.net, each[:seeds]) for each in runs]
        yield f"| {row.net}, {row.data}, {rate:g}: error, training loss | {' | '.join(words)} |\n"
    if found:
        yield "\n"


def _error_and_loss(net: str, runs: Sequence[Trained]) -> str:
    """Of text, whose loss is what counts, the test loss in place of the error."""
    if not runs:
        return "-"
    is_text = NETS[net].text
    tested = mean([run.test_loss if is_text else run.test_error for run in runs])
    return f"{tested:.3f}, {_loss(runs)}" if is_text else f"{tested:.1f}, {_loss(runs)}"


def _cut(listed: Sequence[Row]) -> Iterator[str]:
    """What is missing of the study, in words: rows by their data, and second seeds."""
    places = dict.fromkeys((cell.net, cell.data) for cell in cells())
    there = {(row.net, row.data) for row in listed}
    missing: dict[str, list[str]] = {}
    for net, data in places:
        if (net, data) not in there:
            missing.setdefault(data, []).append(net)
    for data, nets in missing.items():
        yield f"- Not measured on {data}: {', '.join(nets)}.\n"
    once = [row for row in listed if min(map(len, row.runs["zero"].values())) < len(SEEDS)]
    if once:
        yield f"- Rows with one seed at some rate, instead of two: {len(once)} of {len(listed)}.\n"


def _all(row: Row) -> Iterator[Trained]:
    for by_rate in row.runs.values():
        for runs in by_rate.values():
            yield from runs


def _line(row: Row) -> str:
    parts = (
        f"{row.net}, {row.data}",
        _errors(row, "torch"),
        _errors(row, "zero"),
        _errors(row, "zero-paper"),
        _errors(row, "zero-1"),
        ", ".join(_loss(row.chosen(start)) for start in ("torch", "zero")),
        _marked(verdict(row, "torch")),
        _marked(verdict(row, "zero-1")),
    )
    return f"| {' | '.join(parts)} |\n"


def _marked(word: str) -> str:
    return f"**{word}**" if word == "worse" else word


def _loss(runs: Sequence[Trained]) -> str:
    return f"{mean([run.train_loss for run in runs]):.3f}"


def _errors(row: Row, start: str) -> str:
    """The mean error at each rate, the chosen one in bold; of text the loss."""
    text = NETS[row.net].text
    words = []
    for rate, runs in row.runs.get(start, {}).items():
        value = mean([run.test_loss if text else run.test_error for run in runs])
        word = f"{value:.3f}" if text else f"{value:.1f}"
        gone = any(run.diverged is not None for run in runs)
        word = f"{rate:g}: {word}{' (diverged)' if gone else ''}"
        words.append(f"**{word}**" if rate == row.best(start) else word)
    return ", ".join(words) or "-"


def publish(found: Mapping[Cell, Trained]) -> None:
    """Write JSON and table."""
    listed = rows(found)
    ordered = sorted(found, key=lambda cell: tuple(asdict(cell).values()))
    document: Json = [{"cell": asdict(cell), "trained": asdict(found[cell])} for cell in ordered]
    write_json(_FOLDER / "published" / "full_width.json", document)
    put_between(_DOCUMENT, "table", markdown(listed))
