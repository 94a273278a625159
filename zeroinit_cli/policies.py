"""Policies: by which rule a random tensor begins, a choice for each use. Two of them have names.

docs/policy.md says what each choice means and why it was taken.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The choices that make rules of uses; without any, those of the default.

    Attributes:
        name: what options and locks call it; empty for one of your own, which no lock can record.
        expansion: matrix where fan_out > fan_in, `twisted` or `sylvester`.
        scale: its constant, `orthonormal`: 2^(-m/2), or `paper`: 2^(-(m-1)/2).
        residual: what ends a residual branch, its last norm or weight, whichever comes later
            (`end`), its last weight (`layer`), or nothing (`none`).
        last_norm: scale of a norm that ends a residual branch.
        keys: what gives the keys of attention that begins closed, `algorithm-1` or `zeros`.
        kernels: a kernel's taps, `signs` around the centre or the `centre` alone.
        patches: kernels over patches that do not overlap, `flattened` into rows or the `centre`.
        contraction: a flattened kernel where fan_out < fan_in, `twisted` or the partial `identity`.
        tables: token tables, `signs` or `algorithm-1`.
    """

    name: str = ""
    expansion: str = "twisted"
    scale: str = "orthonormal"
    residual: str = "end"
    last_norm: float = 0.25
    keys: str = "algorithm-1"
    kernels: str = "signs"
    patches: str = "flattened"
    contraction: str = "twisted"
    tables: str = "signs"


DEFAULT = Policy(name="default")
PAPER = Policy(
    name="paper",
    expansion="sylvester",
    scale="paper",
    residual="layer",
    keys="zeros",
    kernels="centre",
    patches="centre",
    contraction="identity",
    tables="algorithm-1",
)
"""The letter of arXiv:2110.12661."""

POLICIES = {policy.name: policy for policy in (DEFAULT, PAPER)}
"""The policies that a lock can name."""
