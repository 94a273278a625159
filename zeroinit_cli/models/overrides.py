"""Rules that a user names for some tensors, in place of the policy's."""

from collections.abc import Iterable

from torch import nn

from zeroinit_cli.errors import UsageError, near
from zeroinit_cli.models.classes import TRANSPOSED_CONVOLUTION
from zeroinit_cli.models.kinds import Constructed, Kind, Owned, Ruled
from zeroinit_cli.options import Options, Override
from zeroinit_cli.plans import policy as rules
from zeroinit_cli.plans.rules import Ones, Rule, Zeros


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


def override_kind(owned: Owned, override: Override, name: str, options: Options) -> Kind:
    """The kind that an override makes of a tensor.

    Raises:
        UsageError: the rule does not fit the tensor's shape or type.
    """
    if override.rule == "kept":
        return Constructed()
    rule = _rule(owned, override.rule, options)
    floating = owned.tensor.is_floating_point() or override.rule in ("zeros", "ones")
    if rule is None or not floating:
        kind = str(owned.tensor.dtype).removeprefix("torch.")
        raise UsageError(
            f"{override.rule} does not fit {name}",
            where=f"--override {str(override)!r}",
            expected=_FITS.get(override.rule),
            found=f"{kind} {list(owned.shape)}",
        )
    return Ruled(rule=rule, reason=f"--override {override}")


_FITS = {
    "algorithm-1": "a floating matrix (fan_out, fan_in)",
    "algorithm-2": "a floating kernel (c_out, c_in, *spatial)",
    "patch": "a floating kernel (c_out, c_in, *spatial)",
    "position": "a floating table (..., positions, dim)",
}


def _rule(owned: Owned, name: str, options: Options) -> Rule | None:
    shape, dimensions = owned.shape, owned.tensor.ndim
    match name:
        case "zeros":
            return Zeros()
        case "ones":
            return Ones()
        case "algorithm-1" if dimensions == 2:
            return rules.linear(shape, options)
        case "algorithm-2" if dimensions > 2:
            return rules.convolution(shape, _groups(owned.owner), options)
        case "patch" if dimensions > 2:
            return rules.patch_convolution(shape, options)
        case "position" if dimensions >= 2:
            return rules.position_table(shape, options)
    return None


def _groups(module: nn.Module) -> int:
    """Groups of the kernel's first dimension; a transposed convolution's lie in it just so."""
    groups = getattr(module, "groups", 1)
    if isinstance(module, TRANSPOSED_CONVOLUTION) or not isinstance(groups, int):
        return 1
    return groups
