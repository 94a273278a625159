"""The one table and the one figure of evidence/README.md: three starts, family by family.

They are made of what the accuracy experiment and the study at full width have published.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from matplotlib.figure import Figure

from evidence.accuracy import TASKS
from evidence.experiment import Cells, mean, pooled
from evidence.figures import COLOURS, panels
from evidence.full_width import Cell, Trained
from evidence.full_width_report import rows, verdict
from evidence.wide_nets import NETS

_SMALL: Mapping[str, str] = MappingProxyType(  # of the accuracy experiment -> its family
    {
        "resnet20": "residual",
        "vgg_bn": "chains",
        "mobilenet_v2": "mobile",
        "vit": "transformers",
        "gpt": "text",
        "gpt-no-warmup": "text",
    }
)
_WIDE: Mapping[str, str] = MappingProxyType(  # of the study at full width, likewise
    {
        "resnet18": "residual",
        "resnet50": "residual",
        "regnet_y_400mf": "residual",
        "small ResNeXt, stem 7 x 7": "residual",
        "small ResNet of 54 blocks": "residual",
        "densenet121": "residual",
        "vgg11_bn": "chains",
        "vgg11": "chains",
        "alexnet": "chains",
        "squeezenet1_1": "chains",
        "small VGG, stem 64 x 27": "chains",
        "small chain of even kernels": "chains",
        "mobilenet_v2": "mobile",
        "mobilenet_v3_small": "mobile",
        "mnasnet1_0": "mobile",
        "shufflenet_v2_x1_0": "mobile",
        "efficientnet_b0": "mobile",
        "convnext_tiny": "transformers",
        "vit_tiny": "transformers",
        "small Swin": "transformers",
        "gpt": "text",
        "GPT of 32 layers": "text",
        "small BERT": "text",
        "small GPT of experts": "text",
        "small LSTM": "text",
    }
)
_FAMILIES = {
    "residual": "with shortcuts",
    "chains": "without shortcuts",
    "mobile": "depthwise",
    "transformers": "transformers for images, ConvNeXt",
    "text": "text",
}
_STARTS = ("zero", "zero-paper", "torch")
_MARKERS = {"zero": "o", "zero-paper": "x", "torch": "s"}
_NAMES = {"zero": "ZerO", "zero-paper": "ZerO, --policy paper", "torch": "torch's own start"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """A net with its data.

    Attributes:
        family: of `_FAMILIES`.
        title: of the net and its data.
        text: whether the numbers are nats a byte, and not errors in percent.
        seeds: how many.
        values: start -> mean; one that was not measured is not there.
        verdict: ZerO against torch's start: better, level or worse.
    """

    family: str
    title: str
    text: bool
    seeds: int
    values: Mapping[str, float]
    verdict: str


def lines(published: Path) -> list[Line]:
    """All nets, family by family, the small ones first.

    Args:
        published: the folder of what the experiments have left.
    """
    accuracy = json.loads((published / "accuracy.json").read_text(encoding="utf-8"))["cells"]
    wide = json.loads((published / "full_width.json").read_text(encoding="utf-8"))
    trained = {Cell(**each["cell"]): Trained(**each["trained"]) for each in wide}
    found = [*_small(accuracy), *_wide(trained)]
    return sorted(found, key=lambda line: list(_FAMILIES).index(line.family))


def _small(results: Cells) -> Iterator[Line]:
    for name, family in _SMALL.items():
        task = TASKS[name]
        values = {begin: results[f"{name}/{begin}"][task.measure] for begin in _STARTS}
        ours, theirs = values["zero"], values["torch"]
        gap = mean(ours) - mean(theirs)
        word = "better" if gap < 0 else "worse"
        yield Line(
            family=family,
            title=f"{task.title}; {'text' if name.startswith('gpt') else 'digits'}",
            text=task.measure == "test_loss",
            seeds=len(ours),
            values={begin: mean(each) for begin, each in values.items()},
            verdict="level" if abs(gap) <= pooled(ours, theirs) else word,
        )


def _wide(trained: Mapping[Cell, Trained]) -> Iterator[Line]:
    for row in rows(trained):
        text = NETS[row.net].text
        values = {
            begin: mean([run.test_loss if text else run.test_error for run in row.chosen(begin)])
            for begin in _STARTS
            if row.chosen(begin)
        }
        yield Line(
            family=_WIDE[row.net],
            title=f"{row.net}; {row.data}",
            text=text,
            seeds=min(len(row.chosen("zero")), len(row.chosen("torch"))),
            values=values,
            verdict=verdict(row, "torch"),
        )


def markdown(listed: Sequence[Line]) -> str:
    """The table, and a line of counts."""
    head = "| net; data | seeds | ZerO | `--policy paper` | torch's start | ZerO against torch |\n"
    text = head + "| --- | ---: | ---: | ---: | ---: | --- |\n"
    for family, words in _FAMILIES.items():
        text += f"| **{words}** | | | | | |\n"
        text += "".join(_row(line) for line in listed if line.family == family)
    verdicts = [line.verdict for line in listed]
    counts = ", ".join(f"{verdicts.count(word)} {word}" for word in ("better", "level", "worse"))
    return f"{text}\nZerO against torch's start in {len(listed)} rows: {counts}.\n"


def _row(line: Line) -> str:
    values = [line.values.get(begin) for begin in _STARTS]
    words = ["-" if each is None else f"{each:.{2 if line.text else 1}f}" for each in values]
    marked = f"**{line.verdict}**" if line.verdict == "worse" else line.verdict
    return f"| {line.title} | {line.seeds} | {' | '.join(words)} | {marked} |\n"


def figure(listed: Sequence[Line]) -> Figure:
    """Errors of images to the left, losses of text to the right; a marker for each start."""
    drawn, axes = panels(1, 2, "", width=10.5)
    for panel, text in zip(axes, (False, True), strict=True):
        shown = [line for line in listed if line.text == text]
        for begin in _STARTS:
            there = [at for at, line in enumerate(shown) if begin in line.values]
            panel.plot(
                [shown[at].values[begin] for at in there],
                there,
                _MARKERS[begin],
                color=COLOURS[begin],
                markersize=7,
                markerfacecolor="none" if begin == "torch" else COLOURS[begin],
                markeredgewidth=1.8,
                linestyle="none",
                label=_NAMES[begin],
            )
        panel.set_yticks(range(len(shown)), [line.title for line in shown], fontsize=8)
        panel.set_ylim(len(shown) - 0.5, -0.5)
        panel.set_xlabel("test loss, nats a byte" if text else "test error, %")
        if not text:
            panel.set_xlim(left=0)
    axes[1].legend(loc="upper right")
    drawn.set_size_inches(10.5, 1.2 + 0.24 * sum(not line.text for line in listed))
    return drawn
