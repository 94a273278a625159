"""Every start that is compared: ZerO's from zeroinit itself, and what others do.

Small nets have a start by each name of `STARTS`; a random one is made by a seed of its own and
touches no other random state. Torchvision's models have two, ZerO's by way of a checkpoint and
torch's own, made as `zeroinit probe` makes them.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import torch
from torch import nn

import zeroinit_cli
from zeroinit_cli.atomic import guarded
from zeroinit_cli.models import plan_source
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Zeros
from zeroinit_cli.policies import DEFAULT, PAPER, Policy
from zeroinit_cli.probing.inits import Init, stored_init, torch_init
from zeroinit_cli.sources import parse_source
from zeroinit_cli.store.read import read_checkpoint
from zeroinit_cli.store.write import write_checkpoint

Build = Callable[[], nn.Module]


class Start(NamedTuple):
    """A way to begin, and what figures call it."""

    label: str
    fill: Callable[[nn.Module, Build], None]
    random: bool


def start(build: Build, name: str, seed: int = 0) -> nn.Module:
    """A net at its start.

    Args:
        build: makes the net.
        name: of `STARTS`.
        seed: of a random start; ZerO's do not depend on it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        STARTS[name].fill(model, build)
    return model


def _zero(policy: Policy) -> Callable[[nn.Module, Build], None]:
    """What `zeroinit generate` writes under a policy, by its Python interface."""

    def fill(model: nn.Module, build: Build) -> None:
        zeroinit_cli.init_(model, build=build, policy=policy)

    return fill


def zero_with(build: Build, *overrides: str, **choices: Any) -> nn.Module:
    """ZerO's start with `--override`s, or with some choices of the policy made otherwise.

    Args:
        build: makes the net.
        overrides: such as 'stem.weight=algorithm-2'.
        choices: of `Policy`, where they are not the default's.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build()
    policy = replace(DEFAULT, name="", **choices) if choices else DEFAULT
    return zeroinit_cli.init_(model, build=build, overrides=overrides, policy=policy)


ZERO_1 = Policy(
    expansion="sylvester",
    last_norm=0.0,
    last_weight=0.0,
    kernels="centre",
    stems="centre",
    contraction="identity",
    tables="algorithm-1",
    chains="none",
)
"""The rules of scheme zero-1, the project's first draft."""
ENDS: Mapping[str, float] = MappingProxyType(
    {"zero-closed": 0.0, "zero-eighth": 1 / 8, "zero-half": 1 / 2}
)
"""Scales of norms that end a branch, by what a start is called that has them in place of 1/4."""
WEIGHTS: Mapping[str, float] = MappingProxyType(
    {"zero-weights-closed": 0.0, "zero-weights-quarter": 1 / 4}
)
"""Factors of weights that end a branch behind a norm, likewise in place of 1/16."""
OPEN_ATTENTION = "zero-attention-open"
"""The start whose queries, keys and values are the identity, and the output 1/16 of it."""
ZERO_HEAD = "zero-head"
"""The start whose head is 0, as the constructor of torchvision's ViT sets it."""


def _open_attention(model: nn.Module, build: Build) -> None:
    """ZerO's, but attention as it is where no V closes it: of fused projections, as ours have."""
    _zero(DEFAULT)(model, build)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("qkv.weight", "in_proj_weight")):
                weight.copy_(torch.eye(weight.shape[1]).repeat(3, 1))
            elif name.endswith((".proj.weight", "out_proj.weight")):
                weight.copy_(torch.eye(weight.shape[1]) * DEFAULT.last_weight)


def _zero_head(model: nn.Module, build: Build) -> None:
    """ZerO's, but the last linear layer 0."""
    _zero(DEFAULT)(model, build)
    last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
    nn.init.zeros_(last.weight)


def _as_constructed(model: nn.Module, build: Build) -> None:
    """Torch's own start."""


def _kaiming(model: nn.Module, build: Build) -> None:
    """He's normal, by fan_in and for ReLU, in every Linear and convolution; biases 0."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            _no_bias(module)


def _fixup(model: nn.Module, build: Build) -> None:
    """Kaiming, but the last layer of each residual branch and the classifier 0, as Fixup has it.

    Which layers end a branch is what the plan under `--policy paper` says. The layers before them
    are scaled by blocks ** (-1 / 2), Fixup's factor for branches of two layers.
    """
    _kaiming(model, build)
    plan = zeroinit_cli.plan(build, policy=PAPER)
    ends = [
        each.info.name.removesuffix(".weight")
        for each in plan.tensors
        if isinstance(each.rule, Zeros) and each.info.name.endswith(".weight")
    ]
    with torch.no_grad():
        for name in ends:
            end = model.get_submodule(name)
            end.weight.zero_()  # type: ignore[operator]  # a layer's
            for sibling in model.get_submodule(name.rpartition(".")[0]).children():
                if isinstance(sibling, nn.Linear | nn.Conv2d) and sibling is not end:
                    sibling.weight.mul_(len(ends) ** -0.5)
        last = [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
        last.weight.zero_()


def _gpt2(model: nn.Module, build: Build) -> None:
    """GPT-2's: normals of deviation 0.02, those that end a branch smaller by sqrt(branches)."""
    ends = [name for name, _ in model.named_modules() if name.endswith((".proj", ".fc2"))]
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear | nn.Embedding | nn.Conv2d):
            deviation = 0.02 / math.sqrt(len(ends)) if name in ends else 0.02
            nn.init.normal_(module.weight, std=deviation)
            _no_bias(module)


def _partial_identity(model: nn.Module, build: Build) -> None:
    """Ones on the diagonal of every weight, also where Algorithm 1 has a Hadamard matrix."""
    for module in model.modules():
        if isinstance(module, nn.Linear):
            nn.init.eye_(module.weight)
            _no_bias(module)


def _no_bias(module: nn.Module) -> None:
    bias = getattr(module, "bias", None)
    if bias is not None:
        nn.init.zeros_(bias)


STARTS: Mapping[str, Start] = MappingProxyType(
    {
        "fixup": Start("Kaiming, last layer 0 (Fixup)", _fixup, random=True),
        "gpt2": Start("GPT-2's", _gpt2, random=True),
        "kaiming": Start("Kaiming", _kaiming, random=True),
        "partial-identity": Start("partial identity", _partial_identity, random=False),
        "torch": Start("torch's default", _as_constructed, random=True),
        "zero": Start("ZerO", _zero(DEFAULT), random=False),
        **{
            name: Start(
                f"ZerO, norms at ends {scale:g}",
                _zero(replace(DEFAULT, name="", last_norm=scale)),
                random=False,
            )
            for name, scale in ENDS.items()
        },
        **{
            name: Start(
                f"ZerO, weights at ends {factor:g}",
                _zero(replace(DEFAULT, name="", last_weight=factor)),
                random=False,
            )
            for name, factor in WEIGHTS.items()
        },
        OPEN_ATTENTION: Start("ZerO, Q = K = V = I", _open_attention, random=False),
        ZERO_HEAD: Start("ZerO, head of 0", _zero_head, random=False),
        "zero-1": Start("ZerO, first draft", _zero(ZERO_1), random=False),
        "zero-paper": Start("ZerO, --policy paper", _zero(PAPER), random=False),
    }
)


def classification_models() -> list[str]:
    """Torchvision's classification models, sorted, without the quantized ones."""
    torchvision = import_torchvision()
    names: list[str] = torchvision.models.list_models(module=torchvision.models)
    return sorted(names)


def parameters_of(name: str) -> int:
    """How many a model has, as torchvision says it."""
    weights = import_torchvision().models.get_model_weights(name)
    count: int = next(iter(weights)).meta["num_params"]
    return count


def plan_of(name: str, options: Options | None = None) -> Plan:
    """The plan of a model, under the default options if none are given."""
    return plan_source(parse_source(name), options or Options())


@contextmanager
def zero_starts(name: str, plan: Plan, folder: Path) -> Iterator[Init]:
    """What builds the model with a plan's values, from the file that `zeroinit generate` writes.

    Args:
        name: of the model, as SOURCE takes it.
        plan: its plan.
        folder: where the file lies meanwhile.
    """
    path = folder / f"{name}.safetensors"
    with guarded(path):
        write_checkpoint(plan, path)
    try:
        yield stored_init(parse_source(name).factory(), read_checkpoint(path), name)
    finally:
        path.unlink()


def zero_start(name: str, plan: Plan, folder: Path) -> nn.Module:
    """One such model."""
    with zero_starts(name, plan, folder) as init:
        return init()


def own_start(name: str) -> nn.Module:
    """The model as its constructor leaves it: Kaiming's values in most of torchvision."""
    return torch_init(parse_source(name).factory(), 0)()
