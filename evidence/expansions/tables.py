"""The study's tables as Markdown, put between the marks of its README."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evidence.expansions.cells import CELLS, CORE
from evidence.expansions.features import STARTS as FEATURE_STARTS
from evidence.expansions.matrices import FAMILIES
from evidence.expansions.summary import pair, ranks
from evidence.experiment import Json, mean, spread

_SHOWN = ("sylvester", "paley", "skew paley", "singer", "random signs", "odd twisted", "cosines")
_COLUMNS = (*CORE, "random signs")
_CANDIDATE = "odd twisted"
_EXPLODES = 100  # times torch's largest gradient, as in evidence/first_steps.md
_STUCK = 50.0  # percent: an error from which on a start is said not to train


def update(path: Path, results: Json) -> None:
    """Every section of the document for which there are results.

    Raises:
        ValueError: the document lacks a section's marks.
    """
    text = path.read_text(encoding="utf-8")
    for name, lines in sections(results).items():
        pattern = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- /{name} -->)", re.DOTALL)
        if not pattern.search(text):
            raise ValueError(f"{path.name} has no <!-- {name} --> and <!-- /{name} -->")
        body = "\n".join(lines) + "\n"
        text = pattern.sub(lambda _, body=body: body, text)  # type: ignore[misc]  # bound now
    path.write_text(text, encoding="utf-8")


def sections(results: Json) -> dict[str, list[str]]:
    """Lines of Markdown by section."""
    found: dict[str, list[str]] = {}
    if results.get("matrices"):
        found["matrices"] = _matrices(results["matrices"])
    if results.get("parities"):
        found["parities"] = _parities(results["parities"])
    if results.get("chains"):
        found["chains"] = _chains(results["chains"])
    if results.get("first_step"):
        found["first-step"] = _first_step(results["first_step"])
    if results.get("features"):
        found["features"] = _features(results["features"])
    if results.get("training"):
        found["training"] = _training(results["training"])
        found["pairs"] = _pairs(results["training"])
        found["ablations"] = _ablations(results["training"])
    return found


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> list[str]:
    rule = ["---"] * left + ["---:"] * (len(head) - left)
    return ["| " + " | ".join(each) + " |" for each in (head, rule, *rows)]


def _matrices(shapes: Sequence[Json]) -> list[str]:
    rows = []
    for shape in shapes:
        cells = [f"{shape['fan_out']} x {shape['fan_in']}, {shape['where']}"]
        for name in _SHOWN:
            each = shape["families"][name]
            values = f"{each['smallest']:.2f}-{each['largest']:.2f}"
            cells.append(f"{values}, {each['distinct']}{'' if each['odd'] else ' even'}")
        rows.append(cells)
    return _table(("matrix", *_SHOWN), rows)


def _in_order(found: Mapping[str, Json], order: Iterable[str]) -> dict[str, Json]:
    """What a JSON file with sorted keys holds, in a better order."""
    return {name: found[name] for name in order if name in found}


def _of_cells(found: Mapping[str, Json]) -> dict[str, Json]:
    return _in_order(found, (cell.name for cell in CELLS))


def _parities(found: Mapping[str, Json]) -> list[str]:
    families = _in_order(found, FAMILIES)
    channels = list(next(iter(families.values())))
    rows = [
        [name, *(f"{stems[each][0]} of {stems[each][1]}" for each in channels)]
        for name, stems in families.items()
    ]
    return _table(("family", *(f"fan_in {each}" for each in channels)), rows)


def _chains(chains: Mapping[str, Json]) -> list[str]:
    rows = []
    for family in FAMILIES:
        cells = [family]
        for families in chains.values():
            links = families[family][1:]
            flat = " / ".join(_percent(link["flat"]) for link in links)
            rank = " / ".join(str(link["rank"]) for link in links)
            cells += [flat, rank]
        rows.append(cells)
    head = ["family"]
    for name in chains:
        head += [f"{name}: flat, %", "rank"]
    return _table(head, rows)


def _first_step(parts: Mapping[str, Json]) -> list[str]:
    lines: list[str] = []
    for title, part in (
        ("small nets", _of_cells(parts["small nets"])),
        ("models", parts["models"]),
    ):
        rows = []
        for name, steps in part.items():
            own = steps["torch"]["gradient"]
            cells = [name, _number(own)]
            cells += [_ratio(steps[family]["gradient"], own) for family in FAMILIES]
            rows.append(cells)
        exploding = [
            str(sum(_explodes(steps, family) for steps in part.values())) for family in FAMILIES
        ]
        rows.append([f"explode, of {len(part)}", "", *exploding])
        lines += [*_table((title, "torch", *FAMILIES), rows), ""]
    return lines[:-1]


def _explodes(steps: Json, family: str) -> bool:
    gradient = steps[family]["gradient"]
    return gradient is None or gradient >= _EXPLODES * steps["torch"]["gradient"]


def _ratio(gradient: float | None, own: float) -> str:
    if gradient is None:
        return "**not finite**"
    text = _number(gradient / own)
    return f"**{text}**" if gradient >= _EXPLODES * own else text


def _number(value: float) -> str:
    if value >= 1000:
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    return f"{value:.2g}" if value < 100 else f"{value:.0f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f}" if share == 0 or share >= 0.01 else "< 1"


def _features(cells: Mapping[str, Json]) -> list[str]:
    rows = []
    for name, found in _of_cells(cells).items():
        count = next(iter(found.values()))["count"]
        shown = [_of_start(found.get(start)) for start in FEATURE_STARTS]
        rows.append([f"{name}, of {count}", *shown])
    return _table(("net", *FEATURE_STARTS), rows)


def _of_start(found: Json | None) -> str:
    return f"{found['rank']}, {found['error']:.0f} %" if found else ""


def _training(training: Mapping[str, Json]) -> list[str]:
    rows = []
    placed: dict[str, list[float]] = {start: [] for start in CORE}
    failed: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for name, starts in _whole(training).items():
        errors = {start: mean(starts[start]["test_error"]) for start in _COLUMNS if start in starts}
        for start, rank in ranks({start: errors[start] for start in CORE}).items():
            placed[start].append(rank)
        if name.endswith(" ch"):  # of text even a good guess is wrong more often
            tried.update(list(errors))
            failed.update(start for start, error in errors.items() if error >= _STUCK)
        rows.append(
            [name, *(_error(starts.get(start), min(errors.values())) for start in _COLUMNS)]
        )
    places = [f"{mean(placed[start]):.2f}" if start in placed else "" for start in _COLUMNS]
    rows.append(["mean place among the first four", *places])
    stuck = [f"{failed[start]} of {tried[start]}" for start in _COLUMNS]
    rows.append([f"does not train: {_STUCK:.0f} % or more of images wrong", *stuck])
    return _table(("net", *_COLUMNS), rows)


def _error(found: Json | None, best: float) -> str:
    if found is None:
        return ""
    text = spread(found["test_error"], 1)
    text = f"**{text}**" if mean(found["test_error"]) == best else text
    return f"{text} @ {found['rate']:g}{' (edge)' if found['at_edge'] else ''}"


def _whole(training: Mapping[str, Json]) -> dict[str, Json]:
    """Cells that have all core starts."""
    return {
        name: starts
        for name, starts in _of_cells(training).items()
        if all(start in starts for start in CORE)
    }


def _pairs(training: Mapping[str, Json]) -> list[str]:
    pairs = [(_CANDIDATE, other) for other in _COLUMNS if other != _CANDIDATE]
    pairs += [("paley", "torch"), ("paley", "sylvester")]
    rows = [
        [name, *(_against(starts, first, other) for first, other in pairs)]
        for name, starts in _whole(training).items()
    ]
    counts = []
    for column in range(1, len(pairs) + 1):
        words = [row[column].rpartition(" ")[2] for row in rows]
        better, worse, ties = (words.count(each) for each in ("better", "worse", "tie"))
        counts.append(f"{better} better, {worse} worse, {ties} ties")
    rows.append(["**together**", *counts])
    return _table(("net", *(f"{first} - {other}" for first, other in pairs)), rows)


def _against(starts: Json, first: str, other: str) -> str:
    if first not in starts or other not in starts:
        return ""
    each = pair(starts[first]["test_error"], starts[other]["test_error"])
    verdict = {1: "better", -1: "worse", 0: "tie"}[each.verdict]
    return f"{each.difference:+.1f} ± {each.deviation:.1f} {verdict}"


def _ablations(training: Mapping[str, Json]) -> list[str]:
    rows = []
    for name, starts in _whole(training).items():
        cell = next(cell for cell in CELLS if cell.name == name)
        changed = [start for start in cell.starts if start in starts and start not in _COLUMNS]
        for start in ["torch", _CANDIDATE, *changed] if changed else []:
            each = starts[start]
            versus = "" if start == _CANDIDATE else _against(starts, start, _CANDIDATE)
            words = spread(each["test_error"], 1)
            rows.append([name, start, f"{each['rate']:g}", words, versus])
    return _table(("net", "start", "rate", "test error, %", "less odd twisted"), rows, 2)
