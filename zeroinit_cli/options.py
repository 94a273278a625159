"""The options that change bytes, each with its one default."""

from dataclasses import dataclass

from zeroinit_cli.dtypes import BY_NAME, F32, FLOATS, DType
from zeroinit_cli.errors import UsageError, near

SCALES = ("orthonormal", "paper")
"""The constant of a Hadamard expansion: 2^(-m/2), or the paper's printed 2^(-(m-1)/2)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What decides a plan besides its source; every field is recorded in the lock.

    Attributes:
        dtype: type of the floating tensors; integers keep their own.
        scale: one of `SCALES`.
    """

    dtype: DType = F32
    scale: str = "orthonormal"

    @classmethod
    def from_names(cls, *, dtype: str, scale: str) -> "Options":
        """Options from the words of the command line or of a lock.

        Raises:
            UsageError: a word is not one of its choices.
        """
        names = [known.name for known in FLOATS]
        return cls(
            dtype=BY_NAME[_choice("--dtype", dtype, names)],
            scale=_choice("--scale", scale, SCALES),
        )

    def to_names(self) -> dict[str, str]:
        """The words that `from_names` takes, sorted by key."""
        return {"dtype": self.dtype.name, "scale": self.scale}


def _choice(option: str, value: str, choices: tuple[str, ...] | list[str]) -> str:
    if value not in choices:
        raise UsageError(
            "unknown choice",
            where=option,
            expected=", ".join(choices),
            found=repr(value),
            hint=near(value, choices),
        )
    return value
