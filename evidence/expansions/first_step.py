"""The largest gradient at step 0 and the flat channels, of small nets and of torchvision's."""

import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from evidence.data import batches
from evidence.expansions.beginnings import begin
from evidence.expansions.cells import CELLS, Cell
from evidence.expansions.matrices import FAMILIES
from evidence.expansions.substitution import put, with_family
from evidence.photographs import photographs
from evidence.starts import own_start, plan_of
from evidence.steps import batch_norm_channels
from evidence.training import one_thread
from zeroinit_cli.probing.hooks import Watch, gradient_norms

MODELS = (
    "densenet121",
    "efficientnet_b0",
    "googlenet",
    "mnasnet0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "regnet_y_400mf",
    "resnet18",
    "resnet50",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
    "vgg11_bn",
)
"""Of torchvision's: one of each family with batch norm, and all that paley does not mend."""

_IMAGES, _PIXELS = 8, 96  # as in evidence/first_steps.md


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstStep:
    """What a start looks like to its first step.

    Attributes:
        gradient: the largest norm of a parameter's gradient; None if one is not finite.
        flat: channels of batch norms whose variance over the batch is below the norm's eps.
        channels: of batch norms.
    """

    gradient: float | None
    flat: int
    channels: int


def first_step(model: nn.Module, inputs: Tensor, targets: Tensor) -> FirstStep:
    """Of one batch, in train mode."""
    watch = Watch(units=False)
    with one_thread(), watch.on(model.train()):
        logits = _logits(model(inputs))
        loss = cross_entropy(logits.flatten(0, -2), targets.flatten())
    with one_thread():
        loss.backward()
    norms = gradient_norms(model).values()
    largest = max(norms) if all(map(math.isfinite, norms)) else None
    channels, flat = batch_norm_channels(model, watch)
    return FirstStep(gradient=largest, flat=flat, channels=channels)


def _logits(output: object) -> Tensor:
    """Of the main head, where there are auxiliary ones."""
    logits: Tensor = output if isinstance(output, Tensor) else output.logits  # type: ignore[attr-defined]  # GoogLeNet's
    return logits


def small_nets(names: Sequence[str] = tuple(FAMILIES)) -> Iterator[tuple[str, dict[str, object]]]:
    """Every cell's net on its first batch, from each start."""
    for cell in CELLS:
        yield cell.name, _steps(names, lambda start, cell=cell: _of_cell(cell, start))  # type: ignore[misc]  # bound now


def _of_cell(cell: Cell, start: str) -> FirstStep:
    train = cell.data.train
    chosen = next(batches(len(train), cell.recipe.batch, 1, 0))
    return first_step(begin(cell, start, 0), train.inputs[chosen], train.targets[chosen])


def models(names: Sequence[str] = tuple(FAMILIES)) -> Iterator[tuple[str, dict[str, object]]]:
    """Torchvision's on the photographs, from each start."""
    for name in MODELS:
        print(name, file=sys.stderr, flush=True)
        yield name, _steps(names, lambda start, name=name: _of_model(name, start))  # type: ignore[misc]  # bound now


def _of_model(name: str, start: str) -> FirstStep:
    model = own_start(name)
    if start != "torch":
        put(with_family(plan_of(name), FAMILIES[start]), model)
    return first_step(model, *photographs(_IMAGES, _PIXELS))


def _steps(names: Sequence[str], of: Callable[[str], FirstStep]) -> dict[str, object]:
    return {start: asdict(of(start)) for start in ("torch", *names)}
