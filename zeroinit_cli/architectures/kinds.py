"""What kind of tensor each parameter and buffer is, by the type of the module that owns it.

A tensor that is not listed here has no rule of its own: its constructor's value is kept where that
is the same under two seeds, and where it is random, planning stops and names it.
"""

from dataclasses import dataclass

import torch
from torch import nn

from zeroinit_cli import rules
from zeroinit_cli.options import Options
from zeroinit_cli.plan import Ones, Rule, Zeros

_CONVOLUTION = nn.modules.conv._ConvNd
_TRANSPOSED = nn.modules.conv._ConvTransposeNd
_DEFORMABLE = "torchvision.ops.deform_conv.DeformConv2d"
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
_FROZEN_NORM = "torchvision.ops.misc.FrozenBatchNorm2d"
_NORM_ENTRIES: dict[str, tuple[Rule, str]] = {
    "weight": (Ones(), "scale 1"),
    "bias": (Zeros(), "shift 0"),
    "running_mean": (Zeros(), "running mean 0"),
    "running_var": (Ones(), "running variance 1"),
    "num_batches_tracked": (Zeros(), "counter 0"),
}
_SEPARATE_PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")

_LOOKUPS = {
    # Parameters that their constructors draw at random and that only the owner's type explains.
    # Each is 0: ZerO has no rule for them, and a start without preference is the neutral one.
    "torchvision.models.maxvit.RelativePositionalMultiHeadAttention": {
        "relative_position_bias_table": "relative-position table",
    },
    "torchvision.models.swin_transformer.ShiftedWindowAttention": {
        "relative_position_bias_table": "relative-position table",
    },
    "torchvision.models.video.mvit.MultiscaleAttention": {
        "rel_pos_h": "relative-position table",
        "rel_pos_t": "relative-position table",
        "rel_pos_w": "relative-position table",
    },
    "torchvision.models.video.mvit.PositionalEncoding": {
        "class_pos": "position of the class token",
        "class_token": "class token",
        "spatial_pos": "position table",
        "temporal_pos": "position table",
    },
    "torchvision.models.video.swin_transformer.ShiftedWindowAttention3d": {
        "relative_position_bias_table": "relative-position table",
    },
    "torchvision.models.vision_transformer.Encoder": {"pos_embedding": "position table"},
    "torchvision.models.vision_transformer.VisionTransformer": {"class_token": "class token"},
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Ruled:
    """A tensor whose rule does not depend on what its constructor set."""

    rule: Rule
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Constructed:
    """A tensor that keeps what its constructor set, if that is no random draw.

    Attributes:
        if_random: what it gets if it is one; None where no rule is known.
    """

    if_random: Ruled | None = None


Kind = Ruled | Constructed


def kind_of(module: nn.Module, name: str, tensor: torch.Tensor, options: Options) -> Kind:
    """The kind of a parameter or buffer.

    Args:
        module: its owner.
        name: its name in the owner.
        tensor: itself; only its shape is looked at.
        options: what the rules depend on.
    """
    if is_norm(module) and name in _NORM_ENTRIES:
        rule, phrase = _NORM_ENTRIES[name]
        return Ruled(rule=rule, reason=f"{_type(module)}: {phrase}")
    if name == "weight":
        weight = _weight(module, tuple(tensor.shape), options)
        if weight is not None:
            return weight
    if isinstance(module, nn.MultiheadAttention):
        projection = _projection(module, name, tuple(tensor.shape), options)
        if projection is not None:
            return projection
    if _is_bias(module, name):
        return Constructed(if_random=Ruled(rule=Zeros(), reason=f"{_type(module)}: bias 0"))
    table = _lookup(module, name)
    if table is not None:
        return Constructed(if_random=Ruled(rule=Zeros(), reason=f"{table}: 0"))
    return Constructed()


def is_norm(module: nn.Module) -> bool:
    """Whether the module normalizes, so that its scale is 1 and its shift 0."""
    return isinstance(module, _NORMS) or _is_named(module, _FROZEN_NORM)


def _weight(module: nn.Module, shape: tuple[int, ...], options: Options) -> Ruled | None:
    match module:
        case nn.Linear():
            return Ruled(rule=rules.linear(shape, options), reason="Linear: Algorithm 1")
        case nn.Embedding() | nn.EmbeddingBag():
            return Ruled(
                rule=rules.embedding(shape, module.padding_idx, options),
                reason="embedding table: Algorithm 1",
            )
        case _TRANSPOSED():
            return Ruled(
                rule=rules.transposed_convolution(
                    shape, module.groups, module.stride, _sizes(module.padding), options
                ),
                reason=f"{_type(module)}: nearest-neighbour upsampling",
            )
    if isinstance(module, _CONVOLUTION) or _is_named(module, _DEFORMABLE):
        groups: int = module.groups  # type: ignore[assignment]  # by its class
        where = f" in {groups} groups" if groups > 1 else ""
        return Ruled(
            rule=rules.convolution(shape, groups, options),
            reason=f"{_type(module)}{where}: Algorithm 2",
        )
    return None


def _projection(
    module: nn.MultiheadAttention, name: str, shape: tuple[int, ...], options: Options
) -> Ruled | None:
    if name == "in_proj_weight":
        return Ruled(
            rule=rules.fused_linear(shape, 3, options),
            reason="fused q, k, v: Algorithm 1 in each",
        )
    if name in _SEPARATE_PROJECTIONS:
        return Ruled(rule=rules.linear(shape, options), reason=f"{name[0]}: Algorithm 1")
    return None


def _is_bias(module: nn.Module, name: str) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return name == "in_proj_bias"
    return name == "bias" and (
        isinstance(module, nn.Linear | _CONVOLUTION) or _is_named(module, _DEFORMABLE)
    )


def _lookup(module: nn.Module, name: str) -> str | None:
    for kind in type(module).__mro__:
        phrase = _LOOKUPS.get(f"{kind.__module__}.{kind.__qualname__}", {}).get(name)
        if phrase is not None:
            return phrase
    return None


def _is_named(module: nn.Module, path: str) -> bool:
    """Isinstance for a class of torchvision, which not every module's process has imported."""
    return any(f"{kind.__module__}.{kind.__qualname__}" == path for kind in type(module).__mro__)


def _sizes(padding: str | tuple[int, ...]) -> tuple[int, ...]:
    if isinstance(padding, str):  # torch refuses it for transposed convolutions
        raise TypeError(padding)
    return padding


def _type(module: nn.Module) -> str:
    return type(module).__name__
