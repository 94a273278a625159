"""Everything that the study measured, as one JSON file in the repository."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from evidence.expansions.algebra import SHAPES, chain, even_stems, facts
from evidence.expansions.cells import CELLS, Cell
from evidence.expansions.matrices import FAMILIES
from evidence.expansions.runs import Runs
from evidence.expansions.summary import cell_summary
from evidence.experiment import Json, rounded
from evidence.report import write_json

_STEMS = (1, 2, 3, 4, 8)
_CHAINS = ((1, 16, 32, 64, 128), (3, 64, 128, 256, 512))


def matrices() -> Json:
    """Facts of every family at every shape."""
    return [
        {
            "fan_out": fan_out,
            "fan_in": fan_in,
            "where": where,
            "families": {
                name: asdict(facts(family.entries(fan_out, fan_in)))
                for name, family in FAMILIES.items()
            },
        }
        for fan_out, fan_in, where in SHAPES
    ]


def parities() -> Json:
    """Stems in which every unit could be cancelled, by family and by channels of the input."""
    families = [
        family for name, family in FAMILIES.items() if name not in ("cosines", "identities")
    ]
    return {
        family.name: {str(fan_in): list(even_stems(family, fan_in)) for fan_in in _STEMS}
        for family in families
    }


def chains() -> Json:
    """Expansions one after the other, by their widths."""
    return {
        f"from {widths[0]} channel{'s' if widths[0] > 1 else ''}": {
            name: [asdict(link) for link in chain(family, widths)]
            for name, family in FAMILIES.items()
        }
        for widths in _CHAINS
    }


def training(runs: Runs, seeds: int, cells: Sequence[Cell] = CELLS) -> Json:
    """Every start of every cell that was trained to the end."""
    found: Json = {}
    for cell in cells:
        for start in cell.starts:
            summary = cell_summary(runs, cell, start, seeds)
            if summary is not None:
                found.setdefault(cell.name, {})[start] = summary
    return found


def read(path: Path) -> Json:
    """What is known, by part; nothing at first."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def add(path: Path, part: str, value: Json) -> None:
    """Replace a part of the file."""
    write_json(path, {**read(path), part: rounded(value)})
