"""Models of full width, from four starts: python -m evidence.full_width [NET...] [--minutes 60].

Each cell is one training of 80 steps: a model, data, a start, a learning rate, a seed. What is done
lies in evidence/results/full_width.jsonl at once, so that a run that was interrupted, or that is
out of its minutes, goes on where it stopped. `--publish` puts all cells into evidence/published and
the table into evidence/full_width.md, rows that are not there yet by name.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evidence.data import (
    IGNORED,
    Data,
    Split,
    batches,
    digits,
    enlarged,
    masked,
    patches,
    text,
)
from evidence.experiment import Json, rounded
from evidence.mnist import mnist
from evidence.starts import ENDS, OPEN_ATTENTION, WEIGHTS, ZERO_HEAD, start
from evidence.wide_nets import CONTEXT, NETS, WideNet

_FOLDER = Path(__file__).resolve().parent
CELLS = _FOLDER / "results" / "full_width.jsonl"
STEPS = 80
BATCH = 48
_TEXT_BATCH = 16
_WARMUP = 8  # steps, under AdamW
_VALIDATED = 200
_TESTED = 400  # test examples, in forty blocks, which are what is compared
_TEXTS = 120  # windows of text, likewise
_BLOCKS = 40
_AT_ONCE = 100
SEEDS = (0, 1)
DEEP = ("resnet50", "small ResNet of 54 blocks")
"""Nets that other scales of the norms at the ends of their branches are tried on."""
_HEADED = "vit_tiny"  # the net whose constructor sets its head to 0
_WEIGHT_ENDS = ("vit_tiny", "gpt", "GPT of 32 layers")
"""Nets that other weights at the ends of their branches, and open attention, are tried on."""
_HOPELESS = 1e4  # a loss beyond which no run here has come back
DATA: Mapping[str, Callable[[], Data | None]] = MappingProxyType(
    {
        "photographs": lambda: enlarged(patches(), 32),
        "photographs at 16": patches,
        "photographs at 64": lambda: enlarged(patches(), 64),
        "digits": lambda: enlarged(digits(3), 32),
        "digits at 16": lambda: digits(3, 16),
        "mnist": mnist,
        "text": lambda: text(CONTEXT),
        "masked text": lambda: masked(CONTEXT),
    }
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """One training."""

    net: str
    data: str
    start: str
    rate: float
    seed: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Trained:
    """What came of it. A training that diverged has the loss and error of guessing.

    Attributes:
        train_loss: the mean of the last ten steps.
        validation_loss: with statistics of the batch: running ones have not settled in 80 steps.
        test_loss: likewise.
        test_error: percent, likewise.
        blocks: of each fortieth of the test, error in percent, of text the loss: what is paired.
        diverged: the step at which the loss was not finite or beyond hope, if any.
        seconds: how long it took.
    """

    train_loss: float
    validation_loss: float
    test_loss: float
    test_error: float
    blocks: list[float]
    diverged: int | None
    seconds: float


def cells() -> Iterator[Cell]:
    """Every cell, what tells most first: two rates of all nets, the third, the second seed, on."""
    most = max(len(net.data) for net in NETS.values())
    first, second = SEEDS
    for at in range(most):
        nets = [(name, net) for name, net in NETS.items() if at < len(net.data)]
        for seed, rates in ((first, slice(2)), (first, slice(2, None)), (second, slice(None))):
            for name, net in nets:
                for rate in net.rates[rates]:
                    for begin in ("zero", "torch"):
                        yield Cell(net=name, data=net.data[at], start=begin, rate=rate, seed=seed)
        for begin in ("zero-1", "zero-paper"):
            for name, net in nets:
                rate = net.rates[1]
                yield Cell(net=name, data=net.data[at], start=begin, rate=rate, seed=first)
    for name in DEEP:
        for rate in NETS[name].rates[1:]:
            for begin in ENDS:
                yield Cell(net=name, data=NETS[name].data[0], start=begin, rate=rate, seed=first)
    for name in _WEIGHT_ENDS:
        for rate in NETS[name].rates:
            for begin in (*WEIGHTS, OPEN_ATTENTION):
                yield Cell(net=name, data=NETS[name].data[0], start=begin, rate=rate, seed=first)
    for rate in NETS[_HEADED].rates:
        data = NETS[_HEADED].data[0]
        yield Cell(net=_HEADED, data=data, start=ZERO_HEAD, rate=rate, seed=first)


@cache
def data_of(name: str) -> Data | None:
    """Data by its name in `DATA`; None where it cannot be had."""
    return DATA[name]()


def measure(cell: Cell, data: Data) -> Trained:
    """Train once.

    Args:
        cell: what.
        data: the cell's.
    """
    net, started = NETS[cell.net], time.perf_counter()
    model = _without_chance(start(lambda: net.build(data.classes), cell.start, cell.seed))
    curve = _train(model, net, data, cell)
    diverged = None if curve[-1] < _HOPELESS else len(curve) - 1
    tested = _TEXTS if net.text else _TESTED
    if diverged is None:
        validation, _ = _scores(model, data.validation, _VALIDATED)
        losses, wrong = _scores(model, data.test, tested)
    if diverged is not None or not math.isfinite(float(losses.sum())):
        guess, error = math.log(data.classes), 100 * (1 - 1 / data.classes)
        validation = losses = torch.full((tested,), guess)
        wrong = torch.full((tested,), error / 100)
        diverged = len(curve) - 1 if diverged is None else diverged
    paired = losses if net.text else 100 * wrong
    last = curve[-10:] if diverged is None else [math.log(data.classes)]
    return Trained(
        train_loss=math.fsum(last) / len(last),
        validation_loss=float(validation.mean()),
        test_loss=float(losses.mean()),
        test_error=float(100 * wrong.mean()),
        blocks=paired.view(_BLOCKS, -1).mean(1).tolist(),
        diverged=diverged,
        seconds=time.perf_counter() - started,
    )


def _train(model: nn.Module, net: WideNet, data: Data, cell: Cell) -> list[float]:
    """The loss of each step; it ends where the loss is beyond hope."""
    model.train()
    optimizer: torch.optim.Optimizer
    if net.adam:
        rate, betas = cell.rate, (0.9, 0.95)
        optimizer = torch.optim.AdamW(model.parameters(), rate, betas=betas, weight_decay=0.01)
    else:
        optimizer = torch.optim.SGD(
            model.parameters(), cell.rate, momentum=0.9, nesterov=True, weight_decay=5e-4
        )
    curve: list[float] = []
    size = _TEXT_BATCH if net.text else BATCH
    for step, chosen in enumerate(batches(len(data.train), size, STEPS, cell.seed)):
        warm = min(1.0, (step + 1) / _WARMUP) if net.adam else 1.0
        for group in optimizer.param_groups:
            group["lr"] = cell.rate * warm * 0.5 * (1 + math.cos(math.pi * step / STEPS))
        loss = _losses(model(data.train.inputs[chosen]), data.train.targets[chosen]).mean()
        curve.append(loss.item())
        if not curve[-1] < _HOPELESS:
            return [*curve[:-1], math.inf]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
    return curve


def _scores(model: nn.Module, split: Split, most: int) -> tuple[Tensor, Tensor]:
    """The loss of each of some examples, and whether it is wrong (of text, the share).

    In train mode by statistics of each hundred, in an order that mixes the answers (the photographs
    lie in reading order); running ones are left alone.
    """
    norms = [each for each in model.modules() if isinstance(each, nn.BatchNorm2d)]
    kept = [each.momentum for each in norms]
    for norm in norms:
        norm.momentum = 0.0
    order = torch.randperm(len(split), generator=torch.Generator().manual_seed(0))
    order = order[: min(most, len(split)) // _BLOCKS * _BLOCKS]
    losses, wrong = [], []
    with torch.no_grad():
        for part in order.split(_AT_ONCE):
            logits, targets = model(split.inputs[part]), split.targets[part]
            asked = (targets != IGNORED).view(len(targets), -1).float()
            found = (logits.argmax(-1) != targets).view(len(targets), -1) * asked
            losses.append(_losses(logits, targets))
            wrong.append(found.sum(1) / asked.sum(1).clamp(min=1))
    for norm, momentum in zip(norms, kept, strict=True):
        norm.momentum = momentum
    return torch.cat(losses), torch.cat(wrong)


def _losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross-entropy of each example, its mean over the positions that are asked for."""
    each = cross_entropy(logits.flatten(0, -2), targets.flatten(), reduction="none")
    asked = (targets != IGNORED).view(len(targets), -1).sum(1)
    return each.view(len(targets), -1).sum(1) / asked.clamp(min=1)


def _without_chance(model: nn.Module) -> nn.Module:
    """Dropout and stochastic depth set to 0: the seed decides order and random start alone."""
    for module in model.modules():
        if isinstance(module, nn.Dropout) or type(module).__name__ == "StochasticDepth":
            module.p = 0.0  # type: ignore[assignment]  # StochasticDepth's is a plain number too
    return model


def stored() -> dict[Cell, Trained]:
    """What has been measured."""
    if not CELLS.exists():
        return {}
    lines = [json.loads(line) for line in CELLS.read_text(encoding="utf-8").splitlines()]
    return {Cell(**line["cell"]): Trained(**line["trained"]) for line in lines}


def main() -> int:
    """Measure what is missing, as long as there are minutes."""
    parser = argparse.ArgumentParser(prog="evidence.full_width", description=__doc__)
    parser.add_argument("nets", nargs="*", metavar="NET", help="all if none")
    parser.add_argument("--start", help="this start alone: zero, torch, zero-1 or zero-paper")
    parser.add_argument("--data", choices=list(DATA), help="these data alone")
    parser.add_argument("--seed", type=int, choices=SEEDS, help="this seed alone")
    parser.add_argument("--minutes", type=float, default=math.inf, help="begin no cell after these")
    parser.add_argument("--publish", action="store_true", help="write the table and the JSON")
    parsed = parser.parse_args()
    if parsed.publish:
        from evidence.full_width_report import publish

        publish(stored())
        return 0
    torch.set_num_threads(1)  # so that sums, and their rounding, are the same each time
    started, done = time.perf_counter(), stored()
    CELLS.parent.mkdir(parents=True, exist_ok=True)
    for cell in cells():
        if cell in done or (parsed.nets and cell.net not in parsed.nets):
            continue
        wanted = (parsed.start, cell.start), (parsed.data, cell.data), (parsed.seed, cell.seed)
        if any(asked not in (None, has) for asked, has in wanted):
            continue
        if time.perf_counter() - started > 60 * parsed.minutes:
            continue
        data = data_of(cell.data)
        if data is None:
            _say(f"skipped, {cell.data} cannot be had: {cell}")
            continue
        trained = measure(cell, data)
        line: Json = {"cell": asdict(cell), "trained": rounded(asdict(trained))}
        with CELLS.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")
        _say(f"{cell}: {trained.test_error:.1f} %, {trained.seconds:.0f} s")
    return 0


def _say(message: str) -> None:
    print(message, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
