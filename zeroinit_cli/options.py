"""The options that change bytes, each with its one default."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from fractions import Fraction

from zeroinit_cli.dtypes import BY_NAME, F32, FLOATS, SHORT, DType
from zeroinit_cli.errors import UsageError, near, shown
from zeroinit_cli.policies import DEFAULT, POLICIES, Policy

CHOICES: dict[str, tuple[str, ...]] = {
    "dtype": tuple(known.name for known in FLOATS),
    "policy": tuple(POLICIES),
}
"""What each option may be; the meaning of each word stands in docs/policy.md."""

OVERRIDE_RULES = (
    "algorithm-1",
    "algorithm-2",
    "kept",
    "ones",
    "patch",
    "position",
    "transposed:algorithm-1",
    "transposed:algorithm-2",
    "zeros",
)
"""The rules that an override can name."""

SHARD_SIZE = "max-shard-size"
"""The one option whose word is a size."""

MOST_OVERRIDES = 1000
MOST_PATTERN = 500
"""Overrides, and characters of a pattern: each is held against every name of a state dict, so that
a lock of one megabyte could otherwise take an hour."""

UNITS = {"TB": 10**12, "GB": 10**9, "MB": 10**6, "KB": 10**3}
"""The units of a size: powers of 1000."""
_MOST_BYTES = 2**63 - 1
_SIZE = re.compile(r"([0-9]{1,30}(?:\.[0-9]{1,30})?)\s*([A-Za-z]*)", re.ASCII)


@dataclass(frozen=True, kw_only=True, slots=True)
class Override:
    """A rule for every tensor whose name a glob matches, whatever the policy says.

    Attributes:
        pattern: a glob over the whole name; `*` matches dots too.
        rule: one of `OVERRIDE_RULES`.
    """

    pattern: str
    rule: str

    def __str__(self) -> str:
        """Write it as on the command line."""
        return f"{self.pattern}={self.rule}"

    def matches(self, name: str) -> bool:
        """Tell whether the glob matches a tensor's name."""
        return fnmatchcase(name, self.pattern)


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """The options that decide a plan besides its source; the lock records every field.

    Attributes:
        dtype: type of the floating tensors; integers keep their own.
        policy: the rule for each use.
        overrides: in order; the last that matches a tensor wins.
        max_shard_size: bytes of tensors that a file may hold; None for one file of any size.
    """

    dtype: DType = F32
    policy: Policy = DEFAULT
    overrides: tuple[Override, ...] = ()
    max_shard_size: int | None = None

    @classmethod
    def from_words(
        cls,
        words: Mapping[str, str | None],
        *,
        overrides: Iterable[str] = (),
        defaults: Mapping[str, str] | None = None,
    ) -> "Options":
        """Read options from the words of the command line or of a lock.

        Args:
            words: option -> choice; None, or no entry, means the default.
            overrides: `PATTERN=RULE` each.
            defaults: option -> choice, where the words do not say otherwise.

        Raises:
            UsageError: a word is not one of its choices.
        """
        asked = tuple(overrides)
        if len(asked) > MOST_OVERRIDES:
            raise UsageError(
                "too many overrides",
                where="--override",
                expected=f"at most {MOST_OVERRIDES}",
                found=str(len(asked)),
                hint="a glob can mean many tensors: '*.bias=zeros'",
            )
        chosen = dict(defaults or {})
        chosen |= {option: word for option, word in words.items() if word is not None}
        size = chosen.pop(SHARD_SIZE, None)
        for option, word in sorted(chosen.items()):
            _choice(f"--{option}", word, CHOICES[option])
        return cls(
            dtype=BY_NAME[chosen.get("dtype", F32.name)],
            policy=POLICIES[chosen.get("policy", DEFAULT.name)],
            overrides=tuple(map(parse_override, asked)),
            max_shard_size=None if size is None else parse_size(size, f"--{SHARD_SIZE}"),
        )

    def to_words(self) -> dict[str, str]:
        """Return what `from_words` takes, sorted by option; without the overrides.

        A size is there only if one was given.
        """
        words = {"dtype": self.dtype.name, "policy": self.policy.name}
        if self.max_shard_size is not None:
            words[SHARD_SIZE] = size_words(self.max_shard_size)
        return dict(sorted(words.items()))


def parse_override(text: str) -> Override:
    """Parse an override of the command line or of a lock.

    Raises:
        UsageError: it is not PATTERN=RULE, or no override can name the rule.
    """
    pattern, equals, rule = text.rpartition("=")
    if not equals or not pattern:
        raise UsageError(
            "malformed override",
            where="--override",
            expected="PATTERN=RULE, such as '*.head.weight=zeros'",
            found=repr(text),
        )
    if len(pattern) > MOST_PATTERN:
        raise UsageError(
            "a pattern too long for an override",
            where="--override",
            expected=f"at most {MOST_PATTERN} characters",
            found=f"{len(pattern)} characters",
        )
    return Override(pattern=pattern, rule=_choice("--override", rule, OVERRIDE_RULES))


def parse_size(text: str, where: str) -> int:
    """Read a size as people type it: `5GB`, `1.5 MB`, or plain bytes.

    Returns:
        bytes.

    Raises:
        UsageError: it is no such size, no whole number of bytes, or none at all.
    """
    match = _SIZE.fullmatch(text.strip())
    factor = UNITS.get(match[2].upper(), 0 if match[2] else 1) if match else 0
    size = Fraction(match[1]) * factor if match else Fraction(0)
    if size.denominator == 1 and 1 <= size <= _MOST_BYTES:
        return int(size)
    binary = match is not None and re.fullmatch("[KMGT]iB", match[2], re.IGNORECASE)
    raise UsageError(
        "not a size",
        where=where,
        expected=f"a whole number of bytes, at least 1, or of {', '.join(reversed(UNITS))}, "
        "such as 5GB",
        found=shown(text),
        hint="the units are powers of 1000; for those of 1024 give bytes" if binary else None,
    )


def size_words(nbytes: int) -> str:
    """Write a size in the largest unit that divides it; `parse_size` reads it back."""
    for unit, factor in UNITS.items():
        if nbytes % factor == 0:
            return f"{nbytes // factor}{unit}"
    return str(nbytes)


def _choice(option: str, value: str, choices: Iterable[str]) -> str:
    known, short = list(choices), SHORT.get(value.lower())
    if value not in known:
        raise UsageError(
            "unknown choice",
            where=option,
            expected=", ".join(known),
            found=repr(value),
            hint=near(value, known) if short not in known else f"did you mean {short}?",
        )
    return value
