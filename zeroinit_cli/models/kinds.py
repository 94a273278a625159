"""What each parameter and buffer is, and so its rule: by its branch, its attention or its use.

A tensor of which none of these is known has no rule of its own: its constructor's value is kept if
it is no random draw, and where it is one, planning stops and names it.
"""

from dataclasses import replace
from fractions import Fraction

from torch import nn

from zeroinit_cli.models.classes import is_named
from zeroinit_cli.models.layer_types import use_by_type
from zeroinit_cli.models.owned import Constructed, Kind, Owned, Ruled
from zeroinit_cli.models.projections import projections_rule
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.use_rules import rule_of_use, stored
from zeroinit_cli.models.uses import Use, UseKind
from zeroinit_cli.plans import parametrizations
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Constant, Ones, Rule, Zeros
from zeroinit_cli.policies import Policy

_ALWAYS = (UseKind.MEAN, UseKind.VARIANCE, UseKind.COUNTER)
"""What a norm counts is no matter of its constructor."""

_NEVER_ZERO = (UseKind.NORM_SCALE, UseKind.POSITIONS)
"""What trains badly from 0, though some constructors set it so, or for structure alone to close."""


def kind_of(owned: Owned, structure: Structure, policy: Policy) -> Kind:
    """The kind of a parameter or buffer; the first that applies, the most specific first."""
    normed = _weight_norm(owned, structure, policy) or _spectral_norm(owned, structure, policy)
    return normed or _kind_of_map(owned, structure, policy)


def _kind_of_map(owned: Owned, structure: Structure, policy: Policy) -> Kind:
    return (
        _branch_end(owned, structure, policy)
        or _damped_weight(owned, structure, policy)
        or _attention(owned, structure, policy)
        or _of_its_use(owned, structure, policy)
    )


def _of_its_use(owned: Owned, structure: Structure, policy: Policy) -> Kind:
    use = use_of(owned, structure)
    if use is None and not structure.untraced and owned.name not in structure.read:
        return Constructed(if_random=Ruled(rule=Zeros(), reason="no run of the forward reads it"))
    if use is None:
        return Constructed()
    found = rule_of_use(owned, use, structure, policy)
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
            return Ruled(rule=_constant(policy.last_norm - 1), reason=f"{reason}, stored less 1")
        return Ruled(rule=_constant(policy.last_norm), reason=reason)
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


def _damped_weight(owned: Owned, structure: Structure, policy: Policy) -> Kind | None:
    """A weight behind a norm that ends a residual branch; one that is constructed as 0 stays so."""
    place, use = structure.damped_weights.get(owned.name), structure.uses.get(owned.name)
    if place is None:
        return None
    found = rule_of_use(owned, use, structure, policy) if use is not None else None
    reason = f"last layer of residual branch {place}"
    if found is None or not policy.last_weight:
        return Ruled(rule=Zeros(), reason=f"{reason}: weight 0")
    reason = f"{reason}: {Fraction(policy.last_weight)} of {found.reason.partition(': ')[2]}"
    return Constructed(if_random=Ruled(rule=rules.damped(found.rule, policy), reason=reason))


def _constant(value: float) -> Rule:
    """The rule of one number everywhere."""
    return {0.0: Zeros(), 1.0: Ones()}.get(value, Constant(value=value))


def _attention(owned: Owned, structure: Structure, policy: Policy) -> Ruled | None:
    """A weight that gives queries, keys or values, each in rows of its own."""
    found, use = structure.projections.get(owned.name), structure.uses.get(owned.name)
    if found is None or use is None:
        return None
    matrix = use.matrix(owned.shape)
    made = projections_rule(matrix, found, policy, transposed=use.transposed)
    if made is None or matrix is None or made[0] == Zeros():
        return None if made is None else Ruled(rule=made[0], reason=made[1])
    return Ruled(rule=stored(made[0], matrix, owned), reason=made[1])


def _layer_of(owned: Owned) -> tuple[nn.Module, str]:
    """The layer that a tensor belongs to, and its name there, also behind a parametrization."""
    path, found, rest = owned.name.partition("parametrizations.")
    if found and rest.count(".") == 1:
        return owned.root.get_submodule(path.removesuffix(".")), rest.partition(".")[0]
    return owned.owner, owned.attribute


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
    of_length_1 = replace(policy, name="", chains="none")  # as no other constant of chains gives
    rule = _rule_if_random(weight, structure, of_length_1)
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
