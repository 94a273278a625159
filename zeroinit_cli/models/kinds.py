"""What kind of tensor each parameter and buffer is, by its module's type and place in the graph.

A tensor that is not covered here has no rule of its own: its constructor's value is kept where
that is the same under two seeds, and where it is random, planning stops and names it.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from zeroinit_cli.models.attention import attention_of
from zeroinit_cli.models.classes import (
    TRANSPOSED_CONVOLUTION,
    class_paths,
    is_convolution,
    is_norm,
    is_transposed_linear,
    is_weight_layer,
    type_name,
)
from zeroinit_cli.models.known_tables import known_table, table_of
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.tables import POSITIONS
from zeroinit_cli.options import Options
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Ones, Rule, Zeros

_NORM_ENTRIES: dict[str, tuple[Rule, str]] = {
    "weight": (Ones(), "scale 1"),
    "bias": (Zeros(), "shift 0"),
    "running_mean": (Zeros(), "running mean 0"),
    "running_var": (Ones(), "running variance 1"),
    "num_batches_tracked": (Zeros(), "counter 0"),
}
_SEPARATE_PROJECTIONS = ("q_proj_weight", "k_proj_weight", "v_proj_weight")
_FUSED = {
    # Linear layers that hold several projections of equal size one above the other, by the type of
    # the module that splits their output.
    "transformers.models.phi3.modeling_phi3.Phi3MLP": {"gate_up_proj": 2},
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


@dataclass(frozen=True, kw_only=True, slots=True)
class Owned:
    """A parameter or buffer and where it belongs.

    Attributes:
        root: the whole module.
        path: of the owner in the whole, empty for the whole.
        owner: the module that registered it.
        attribute: its name there.
        tensor: itself; only its shape is looked at.
    """

    root: nn.Module
    path: str
    owner: nn.Module
    attribute: str
    tensor: torch.Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensor.shape)

    @property
    def parent(self) -> nn.Module | None:
        """The module that holds the owner."""
        return self.root.get_submodule(self.path.rpartition(".")[0]) if self.path else None


def kind_of(owned: Owned, structure: Structure, options: Options) -> Kind:
    """The kind of a parameter or buffer; the first that applies, the most specific first."""
    module, name = owned.owner, owned.attribute
    ruled = (
        _branch_end(owned, structure)
        or _attention(owned, structure, options)
        or _fused(owned, options)
        or _norm(module, name)
        or (_weight(owned, structure, options) if name == "weight" else None)
    )
    if ruled is not None:
        return ruled
    if _is_bias(module, name):
        return Constructed(if_random=Ruled(rule=Zeros(), reason=f"{type_name(module)}: bias 0"))
    table = table_of(owned.root, owned.path, owned.attribute)
    if table is not None:
        return Constructed(if_random=_table(owned, table, options))
    return Constructed()


def _branch_end(owned: Owned, structure: Structure) -> Ruled | None:
    """What closes a residual branch."""
    name = f"{owned.path}.{owned.attribute}".removeprefix(".")
    if name in structure.zero_scales:
        place = structure.zero_scales[name]
        return Ruled(rule=Zeros(), reason=f"last norm of residual branch {place}: scale 0")
    if name in structure.zero_weights:
        place = structure.zero_weights[name]
        return Ruled(rule=Zeros(), reason=f"last layer of residual branch {place}: weight 0")
    return None


def _attention(owned: Owned, structure: Structure, options: Options) -> Ruled | None:
    """Fused or separate projections of a known block of attention."""
    block: nn.Module | None = owned.owner
    path, part = owned.path, owned.attribute
    if not isinstance(block, nn.MultiheadAttention):
        if owned.attribute != "weight":
            return None
        block = owned.parent
        path, _, part = owned.path.rpartition(".")
    known = attention_of(block) if block is not None else None
    if known is None:
        return None
    closed = path in structure.closed_attention
    where = f"attention of residual branch {structure.closed_attention[path]}" if closed else ""
    if part == known.fused:
        rule = rules.attention_projections(
            owned.shape, options, closed=closed, transposed=is_transposed_linear(owned.owner)
        )
        phrase = f"{where}: q identity, k and v 0" if closed else "attention: q, k, v each"
        return Ruled(rule=rule, reason=phrase if closed else f"{phrase} by Algorithm 1")
    separate = known.separate or _SEPARATE_PROJECTIONS
    if part in separate:
        letter = "qkv"[separate.index(part)]
        if closed and letter != "q":
            return Ruled(rule=Zeros(), reason=f"{where}: {letter} 0")
        return Ruled(rule=rules.linear(owned.shape, options), reason=f"{letter}: Algorithm 1")
    return None


def _fused(owned: Owned, options: Options) -> Ruled | None:
    """Several projections in one weight, but for attention's."""
    parent, name = owned.parent, owned.path.rpartition(".")[2]
    if parent is None or owned.attribute != "weight":
        return None
    parts = next(
        (_FUSED[path][name] for path in class_paths(parent) if name in _FUSED.get(path, ())), 0
    )
    if not parts:
        return None
    rule = rules.fused_linear(owned.shape, parts, options)
    return Ruled(rule=rule, reason=f"{parts} fused projections: Algorithm 1 in each")


def _norm(module: nn.Module, name: str) -> Ruled | None:
    if not is_norm(module) or name not in _NORM_ENTRIES:
        return None
    rule, phrase = _NORM_ENTRIES[name]
    return Ruled(rule=rule, reason=f"{type_name(module)}: {phrase}")


def _weight(owned: Owned, structure: Structure, options: Options) -> Ruled | None:
    module, shape = owned.owner, owned.shape
    if isinstance(module, nn.Linear):
        return Ruled(rule=rules.linear(shape, options), reason="Linear: Algorithm 1")
    if is_transposed_linear(module):
        rule = rules.transposed_linear(shape, options)
        return Ruled(rule=rule, reason=f"{type_name(module)}: Algorithm 1, stored transposed")
    if isinstance(module, nn.Embedding | nn.EmbeddingBag):
        table = structure.tables.get(owned.path) or table_of(
            owned.root, owned.path, owned.attribute
        )
        if table is not None:
            return _table(owned, table, options)
        rule = rules.embedding(shape, module.padding_idx, options)
        return Ruled(rule=rule, reason="embedding table: Algorithm 1")
    if is_convolution(module):
        return _convolution(module, shape, options)
    return None


def _convolution(module: nn.Module, shape: tuple[int, ...], options: Options) -> Ruled:
    name = type_name(module)
    geometry = _geometry(module)
    if isinstance(module, TRANSPOSED_CONVOLUTION):
        rule = rules.transposed_convolution(shape, geometry, options)
        return Ruled(rule=rule, reason=f"{name}: nearest-neighbour upsampling")
    if is_patch(module, shape):
        return Ruled(
            rule=rules.patch_convolution(shape, options), reason=f"{name}: Algorithm 1 on patches"
        )
    groups = geometry.groups
    phrase = f"grouped {name}: Algorithm 2 in each" if groups > 1 else f"{name}: Algorithm 2"
    return Ruled(rule=rules.convolution(shape, groups, options), reason=phrase)


def is_patch(module: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a convolution cuts its input into patches: stride = kernel, nothing else."""
    geometry, kernel = _geometry(module), shape[2:]
    plain = geometry.groups == 1 and not any(geometry.padding) and max(geometry.dilation) == 1
    return plain and geometry.stride == kernel and math.prod(kernel) > 1


def _geometry(module: nn.Module) -> rules.Geometry:
    """How a convolution moves; `same` padding is any but none."""
    layer: Any = module  # its class is checked by the caller
    dimensions = len(layer.kernel_size)
    padding = layer.padding
    if isinstance(padding, str):
        padding = int(padding != "valid")
    stride, padding, dilation = (
        (size,) * dimensions if isinstance(size, int) else tuple(size)
        for size in (layer.stride, padding, layer.dilation)
    )
    return rules.Geometry(groups=layer.groups, stride=stride, padding=padding, dilation=dilation)


def _is_bias(module: nn.Module, name: str) -> bool:
    if isinstance(module, nn.MultiheadAttention):
        return name == "in_proj_bias"
    return name == "bias" and is_weight_layer(module)


def _table(owned: Owned, table: str, options: Options) -> Ruled:
    """A lookup table; of several position tables that one module sums, the largest alone."""
    if table != POSITIONS:
        return Ruled(rule=Zeros(), reason=f"{table}: 0")
    siblings = [
        parameter.numel()
        for name, parameter in owned.owner.named_parameters(recurse=False)
        if known_table(owned.owner, name) == POSITIONS
    ]
    if owned.tensor.numel() < max(siblings, default=0):
        return Ruled(rule=Zeros(), reason=f"{table} summed with a larger one: 0")
    return Ruled(rule=rules.position_table(owned.shape, options), reason=f"{table}: mirrored")
