"""Reproducibility: what the test loss still depends on, and when two runs end in the same bits.

From ZerO only the order of examples is left to chance. How much is that of the whole spread? And
with the same order: are two trainings equal bit by bit, in one process or another, with one thread
or more?
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from matplotlib.figure import Figure
from torch import nn

from evidence.data import digits
from evidence.experiment import (
    Cells,
    Effort,
    Experiment,
    Json,
    Row,
    Verdict,
    deviation,
    mean,
    spread,
)
from evidence.figures import COLOURS, dots, panels
from evidence.nets import image_net
from evidence.starts import start
from evidence.training import Recipe, threads, train

_NETS = {"mlp": ("MLP 64-128-128-10", 300), "resnet20": ("ResNet-20", 80)}  # title, steps
_VARIED = {  # start, and whether the seed of the start and that of the order vary
    "zero/order": ("zero", False, True),
    "kaiming/order": ("kaiming", False, True),
    "kaiming/init": ("kaiming", True, False),
    "kaiming/both": ("kaiming", True, True),
}
_LABELS = {
    "zero/order": "ZerO,\nseeds of order",
    "kaiming/order": "Kaiming,\nseeds of order",
    "kaiming/init": "Kaiming,\nseeds of init",
    "kaiming/both": "Kaiming,\nboth",
}
_BITS = {"1 thread": 1, "1 thread again": 1, "2 threads": 2, "2 threads again": 2}
_BITS_STEPS = 20  # one rounding at the first step is enough to tell bits apart
_MORE_SEEDS = 1.6  # times as many as elsewhere: it is the spread that is measured


def cells(effort: Effort) -> Mapping[str, Callable[[], Json]]:
    """One of each net and what varies; and one for each training that is compared bit by bit."""
    spreads = {
        f"{net}/{varied}": partial(_spread, net, varied, effort)
        for net in _NETS
        for varied in _VARIED
    }
    bits = {
        f"{net}/bits/{name}": partial(_bits, net, count, effort)
        for net in _NETS
        for name, count in _BITS.items()
    }
    return {**spreads, **bits}


def _recipe(net: str, effort: Effort) -> Recipe:
    return Recipe(learning_rate=0.1, steps=effort.steps(_NETS[net][1]), batch=50)


def _spread(net: str, varied: str, effort: Effort) -> Json:
    begin, of_init, of_order = _VARIED[varied]
    outcomes = [
        train(
            start(image_net(net), begin, seed if of_init else 0),
            digits(),
            _recipe(net, effort),
            seed if of_order else 0,
        )
        for seed in range(round(_MORE_SEEDS * effort.seeds))
    ]
    return {
        "test_loss": [each.test_loss for each in outcomes],
        "test_error": [each.test_error for each in outcomes],
    }


def _bits(net: str, count: int, effort: Effort) -> Json:
    with threads(count):
        model = start(image_net(net), "zero")
        recipe = replace(_recipe(net, effort), steps=effort.steps(_BITS_STEPS))
        outcome = train(model, digits(), recipe, 0)
    return {"sha256": _digest(model), "test_loss": outcome.test_loss}


def _digest(model: nn.Module) -> str:
    state = hashlib.sha256()
    for _, tensor in sorted(model.state_dict().items()):
        state.update(tensor.contiguous().numpy().tobytes())
    return state.hexdigest()


def figure(results: Cells) -> Figure:
    """A panel for each net: the test loss of each seed."""
    drawn, axes = panels(
        1, len(_NETS), "Reproducibility: test loss by what is left to chance, one dot a seed"
    )
    for panel, (net, (title, _)) in zip(axes, _NETS.items(), strict=True):
        for at, varied in enumerate(_VARIED):
            values = results[f"{net}/{varied}"]["test_loss"]
            dots(panel, at, values, COLOURS[_VARIED[varied][0]])
            panel.annotate(
                f"± {deviation(values):.3f}",
                (at, max(values)),
                xytext=(0, 6),
                textcoords="offset points",
                ha="center",
                fontsize=8,
            )
        panel.set_xticks(range(len(_VARIED)), list(_LABELS.values()), fontsize=8)
        panel.grid(visible=False, axis="x")
        panel.margins(y=0.15)
        panel.set_ylabel("test loss")
        panel.set_title(title)
    return drawn


def rows(results: Cells, effort: Effort) -> Sequence[Row]:
    """Spread, equal bits with one thread, and with more."""
    return [
        *(_spread_row(results, net, effort) for net in _NETS),
        *(_bits_row(results, net, effort) for net in _NETS),
    ]


def _spread_row(results: Cells, net: str, effort: Effort) -> Row:
    losses = {varied: results[f"{net}/{varied}"]["test_loss"] for varied in _VARIED}
    words = ", ".join(
        f"{_LABELS[varied].replace(chr(10), ' ')} {spread(values, 3)}"
        for varied, values in losses.items()
    )
    own, other = deviation(losses["zero/order"]), deviation(losses["kaiming/both"])
    # Relative to the mean, because a larger loss spreads more.
    relative = own / mean(losses["zero/order"]), other / mean(losses["kaiming/both"])
    verdict: Verdict = "does not hold"
    if own < other:
        verdict = "holds" if relative[0] < relative[1] else "holds partly"
    title = _NETS[net][0]
    return Row(
        claim=f"{title}: the test loss varies less from ZerO",
        run=f"digits, SGD at 0.1, momentum 0.9, {_recipe(net, effort).steps} steps, "
        f"{len(losses['zero/order'])} seeds of each kind",
        result=f"test loss: {words}",
        verdict=verdict,
    )


def _bits_row(results: Cells, net: str, effort: Effort) -> Row:
    digests = {name: results[f"{net}/bits/{name}"]["sha256"] for name in _BITS}
    one = digests["1 thread"] == digests["1 thread again"]
    two = digests["2 threads"] == digests["2 threads again"]
    across = digests["1 thread"] == digests["2 threads"]
    losses = [results[f"{net}/bits/{name}"]["test_loss"] for name in ("1 thread", "2 threads")]
    between = (
        "the same bits" if across else f"other bits (test loss {losses[0]:.4f}, {losses[1]:.4f})"
    )
    verdict: Verdict = "holds" if one and across else "holds partly" if one else "does not hold"
    return Row(
        claim=f"{_NETS[net][0]}: two trainings from ZerO in the same order end in the same bits",
        run=f"{effort.steps(_BITS_STEPS)} such steps, twice with one thread and twice with two; "
        "SHA-256 of all weights",
        result=f"one thread: {_equal(one)}; two threads: {_equal(two)}; one against two: {between}",
        verdict=verdict,
    )


def _equal(same: bool) -> str:
    return "the same bits" if same else "other bits"


experiment = Experiment(
    name="reproducibility",
    title="Reproducibility",
    cells=cells,
    figure=figure,
    rows=rows,
)
