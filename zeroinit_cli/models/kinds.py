"""What each parameter and buffer is, and so its rule: by its branch, its attention or its use.

A tensor of which none of these is known has no rule of its own: its constructor's value is kept if
it is no random draw, and where it is one, planning stops and names it.
"""

import math
from dataclasses import dataclass

import torch
from torch import nn

from zeroinit_cli.models.classes import is_named, type_name
from zeroinit_cli.models.layer_types import use_by_type
from zeroinit_cli.models.projections import projections_rule
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.uses import Use, UseKind
from zeroinit_cli.plans import parametrizations
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.layouts import Transposed, Viewed
from zeroinit_cli.plans.rules import Constant, Ones, Rule, Zeros
from zeroinit_cli.policies import Policy


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
        zero_is_meant: 0 everywhere is kept, too; else it counts as a draw.
    """

    if_random: Ruled | None = None
    zero_is_meant: bool = True


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
    def name(self) -> str:
        """The tensor's name in the whole."""
        return f"{self.path}.{self.attribute}".removeprefix(".")

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's shape."""
        return tuple(self.tensor.shape)


_ALWAYS = (UseKind.MEAN, UseKind.VARIANCE, UseKind.COUNTER)
"""What a norm counts is no matter of its constructor."""

_NEVER_ZERO = (UseKind.NORM_SCALE, UseKind.POSITIONS)
"""What trains badly from 0, though some constructors set it so, or for structure alone to close."""


def kind_of(owned: Owned, structure: Structure, policy: Policy) -> Kind:
    """The kind of a parameter or buffer; the first that applies, the most specific first."""
    normed = _weight_norm(owned, structure, policy) or _spectral_norm(owned, structure, policy)
    return normed or _kind_of_map(owned, structure, policy)


def _kind_of_map(owned: Owned, structure: Structure, policy: Policy) -> Kind:
    ruled = _branch_end(owned, structure, policy) or _attention(owned, structure, policy)
    return ruled if ruled is not None else _of_its_use(owned, structure, policy)


def _of_its_use(owned: Owned, structure: Structure, policy: Policy) -> Kind:
    use = use_of(owned, structure)
    if use is None and not structure.untraced and owned.name not in structure.read:
        return Constructed(if_random=Ruled(rule=Zeros(), reason="no run of the forward reads it"))
    if use is None:
        return Constructed()
    found = _of_use(owned, use, structure, policy)
    if found is not None and use.kind in _ALWAYS:
        return found
    zero_is_meant = use.kind not in _NEVER_ZERO and owned.name not in (
        structure.heads | structure.normed_alone
    )
    return Constructed(if_random=found, zero_is_meant=zero_is_meant)


def use_of(owned: Owned, structure: Structure) -> Use | None:
    """What a tensor is used for: as seen, or as others of its owner's type are used."""
    return (
        structure.uses.get(owned.name)
        or structure.uses_of_siblings.get((type(owned.owner), owned.attribute))
        or use_by_type(*_layer_of(owned))
    )


def _branch_end(owned: Owned, structure: Structure, policy: Policy) -> Ruled | None:
    """What closes or damps a residual branch, and the bias behind it."""
    name = owned.name
    if name in structure.closing_biases:
        reason = f"end of residual branch {structure.closing_biases[name]}: bias 0"
        return Ruled(rule=Zeros(), reason=reason)
    if name in structure.end_scales:
        place, use = structure.end_scales[name], structure.uses.get(name)
        reason = f"last norm of residual branch {place}: scale {policy.last_norm:g}"
        if use is not None and use.plus_one:
            rule: Rule = Constant(value=policy.last_norm - 1)
            return Ruled(rule=rule, reason=f"{reason}, stored less 1")
        rule = Constant(value=policy.last_norm) if policy.last_norm else Zeros()
        return Ruled(rule=rule, reason=reason)
    if name in structure.zero_factors:
        reason = f"learned factor of residual branch {structure.zero_factors[name]}: 0"
        return Ruled(rule=Zeros(), reason=reason)
    if name in structure.zero_weights:
        place = structure.zero_weights[name]
        return Ruled(rule=Zeros(), reason=f"last layer of residual branch {place}: weight 0")
    if name in structure.zero_rows:
        place, first, last = structure.zero_rows[name]
        sizes = ((first, False), (last - first, True), (owned.shape[0] - last, False))
        parts = tuple(each for each in sizes if each[0])
        reason = f"last layer of residual branch {place}: rows {first} to {last - 1} 0"
        return Ruled(rule=rules.fused_projections(owned.shape, parts, policy), reason=reason)
    return None


def _attention(owned: Owned, structure: Structure, policy: Policy) -> Ruled | None:
    """A weight that gives queries, keys or values, each in rows of its own."""
    found, use = structure.projections.get(owned.name), structure.uses.get(owned.name)
    if found is None or use is None:
        return None
    matrix = use.matrix(owned.shape)
    made = projections_rule(matrix, found, policy, transposed=use.transposed)
    if made is None or matrix is None or made[0] == Zeros():
        return None if made is None else Ruled(rule=made[0], reason=made[1])
    return Ruled(rule=_stored(made[0], matrix, owned), reason=made[1])


def _layer_of(owned: Owned) -> tuple[nn.Module, str]:
    """The layer that a tensor belongs to, and its name there, also behind a parametrization."""
    path, found, rest = owned.name.partition("parametrizations.")
    if found and rest.count(".") == 1:
        return owned.root.get_submodule(path.removesuffix(".")), rest.partition(".")[0]
    return owned.owner, owned.attribute


_NORM_ENTRIES: dict[UseKind, tuple[Rule, str]] = {
    UseKind.NORM_SCALE: (Ones(), "scale 1"),
    UseKind.NORM_SHIFT: (Zeros(), "shift 0"),
    UseKind.MEAN: (Zeros(), "running mean 0"),
    UseKind.VARIANCE: (Ones(), "running variance 1"),
    UseKind.COUNTER: (Zeros(), "counter 0"),
    UseKind.BIAS: (Zeros(), "bias 0"),
}
_EMPTY = {
    UseKind.LESSER_POSITIONS: UseKind.LESSER_POSITIONS.value,
    UseKind.RELATIVE: "relative-position table",
    UseKind.SEGMENTS: UseKind.SEGMENTS.value,
    UseKind.TOKEN: "class token",
    UseKind.DOT: UseKind.DOT.value,
}


def _of_use(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled | None:
    """The rule of a random draw that is used so; None where none is known."""
    shape, name = owned.shape, type_name(owned.owner)
    kind = structure.tables.get(owned.name, use.kind) if use.kind is UseKind.TABLE else use.kind
    if kind in _NORM_ENTRIES:
        rule, phrase = _NORM_ENTRIES[kind]
        if use.plus_one:
            return Ruled(rule=Zeros(), reason=f"{name}: {phrase}, stored less 1")
        return Ruled(rule=rule, reason=f"{name}: {phrase}")
    if owned.name in structure.normed_alone and shape:
        rule = parametrizations.unit_vectors(shape)
        return Ruled(rule=rule, reason="token that a norm sees alone: the last unit vector")
    if kind in _EMPTY:
        return Ruled(rule=Zeros(), reason=f"{_EMPTY[kind]}: 0")
    match kind:
        case UseKind.LINEAR:
            return _linear(owned, use, policy)
        case UseKind.STACK:
            rule = rules.stack_of_linear(shape, policy, parts=use.parts, transposed=use.transposed)
            return Ruled(rule=rule, reason="stack of linear maps: Algorithm 1 in each")
        case UseKind.INPUT_GATES:
            rule = rules.recurrent_input(shape, use.parts, policy)
            return Ruled(rule=rule, reason=f"{name}: Algorithm 1 in each gate")
        case UseKind.STATE_GATES:
            rule = rules.recurrent_state(shape, use.parts, policy)
            is_square = shape[0] == shape[1] * use.parts
            how = "the state, twisted" if is_square else "Algorithm 1 in each gate of the state"
            return Ruled(rule=rule, reason=f"{name}: {how}")
        case UseKind.STATE_PROJECTION:
            return Ruled(rule=rules.linear(shape, policy), reason=f"{name}: Algorithm 1")
        case UseKind.BILINEAR:
            rule = rules.bilinear(shape, policy)
            return Ruled(rule=rule, reason=f"{name}: Algorithm 1 on pairs")
        case UseKind.CONVOLUTION | UseKind.TRANSPOSED_CONVOLUTION:
            return _convolution(owned, use, structure, policy)
        case UseKind.TABLE:
            return _table(owned, use, structure, policy)
        case UseKind.POSITIONS if use.transposed:
            dim = next(size for size in shape if size > 1)
            rule = Transposed(of=rules.position_table((math.prod(shape) // dim, dim), policy))
            rule = rule if len(shape) == 2 else Viewed(rows=dim, of=rule)
            return Ruled(rule=rule, reason=f"{kind.value}: mirrored, stored transposed")
        case UseKind.POSITIONS if len(shape) > 1:
            beside = structure.tied_tables.get(shape[-1])
            rule = rules.position_table(shape, policy, beside=beside)
            return Ruled(rule=rule, reason=f"{kind.value}: mirrored")
    return None


def _linear(owned: Owned, use: Use, policy: Policy) -> Ruled | None:
    """A matrix, in either layout; of several parts, each part by itself."""
    matrix = use.matrix(owned.shape)
    if matrix is None:
        return None
    fan_out, fan_in = matrix[::-1] if use.transposed else matrix
    reason = f"{type_name(owned.owner)}: Algorithm 1"
    rule = rules.linear((fan_out, fan_in), policy)
    if use.parts > 1 and fan_out % use.parts == 0:
        rule = rules.fused_linear((fan_out, fan_in), use.parts, policy)
        reason = f"{use.parts} fused projections: Algorithm 1 in each"
    if use.transposed:
        rule, reason = Transposed(of=rule), f"{reason}, stored transposed"
    return Ruled(rule=_stored(rule, matrix, owned), reason=reason)


def _stored(rule: Rule, matrix: tuple[int, int], owned: Owned) -> Rule:
    """The rule of a matrix as that of the tensor that holds it."""
    return rule if len(owned.shape) == len(matrix) else Viewed(rows=matrix[0], of=rule)


def _table(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled:
    is_tied = owned.shape == structure.tied_tables.get(owned.shape[-1])
    rule = rules.embedding(owned.shape, use.padding_idx, policy, is_tied=is_tied)
    if is_tied or policy.tables != "signs":
        phrase = "embedding table that is the head, too" if is_tied else "embedding table"
        return Ruled(rule=rule, reason=f"{phrase}: Algorithm 1")
    return Ruled(rule=rule, reason="embedding table: mirrored signs")


def _convolution(owned: Owned, use: Use, structure: Structure, policy: Policy) -> Ruled | None:
    shape, geometry, name = owned.shape, use.geometry, type_name(owned.owner)
    fits = geometry is not None and len(shape) == len(geometry.stride) + 2
    if geometry is None or not fits or shape[0] % geometry.groups:
        return None
    groups, is_stem = geometry.groups, owned.name in structure.stems
    if use.kind is UseKind.TRANSPOSED_CONVOLUTION:
        rule = rules.transposed_convolution(shape, geometry, policy)
        return Ruled(rule=rule, reason=f"{name}: nearest-neighbour upsampling")
    layer, where = (f"grouped {name}", " in each") if groups > 1 else (name, "")
    if _is_patch(geometry, shape) and is_stem:
        rule, reason = rules.patch_stem(shape, policy), f"{name}: patches of the input"
    elif _is_patch(geometry, shape):
        rule, reason = rules.patch_convolution(shape, policy), f"{name}: Algorithm 1 on patches"
    elif groups == 1 and is_stem:
        rule = rules.stem_convolution(shape, policy)
        reason = f"{name} of the input: Algorithm 1 on its kernel"
    else:
        rule = rules.convolution(shape, groups, policy)
        reason = f"{layer}: Algorithm 1{where}, around the centre"
    if rule == rules.algorithm_2(shape, groups, policy):
        reason = f"{layer}: Algorithm 2{where}"
    return Ruled(rule=rule, reason=reason)


def _is_patch(geometry: rules.Geometry, shape: tuple[int, ...]) -> bool:
    """Whether a convolution cuts its input into patches: stride = kernel, nothing else."""
    kernel = shape[2:]
    plain = geometry.groups == 1 and not any(geometry.padding) and max(geometry.dilation) == 1
    return plain and geometry.stride == kernel and math.prod(kernel) > 1


def _weight_norm(owned: Owned, structure: Structure, policy: Policy) -> Ruled | None:
    """Lengths and directions of a weight under weight norm: they follow from the weight's rule."""
    direction, dim = structure.lengths.get(owned.name, ("", 0))
    if not direction:
        directions = dict(structure.lengths.values())
        if owned.name not in directions:
            return None
        direction, dim = owned.name, directions[owned.name]
    weight = _sibling(owned, direction)
    place = structure.zero_weights.get(direction)
    if place is not None and owned.name != direction:
        reason = f"last layer of residual branch {place}: lengths 0 under weight norm"
        return Ruled(rule=Zeros(), reason=reason)
    rule = _rule_if_random(weight, structure, policy)
    if rule is None:
        return None
    if owned.name == direction:
        made = parametrizations.weight_norm_direction(rule, weight.shape, dim)
        return Ruled(rule=made, reason="directions of a weight under weight norm")
    made = parametrizations.weight_norm_magnitude(rule, weight.shape, dim)
    return Ruled(rule=made, reason="lengths of a weight under weight norm")


def _spectral_norm(owned: Owned, structure: Structure, policy: Policy) -> Ruled | None:
    """The vectors of torch's spectral norm, which no function tells from other buffers."""
    found = _vector_of_spectral_norm(owned)
    if found is None:
        return None
    word, weight_name, dim = found
    weight = _sibling(owned, weight_name)
    rule = _rule_if_random(weight, structure, policy)
    if rule is None:
        return None
    made = _SPECTRAL_VECTORS[word](rule, weight.shape, dim)
    return Ruled(rule=made, reason=f"{word} vector of spectral norm")


_SPECTRAL_VECTORS = {
    "left": parametrizations.spectral_norm_left,
    "right": parametrizations.spectral_norm_right,
}
_ENDINGS = {"_u": "left", "_v": "right"}


def _vector_of_spectral_norm(owned: Owned) -> tuple[str, str, int] | None:
    """Which of its two vectors a buffer is, the name of their weight, and its fan_out's dimension.

    They belong to a parametrization, or by torch's older way to the layer, whose hook knows them.
    """
    word, owner = _ENDINGS.get(owned.attribute[-2:]), owned.owner
    if word is None:
        return None
    if is_named(owner, "torch.nn.utils.parametrizations._SpectralNorm"):
        name = f"{owned.path.rpartition('.')[0]}.original"
        return word, name, getattr(owner, "dim", 0)
    for hook in owner._forward_pre_hooks.values():
        weight, dim = getattr(hook, "name", ""), getattr(hook, "dim", 0)
        if type(hook).__name__ == "SpectralNorm" and owned.attribute[:-2] == weight:
            return word, f"{owned.path}.{weight}_orig".removeprefix("."), dim
    return None


def _sibling(owned: Owned, name: str) -> Owned:
    """Another parameter of the same whole."""
    path, _, attribute = name.rpartition(".")
    owner = owned.root.get_submodule(path)
    tensor = owner.get_parameter(attribute)
    return Owned(root=owned.root, path=path, owner=owner, attribute=attribute, tensor=tensor)


def _rule_if_random(owned: Owned, structure: Structure, policy: Policy) -> Rule | None:
    """The rule of a weight, whether or not it closes a branch by its lengths."""
    kind = _of_its_use(owned, structure, policy)
    ruled = kind if isinstance(kind, Ruled) else kind.if_random
    return None if ruled is None else ruled.rule
