"""Policies: by which rule a random tensor begins, a choice for each use. Two of them have names.

docs/policy.md says what each choice means and why it was taken.
"""

import math
from dataclasses import dataclass, replace

from zeroinit_cli.errors import UsageError, near

_WORDS = {
    "expansion": ("twisted", "sylvester"),
    "scale": ("orthonormal", "paper", "he"),
    "residual": ("end", "layer", "none"),
    "kernels": ("signs", "centre"),
    "stems": ("flattened", "centre", "means"),
    "patches": ("flattened", "centre"),
    "contraction": ("twisted", "identity"),
    "tables": ("signs", "algorithm-1"),
    "chains": ("sized", "none"),
}
"""What each choice of a policy may be, that of the default first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Policy:
    """The choices that make rules of uses; without any, those of the default.

    Attributes:
        name: what options and locks call it; empty for one of your own, which no lock can record.
        expansion: matrix where fan_out > fan_in, `twisted` or `sylvester`.
        scale: its constant, `orthonormal`: 2^(-m/2), `paper`: 2^(-(m-1)/2), or `he`: the same of
            columns in place of rows, so that a ReLU behind it leaves sizes about as they were.
        residual: what ends a residual branch, its last norm or weight, whichever comes later
            (`end`), its last weight (`layer`), or nothing (`none`).
        last_norm: scale of a norm that ends a residual branch.
        last_weight: factor of a weight behind a norm that ends one, a power of 2 or 0.
        kernels: a kernel's taps, `signs` around the centre or the `centre` alone.
        stems: kernels that read the net's input, `flattened` into rows or the `centre` alone, or
            `means`: flattened, each entry +-1 over about the number of columns.
        patches: kernels over patches that do not overlap, likewise.
        contraction: a flattened kernel where fan_out < fan_in, `twisted` or the partial `identity`.
        tables: token tables, `signs` or `algorithm-1`.
        chains: maps in a chain of kernels without norms, `sized`: as `in_chain` says, or `none`:
            as all others.
    """

    name: str = ""
    expansion: str = "twisted"
    scale: str = "orthonormal"
    residual: str = "end"
    last_norm: float = 0.25
    last_weight: float = 1 / 16
    kernels: str = "signs"
    stems: str = "flattened"
    patches: str = "flattened"
    contraction: str = "twisted"
    tables: str = "signs"
    chains: str = "sized"

    def __post_init__(self) -> None:
        """Refuse a word that no rule knows: it would be taken for another."""
        for choice, known in _WORDS.items():
            word = getattr(self, choice)
            if word not in known:
                raise UsageError(
                    "unknown choice",
                    where=f"Policy({choice}=...)",
                    expected=", ".join(known),
                    found=repr(word),
                    hint=near(str(word), known),
                )
        if not math.isfinite(self.last_norm):
            raise UsageError(
                "a scale that is no number",
                where="Policy(last_norm=...)",
                expected="a finite number",
                found=str(self.last_norm),
            )
        mantissa, exponent = math.frexp(self.last_weight)
        if mantissa and (mantissa != 0.5 or exponent > 1):
            raise UsageError(
                "a factor that is no power of 2, or more than 1",
                where="Policy(last_weight=...)",
                expected="0, 1, 1/2, 1/4 or the like",
                found=str(self.last_weight),
            )

    @property
    def ending(self) -> str:
        """How branches end: `damp` where their last norm does not become 0, else `residual`."""
        return "damp" if self.residual == "end" and self.last_norm else self.residual

    def in_chain(self, *, followed: bool = True) -> "Policy":
        """Choose for maps in a chain of kernels without norms, where sizes add up.

        Args:
            followed: whether another map reads what this one gives.
        """
        if self.chains == "none":
            return self
        stems = "means" if self.stems == "flattened" else self.stems
        scale = "he" if followed else self.scale
        return replace(self, name="", kernels="centre", scale=scale, stems=stems)


DEFAULT = Policy(name="default")
PAPER = Policy(
    name="paper",
    expansion="sylvester",
    scale="paper",
    residual="layer",
    last_weight=0.0,
    kernels="centre",
    stems="centre",
    patches="centre",
    contraction="identity",
    tables="algorithm-1",
    chains="none",
)
"""The letter of arXiv:2110.12661."""

POLICIES = {policy.name: policy for policy in (DEFAULT, PAPER)}
"""The policies that a lock can name."""
