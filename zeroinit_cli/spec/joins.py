"""What branches that are joined give."""

from collections.abc import Sequence

from zeroinit_cli.spec.layers.base import MismatchError, Shape


def join_shapes(shapes: Sequence[tuple[str, Shape]], join: str, dim: int) -> Shape:
    """The shape of branches joined.

    Raises:
        MismatchError: they do not go together.
    """
    listed = ", ".join(str(list(shape)) for _, shape in shapes[:8])
    ranks = {len(shape) for _, shape in shapes}
    if len(ranks) > 1:
        raise MismatchError(
            f"{join} of branches of different ranks",
            key="join",
            expected="as many dimensions from each",
            found=listed,
        )
    rank = ranks.pop()
    if join == "cat":
        place = (dim + rank + 1 if dim < 0 else dim) - 1
        if not 0 <= place < rank:
            raise MismatchError(
                "no such dimension", key="dim", expected=f"1 to {rank}", found=str(dim)
            )
        rest = {(*shape[:place], *shape[place + 1 :]) for _, shape in shapes}
        if len(rest) > 1:
            raise MismatchError(
                f"cat along dimension {dim} of branches that differ in others",
                expected=f"the same sizes but for dimension {dim}",
                found=listed,
            )
        first = shapes[0][1]
        total = sum(shape[place] for _, shape in shapes)
        return (*first[:place], total, *first[place + 1 :])
    sizes = [set(column) for column in zip(*(shape for _, shape in shapes), strict=True)]
    if any(len(column - {1}) > 1 for column in sizes) or (
        join == "add" and any(len(column) > 1 for column in sizes)
    ):
        expected = "one shape" if join == "add" else "equal sizes, or 1, in each dimension"
        raise MismatchError(f"{join} of different shapes", expected=expected, found=listed)
    return tuple(max(column) for column in sizes)
