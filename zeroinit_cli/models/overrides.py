"""Rules that a user names for some tensors, in place of the policy's."""

from collections.abc import Iterable

from zeroinit_cli.errors import UsageError, near
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.kinds import use_of
from zeroinit_cli.models.owned import Constructed, Kind, Owned, Ruled
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.uses import Use, UseKind
from zeroinit_cli.options import Options, Override
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Ones, Rule, Zeros
from zeroinit_cli.policies import Policy


def overridden(names: Iterable[tuple[str, str]], options: Options) -> dict[str, Override]:
    """For each tensor that an override means, the last that does.

    Args:
        names: each name of the state dict and the first name of its tensor; tied names have one
            value, so that an override of one is an override of all.
        options: with the overrides in order.

    Returns:
        first name -> override.

    Raises:
        UsageError: an override matches nothing.
    """
    pairs = list(names)
    chosen: dict[str, Override] = {}
    for override in options.overrides:
        meant = {first for name, first in pairs if override.matches(name)}
        if not meant:
            raise UsageError(
                "an override matches no tensor",
                where=f"--override {str(override)!r}",
                expected="a glob over the names that zeroinit plan --all lists",
                hint=near(override.pattern, (name for name, _ in pairs)),
            )
        chosen |= dict.fromkeys(sorted(meant), override)
    return chosen


def override_kind(
    owned: Owned, override: Override, name: str, structure: Structure, policy: Policy
) -> Kind:
    """The kind that an override makes of a tensor.

    Raises:
        UsageError: the rule does not fit the tensor's shape, type or use.
    """
    if override.rule == "kept":
        return Constructed()
    rule = _rule(owned, override.rule, structure, policy)
    floating = owned.tensor.is_floating_point() or override.rule in ("zeros", "ones")
    if rule is None or not floating:
        kind = str(owned.tensor.dtype).removeprefix("torch.")
        raise UsageError(
            f"{override.rule} does not fit {name}",
            where=f"--override {str(override)!r}",
            expected=_FITS.get(override.rule),
            found=f"{kind} {list(owned.shape)} of {type_name(owned.owner)}",
        )
    return Ruled(rule=rule, reason=f"--override {override}")


_FITS = {
    "algorithm-1": "a floating matrix (fan_out, fan_in), or a stack of such matrices",
    "algorithm-2": "a convolution's floating kernel (c_out, c_in, *spatial)",
    "patch": "a convolution's floating kernel (c_out, c_in, *spatial)",
    "position": "a floating table (..., positions, dim)",
    "transposed:algorithm-1": "a floating matrix (fan_in, fan_out), or a stack of such matrices",
    "transposed:algorithm-2": "a convolution's floating kernel (c_in, c_out, *spatial)",
}


def _rule(owned: Owned, name: str, structure: Structure, policy: Policy) -> Rule | None:
    """The rule that a word names; None where it cannot mean anything for the tensor."""
    shape = owned.shape
    convolution = convolution_of(owned, structure)
    groups = convolution.geometry.groups if convolution and convolution.geometry else 1
    match name:
        case "zeros":
            return Zeros()
        case "ones":
            return Ones()
        case "algorithm-2" if convolution is not None:
            # a transposed one's groups lie in its first dimension, but each is not a group's c_out
            transposed = convolution.kind is UseKind.TRANSPOSED_CONVOLUTION
            return rules.algorithm_2(shape, 1 if transposed else groups, policy)
        case "transposed:algorithm-2" if convolution is not None:
            geometry = _centre_tap(shape, groups)
            return rules.transposed_convolution(shape, geometry, policy)
        case "patch" if convolution is not None:
            return rules.flattened_kernel(shape, policy)
        case "algorithm-1" if len(shape) >= 2 and convolution is None:
            return rules.stack_of_linear(shape, policy)
        case "transposed:algorithm-1" if len(shape) >= 2 and convolution is None:
            return rules.stack_of_linear(shape, policy, transposed=True)
        case "position" if len(shape) >= 2:
            return rules.position_table(shape, policy)
    return None


def convolution_of(owned: Owned, structure: Structure) -> Use | None:
    """How a tensor is a convolution's kernel, whoever owns it; None if it is none."""
    use = use_of(owned, structure)
    if use is None or use.geometry is None or owned.name in structure.lengths:
        return None  # lengths under weight norm have the dimensions of a kernel, and are none
    return use if len(owned.shape) == len(use.geometry.stride) + 2 else None


def _centre_tap(shape: tuple[int, ...], groups: int) -> rules.Geometry:
    """The geometry of a transposed convolution that upsamples by its centre tap alone."""
    kernel = shape[2:]
    once = (1,) * len(kernel)
    centre = tuple(size // 2 for size in kernel)
    return rules.Geometry(groups=groups, stride=once, padding=centre, dilation=once)
