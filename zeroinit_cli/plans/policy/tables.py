"""Tables of tokens and positions."""

import math

from zeroinit_cli.plans.layouts import Mirrored, Viewed, ZeroRow
from zeroinit_cli.plans.policy.maps import algorithm_1, signs
from zeroinit_cli.plans.rules import Rule, Shape, Zeros
from zeroinit_cli.policies import Policy


def embedding(
    shape: Shape, padding_idx: int | None, policy: Policy, *, is_tied: bool = False
) -> Rule:
    """Rule an embedding table (rows, dim), the padding row 0: signs, or Algorithm 1 for a tied one.

    The signs' columns are in reverse order: with the same matrix in table and head the net would
    begin by predicting that every token repeats.

    >>> embedding((100, 8), 0, DEFAULT)  # nn.Embedding(100, 8, padding_idx=0).weight
    ZeroRow(row=0, of=Mirrored(of=Twisted(block=8, prime=103, half_exponent=0)))
    >>> embedding((100, 8), None, DEFAULT, is_tied=True)
    Twisted(block=8, prime=103, half_exponent=-7)
    """
    rows, dim = shape
    table = algorithm_1(rows, dim, policy)
    if policy.tables == "signs" and not is_tied:
        table = Mirrored(of=signs(rows, dim, 0))
    return table if padding_idx is None else ZeroRow(row=padding_idx, of=table)


def position_table(shape: Shape, policy: Policy, *, beside: Shape | None = None) -> Rule:
    """Rule a table (..., positions, dim): Algorithm 1 mirrored, so that position i is not token i.

    Its rows have norm 1, or a little less where positions are more than dim: signs then. Beside a
    tied token table, whose rows are shorter, they are signs half as large as its own. A table of
    one position says nothing, and is 0.

    Args:
        shape: of the table.
        policy: the choices.
        beside: shape (rows, dim) of the tied token table that its rows are added to.

    >>> position_table((1, 16, 8), DEFAULT)  # a vision transformer's pos_embed
    Viewed(rows=16, of=Mirrored(of=Twisted(block=8, prime=19, half_exponent=-3)))
    >>> position_table((16, 8), DEFAULT, beside=(100, 8))  # the tokens' are -7
    Mirrored(of=Twisted(block=8, prime=19, half_exponent=-9))
    """
    dim = shape[-1]
    positions = math.prod(shape[:-1])
    if positions == 1:
        return Zeros()
    rule = algorithm_1(positions, dim, policy)
    if policy.tables == "signs" and beside is not None and beside[0] > beside[1]:
        rule = signs(positions, dim, -(beside[0] - 1).bit_length() - 2)
    elif policy.tables == "signs" and positions > dim:
        rule = signs(positions, dim, -(dim - 1).bit_length())
    mirrored = Mirrored(of=rule)
    return mirrored if len(shape) == 2 else Viewed(rows=positions, of=mirrored)
