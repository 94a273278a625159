"""How the training loss falls from ZerO's starts and from torch's own: the figure of the README.

It is drawn from what the accuracy experiment measured, by `python -m evidence.run accuracy`, or
again by `python -m evidence.run --redraw accuracy`.
"""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from matplotlib.figure import Figure

from evidence.experiment import Cells
from evidence.figures import COLOURS, LINES, panels

_NETS: Mapping[str, str] = MappingProxyType(
    {
        "resnet20": "ResNet-20, handwritten digits",
        "mobilenet_v2": "MobileNetV2-like, digits",
        "gpt": "GPT of 4 layers, Python's sources",
    }
)
_STARTS = {"torch": "torch's own start", "zero-paper": "ZerO, --policy paper", "zero": "ZerO"}
_SMOOTHED = 5  # steps, half of them to each side


def figure(results: Cells) -> Figure:
    """A panel for each net, a line for each start: the mean of the seeds, at the start's own rate.

    Args:
        results: of the accuracy experiment.
    """
    drawn, axes = panels(1, len(_NETS), "", width=10.5, height=3.1)
    for panel, (net, title) in zip(axes, _NETS.items(), strict=True):
        for begin, label in _STARTS.items():
            steps, losses = smoothed(results[f"{net}/{begin}"]["curve"])
            panel.plot(
                steps,
                losses,
                color=COLOURS[begin],
                linestyle=LINES[begin],
                linewidth=2.4 if begin == "zero" else 1.9,
                label=label,
            )
        panel.set_title(title)
        panel.set_xlabel("training step")
        if net != "gpt":  # whose loss falls by half alone
            panel.set_yscale("log")
            panel.set_yticks([0.03, 0.1, 0.3, 1, 3], ["0.03", "0.1", "0.3", "1", "3"])
            panel.set_yticks([], minor=True)
            panel.set_ylim(0.006, 4)
    axes[0].set_ylabel("training loss")
    axes[-1].legend(loc="upper right", fontsize=9.5)
    return drawn


def smoothed(curve: Sequence[Sequence[float | None]]) -> tuple[list[float], list[float]]:
    """Steps and the mean loss around each, up to where there are no more numbers.

    Args:
        curve: pairs of a step and its loss.
    """
    numbers: list[tuple[float, float]] = []
    for step, loss in curve:
        if step is None or loss is None:
            break
        numbers.append((step, loss))
    half = _SMOOTHED // 2
    steps, losses = [], []
    for i in range(len(numbers) - half):
        reach = min(half, i)  # to both sides alike, so that the first stays as it is
        near = [loss for _, loss in numbers[i - reach : i + reach + 1]]
        steps.append(numbers[i][0])
        losses.append(math.fsum(near) / len(near))
    return steps, losses
