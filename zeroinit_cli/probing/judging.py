"""A verdict."""

from collections.abc import Sequence

FACTORS = (0.1, 0.01)


def goes_well(losses: Sequence[float | None], not_finite: str | None) -> bool:
    if not_finite is not None or losses[0] is None or losses[-1] is None:
        return False
    return losses[-1] < losses[0]
