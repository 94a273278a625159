"""The policy for weights that are computed from other tensors: by weight norm, by spectral norm.

Each function takes the rule of the weight itself, whatever that is, and gives the rule of a tensor
that it is computed from. The docstrings' code runs as tests.
"""

import math

from zeroinit_cli.plans.kernels import BlockMeans, CentredTaps, Taps, centre_tap
from zeroinit_cli.plans.layouts import Groups, Split, Transposed, Viewed
from zeroinit_cli.plans.norms import Directions, Norms, zero_slices
from zeroinit_cli.plans.rules import Identity, Rule, Shape, Twisted, Zeros


def weight_norm_magnitude(of: Rule, shape: Shape, dim: int | None) -> Rule:
    """Rule the magnitudes of a weight that weight norm computes as magnitude * direction.

    Each is the norm of a slice of the weight: 0 where that is 0.

    Args:
        of: the rule of the weight, without kept values.
        shape: of the weight.
        dim: of its slices, as in `torch.nn.utils.weight_norm`; None where all of it is one slice.

    >>> weight_norm_magnitude(Identity(), (8, 24), 0)  # weight_norm(nn.Linear(24, 8)).weight_g
    Norms(shape=(8, 24), dim=0, of=Identity())
    """
    return Zeros() if of == Zeros() else Norms(shape=shape, dim=_axis(dim, shape), of=of)


def weight_norm_direction(of: Rule, shape: Shape, dim: int | None) -> Rule:
    """Rule the directions of the same weight: itself, and the first unit vector where a slice is 0.

    Where a weight is 0 to close a branch, its magnitudes are, and `of` is better the rule that it
    would have else: its rows then leave 0 each in a direction of its own.

    >>> weight_norm_direction(Taps(ranges=((1, 2),), of=Identity()), (8, 8, 3), 2)
    Directions(dim=2, of=Taps(ranges=((1, 2),), of=Identity()))
    """
    dim = _axis(dim, shape)
    return Directions(dim=dim, of=of) if zero_slices(of, shape, dim).any() else of


def _axis(dim: int | None, shape: Shape) -> int | None:
    """The dimension, counted from the left; torch takes -1 for all of the weight, like None."""
    return None if dim in (None, -1) else dim % len(shape)


def spectral_norm_left(of: Rule, shape: Shape, dim: int = 0) -> Rule:
    """Rule the vector u (fan_out,) of a weight that spectral norm divides by its largest gain.

    It is the column of the weight that `spectral_norm_right` points to, in groups the first one's
    part, so that the three belong together without a product of matrices. A column of an expansion
    has length 1 where fan_out is a power of two, sqrt(1/2) or more elsewhere; one of an identity 1.
    Of kernels of several taps it is that of their centre, until power iteration's first step. A
    contraction has its rows for columns: u is then the first unit vector, and v the first row.

    Args:
        of: the rule of the weight, which must not be 0.
        shape: of the weight.
        dim: its dimension that is fan_out: 1 for transposed convolutions.

    >>> spectral_norm_left(Taps(ranges=((1, 2),), of=Identity()), (8, 8, 3))
    Viewed(rows=8, of=Identity())
    """
    if _contracted(of) is not None:
        return unit_vector(shape[0], 0)
    if isinstance(of, CentredTaps):
        return spectral_norm_left(of.of, shape[:2])
    if not isinstance(of, Groups):
        return Viewed(rows=shape[dim], of=_first_column(of, dim))
    if dim == 1:
        return spectral_norm_left(of.of, shape, dim)
    rows = shape[0] // of.count
    first = spectral_norm_left(of.of, (rows, *shape[1:]))
    return Split(parts=((rows, first), (shape[0] - rows, Zeros())))


def _first_column(of: Rule, dim: int) -> Rule:
    """Rule (fan_out, 1), the first column that is not 0 of a weight whose fan_out is in `dim`."""
    match of:
        case Taps(of=inner) | Viewed(of=inner):
            return _first_column(inner, dim)
        case BlockMeans():
            return Identity()
        case Transposed(of=inner):
            return _first_column(inner, 1 - dim)
    return Transposed(of=of) if dim == 1 else of


def _contracted(of: Rule) -> Rule | None:
    """The expansion whose transpose a flattened kernel is."""
    match of:
        case Viewed(of=Transposed(of=Twisted() as expansion)):
            return expansion
    return None


def spectral_norm_right(of: Rule, shape: Shape, dim: int = 0) -> Rule:
    """Rule the vector v (fan_in,) of the same weight: the unit vector of its first tap.

    >>> spectral_norm_right(Taps(ranges=((1, 2),), of=Identity()), (8, 8, 3))
    Split(parts=((1, Zeros()), (23, Viewed(rows=1, of=Identity()))))
    """
    expansion = _contracted(of)
    if expansion is not None:
        return Viewed(rows=math.prod(shape[1:]), of=expansion)
    place = centre_tap(shape[2:]) if isinstance(of, CentredTaps) else 0
    for size, (first, _) in zip(shape[2:], of.tap_ranges() or (), strict=False):
        place = place * size + first
    return unit_vector(math.prod(shape) // shape[dim], place)


def unit_vectors(shape: Shape) -> Rule:
    """Rule vectors along a tensor's last dimension, each 1 at its last place, and else 0.

    >>> unit_vectors((1, 1, 8))
    Viewed(rows=8, of=Split(parts=((7, Zeros()), (1, Viewed(rows=1, of=Identity())))))
    """
    size, numel = shape[-1], math.prod(shape)
    one = unit_vector(size, size - 1)
    count = numel // size
    return Viewed(rows=numel, of=Groups(count=count, of=one) if count > 1 else one)


def unit_vector(size: int, place: int) -> Rule:
    """Rule a vector (size,) that is 1 at one place, and else 0.

    >>> unit_vector(8, 0)
    Viewed(rows=1, of=Identity())
    """
    unit = Viewed(rows=1, of=Identity())
    return Split(parts=((place, Zeros()), (size - place, unit))) if place else unit
