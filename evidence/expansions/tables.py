"""The study's tables as Markdown, put between the marks of its README."""

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from evidence.expansions.cells import MAIN
from evidence.expansions.summary import Pair, pair, ranks
from evidence.experiment import Json, mean, spread

_SHOWN = ("sylvester", "paley", "skew paley", "singer", "random signs", "odd twisted", "cosines")
_CANDIDATE = "odd twisted"
_EXPLODES = 100  # times torch's largest gradient, as in evidence/first_steps.md
_GUESSING = 50.0  # percent: an error from which on a start is said not to train


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


def _parities(families: Mapping[str, Json]) -> list[str]:
    channels = list(next(iter(families.values())))
    rows = [
        [name, *(f"{stems[each][0]} of {stems[each][1]}" for each in channels)]
        for name, stems in families.items()
    ]
    return _table(("family", *(f"fan_in {each}" for each in channels)), rows)


def _chains(chains: Mapping[str, Json]) -> list[str]:
    rows = []
    for family in next(iter(chains.values())):
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
    for title, part in parts.items():
        families = [name for name in next(iter(part.values())) if name != "torch"]
        rows = []
        for name, steps in part.items():
            own = steps["torch"]["gradient"]
            cells = [name, _number(own)]
            cells += [_ratio(steps[family]["gradient"], own) for family in families]
            rows.append(cells)
        exploding = [
            str(sum(_explodes(steps, family) for steps in part.values())) for family in families
        ]
        rows.append([f"explode, of {len(part)}", "", *exploding])
        lines += [f"**{title[0].upper()}{title[1:]}**", ""]
        lines += [*_table((title, "torch", *families), rows), ""]
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


def _training(training: Mapping[str, Json]) -> list[str]:
    rows = []
    placed: dict[str, list[float]] = {start: [] for start in MAIN}
    for name, starts in _whole(training).items():
        errors = {start: mean(starts[start]["test_error"]) for start in MAIN}
        for start, rank in ranks(errors).items():
            placed[start].append(rank)
        best = min(errors.values())
        cells = [name]
        for start in MAIN:
            text = spread(starts[start]["test_error"], 1)
            text = f"**{text}**" if errors[start] == best else text
            edge = " (edge)" if starts[start]["at_edge"] else ""
            cells.append(f"{text} @ {starts[start]['rate']:g}{edge}")
        rows.append(cells)
    rows.append(["mean place among the five", *(f"{mean(placed[start]):.2f}" for start in MAIN)])
    failed = [
        str(sum(mean(s[start]["test_error"]) >= _GUESSING for s in _whole(training).values()))
        for start in MAIN
    ]
    rows.append([f"error of {_GUESSING:.0f} % or more", *failed])
    return _table(("net", *MAIN), rows)


def _whole(training: Mapping[str, Json]) -> dict[str, Json]:
    """Cells that have all main starts."""
    return {
        name: starts for name, starts in training.items() if all(start in starts for start in MAIN)
    }


def _pairs(training: Mapping[str, Json]) -> list[str]:
    cells = _whole(training)
    rows = []
    for name, starts in cells.items():
        found = [_against(starts, _CANDIDATE, other) for other in MAIN if other != _CANDIDATE]
        found.append(_against(starts, "paley", "torch"))
        rows.append([name, *(_words(each) for each in found)])
    head = [f"{_CANDIDATE} - {other}" for other in MAIN if other != _CANDIDATE] + ["paley - torch"]
    counts = []
    for column in range(len(head)):
        words = [row[column + 1] for row in rows]
        better = sum(word.endswith("better") for word in words)
        worse = sum(word.endswith("worse") for word in words)
        counts.append(f"{better} better, {worse} worse, {len(words) - better - worse} ties")
    rows.append(["**together**", *counts])
    return _table(("net", *head), rows)


def _against(starts: Json, first: str, other: str) -> Pair:
    return pair(starts[first]["test_error"], starts[other]["test_error"])


def _words(each: Pair) -> str:
    verdict = {1: "better", -1: "worse", 0: "tie"}[each.verdict]
    return f"{each.difference:+.1f} ± {each.deviation:.1f} {verdict}"


def _ablations(training: Mapping[str, Json]) -> list[str]:
    rows = []
    for name, starts in training.items():
        changed = [start for start in starts if start not in MAIN]
        for start in ["torch", _CANDIDATE, *changed] if changed else []:
            each = starts[start]
            words = spread(each["test_error"], 1)
            versus = "" if start == _CANDIDATE else _words(_against(starts, start, _CANDIDATE))
            rows.append([name, start, f"{each['rate']:g}", words, versus])
    return _table(("net", "start", "rate", "test error, %", "less odd twisted"), rows, 2)
