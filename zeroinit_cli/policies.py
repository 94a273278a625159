"""Policies: by which rule a random tensor begins, a choice for each use. Two of them have names.

docs/policy.md says what each choice means and why it was taken.
"""

import math
from dataclasses import dataclass

from zeroinit_cli.errors import UsageError, near

_WORDS = {
    "expansion": ("twisted", "sylvester"),
    "scale": ("orthonormal", "paper"),
    "residual": ("end", "layer", "none"),
    "kernels": ("signs", "centre"),
    "stems": ("flattened", "centre"),
    "patches": ("flattened", "centre"),
    "contraction": ("twisted", "identity"),
    "tables": ("signs", "algorithm-1"),
}
"""What each choice of a policy may be, that of the default first."""


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
        kernels: a kernel's taps, `signs` around the centre or the `centre` alone.
        stems: kernels that read the net's input, `flattened` into rows or the `centre` alone.
        patches: kernels over patches that do not overlap, likewise.
        contraction: a flattened kernel where fan_out < fan_in, `twisted` or the partial `identity`.
        tables: token tables, `signs` or `algorithm-1`.
    """

    name: str = ""
    expansion: str = "twisted"
    scale: str = "orthonormal"
    residual: str = "end"
    last_norm: float = 0.25
    kernels: str = "signs"
    stems: str = "flattened"
    patches: str = "flattened"
    contraction: str = "twisted"
    tables: str = "signs"

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

    @property
    def ending(self) -> str:
        """How branches end: `damp` where their last norm does not become 0, else `residual`."""
        return "damp" if self.residual == "end" and self.last_norm else self.residual


DEFAULT = Policy(name="default")
PAPER = Policy(
    name="paper",
    expansion="sylvester",
    scale="paper",
    residual="layer",
    kernels="centre",
    stems="centre",
    patches="centre",
    contraction="identity",
    tables="algorithm-1",
)
"""The letter of arXiv:2110.12661."""

POLICIES = {policy.name: policy for policy in (DEFAULT, PAPER)}
"""The policies that a lock can name."""
