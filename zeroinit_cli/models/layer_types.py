"""What the parameters of known layers are by their type: for those that no run reached."""

from typing import Any

from torch import nn

from zeroinit_cli.models.classes import (
    TRANSPOSED_CONVOLUTION,
    is_convolution,
    is_norm,
    is_transposed_linear,
)
from zeroinit_cli.models.uses import Use, UseKind
from zeroinit_cli.plans.policy import Geometry

_NORM = {
    "weight": UseKind.NORM_SCALE,
    "bias": UseKind.NORM_SHIFT,
    "running_mean": UseKind.MEAN,
    "running_var": UseKind.VARIANCE,
    "num_batches_tracked": UseKind.COUNTER,
}
_MULTI_HEAD = {
    "in_proj_weight": UseKind.LINEAR,
    "q_proj_weight": UseKind.LINEAR,
    "k_proj_weight": UseKind.LINEAR,
    "v_proj_weight": UseKind.LINEAR,
    "in_proj_bias": UseKind.BIAS,
    "bias_k": UseKind.TOKEN,
    "bias_v": UseKind.TOKEN,
}
_RECURRENT = {
    "weight_ih": UseKind.INPUT_GATES,
    "weight_hh": UseKind.STATE_GATES,
    "weight_hr": UseKind.STATE_PROJECTION,
    "bias_ih": UseKind.BIAS,
    "bias_hh": UseKind.BIAS,
}


def use_by_type(owner: nn.Module, name: str) -> Use | None:
    """Tell what a parameter or buffer is by the type of its layer; None where that is not known.

    Args:
        owner: the layer.
        name: of the tensor in it.
    """
    layer: Any = owner
    if is_norm(owner):
        return Use(kind=_NORM[name]) if name in _NORM else None
    if isinstance(owner, nn.MultiheadAttention):
        parts = 3 if name == "in_proj_weight" else 1
        return Use(kind=_MULTI_HEAD[name], parts=parts) if name in _MULTI_HEAD else None
    if isinstance(owner, nn.RNNBase | nn.RNNCellBase):
        kind = next((kind for start, kind in _RECURRENT.items() if name.startswith(start)), None)
        gates = {"LSTM": 4, "GRU": 3}.get(_mode(layer), 1)
        return None if kind is None else Use(kind=kind, parts=gates)
    if name == "bias" and (isinstance(owner, nn.Linear | nn.Bilinear) or is_convolution(owner)):
        return Use(kind=UseKind.BIAS)
    if name == "bias" and is_transposed_linear(owner):
        return Use(kind=UseKind.BIAS)
    if name != "weight":
        return None
    if isinstance(owner, nn.Linear) or is_transposed_linear(owner):
        return Use(kind=UseKind.LINEAR, transposed=is_transposed_linear(owner))
    if isinstance(owner, nn.Bilinear):
        return Use(kind=UseKind.BILINEAR)
    if isinstance(owner, nn.Embedding):
        return Use(kind=UseKind.TABLE, padding_idx=owner.padding_idx)
    if isinstance(owner, nn.EmbeddingBag):
        return Use(kind=UseKind.TABLE, padding_idx=owner.padding_idx)
    if is_convolution(owner):
        transposed = isinstance(owner, TRANSPOSED_CONVOLUTION)
        kind = UseKind.TRANSPOSED_CONVOLUTION if transposed else UseKind.CONVOLUTION
        return Use(kind=kind, geometry=_geometry(layer))
    return None


def _mode(layer: Any) -> str:
    return str(getattr(layer, "mode", type(layer).__name__.removesuffix("Cell")))


def _geometry(layer: Any) -> Geometry:
    """How a convolution moves; `same` padding is any but none."""
    dimensions = len(layer.kernel_size)
    padding = layer.padding
    if isinstance(padding, str):
        padding = int(padding != "valid")
    stride, padding, dilation = (
        (size,) * dimensions if isinstance(size, int) else tuple(size)
        for size in (layer.stride, padding, layer.dilation)
    )
    return Geometry(groups=layer.groups, stride=stride, padding=padding, dilation=dilation)
