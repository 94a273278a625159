"""Cost against bytes as a picture: python -m benchmarks.plot draws it anew from the results."""

import json
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

_FOLDER = Path(__file__).resolve().parent
_LINES = (
    ("write_seconds", "values + write + hash", "o", "#c2410c"),
    ("verify_seconds", "verify", "s", "#1d4ed8"),
    ("digest_seconds", "values + hash, nothing written", "^", "#15803d"),
    ("sha256_seconds", "openssl dgst -sha256 of the file", "x", "#57534e"),
)


def draw(series: Sequence[Any], path: Path) -> None:
    """Seconds against bytes, both logarithmic.

    Args:
        series: of the part `sizes`, as the results file holds them.
        path: of the SVG.
    """
    import matplotlib as mpl

    mpl.use("svg")
    # The same numbers give the same file: no date, no random names of clips.
    mpl.rcParams |= {"svg.hashsalt": "zeroinit", "svg.fonttype": "path", "font.size": 11}
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7.5, 4.6), layout="constrained")
    sizes = [median(sample["file_bytes"] for sample in one["samples"]) for one in series]
    for name, label, marker, colour in _LINES:
        points = [
            (size, median(found))
            for size, one in zip(sizes, series, strict=True)
            if (found := [sample[name] for sample in one["samples"] if name in sample])
        ]
        axes.plot(*zip(*points, strict=True), marker=marker, color=colour, label=label, lw=1.3)
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="bytes of the checkpoint",
        ylabel="seconds, median",
        title="Cost grows with the bytes, and the hash is what costs",
    )
    axes.set_xticks(sizes, [one["name"] for one in series], rotation=30, ha="right")
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


if __name__ == "__main__":
    results = json.loads((_FOLDER / "results.json").read_text(encoding="utf-8"))
    sizes = next(part for part in results["parts"] if part["key"] == "sizes")
    draw(sizes["series"], _FOLDER / "sizes.svg")
