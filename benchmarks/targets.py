"""What is promised of speed and memory, held against what was measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.samples import (
    Figure,
    Part,
    Sample,
    as_megabytes,
    as_ratio,
    ratio,
    spread,
    total,
    value,
)

_MOST_GROWTH = 64e6


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """One promise.

    Attributes:
        what: in words.
        bound: the number promised.
        at_most: whether more than the bound breaks it, or less.
        form: how the numbers are printed.
        found: the median that was measured, None if it was not.
    """

    what: str
    bound: float
    at_most: bool
    form: Callable[[float], str]
    found: float | None

    @property
    def bound_text(self) -> str:
        """`at most 1.15`."""
        return f"at {'most' if self.at_most else 'least'} {self.form(self.bound)}"

    @property
    def found_text(self) -> str:
        """The median, or that it was not measured."""
        return "not measured" if self.found is None else self.form(self.found)

    @property
    def verdict(self) -> str:
        """Whether the promise holds."""
        if self.found is None:
            return ""
        holds = self.found <= self.bound if self.at_most else self.found >= self.bound
        return "yes" if holds else "no"


def targets(parts: Sequence[Part]) -> list[Target]:
    """Every promise, in the order of the product's contract."""
    sha256, ours = value("sha256_seconds"), value("write_seconds")
    reference = total("reference_initialise", "reference_save", "reference_hash")
    start = ratio(value("command_seconds"), value("imports_seconds"))
    ratios: list[tuple[str, str, str, Figure, float, bool]] = [
        (
            "vit_h_14: values + write + hash / SHA-256 alone",
            *("models", "vit_h_14", ratio(ours, sha256), 1.15, True),
        ),
        (
            "vit_h_14: times faster than zero_init's initialise + save + hash",
            *("models", "vit_h_14", ratio(reference, ours), 60, False),
        ),
        (
            "vit_b_16: times faster than zero_init's initialise + save + hash",
            *("models", "vit_b_16", ratio(reference, ours), 20, False),
        ),
        (
            "vit_h_14: verify / SHA-256 alone",
            *("models", "vit_h_14", ratio(value("verify_seconds"), sha256), 1.3, True),
        ),
        (
            "two jobs: times faster than one pinned to one core",
            *("shards", "10 GB", value("speedup"), 1.8, False),
        ),
        (
            "--version / import typer",
            *("startup", "--version / import typer", start, 1.5, True),
        ),
        ("--help / import typer", *("startup", "--help / import typer", start, 3, True)),
        (
            "generate resnet18 / import torch, torchvision",
            *("startup", "generate resnet18 / import torch, torchvision", start, 1.15, True),
        ),
    ]
    found = [
        Target(
            what=what,
            bound=bound,
            at_most=at_most,
            form=as_ratio,
            found=_median(parts, key, name, figure),
        )
        for what, key, name, figure, bound, at_most in ratios
    ]
    return [*found, *_memory(parts)]


def _memory(parts: Sequence[Part]) -> list[Target]:
    """The most of every part that says how memory grew, above the plan."""
    growths = (
        ("values + write + hash", "write_growth"),
        ("verify", "verify_growth"),
        ("values + hash", "digest_growth"),
    )
    return [
        Target(
            what=f"memory of {label} above the plan, MB, the most of all",
            bound=_MOST_GROWTH,
            at_most=True,
            form=as_megabytes,
            found=max(
                (number for sample in _samples(parts) if (number := sample.get(name)) is not None),
                default=None,
            ),
        )
        for label, name in growths
    ]


def _samples(parts: Sequence[Part]) -> list[Sample]:
    return [sample for part in parts for series in part.series for sample in series.samples]


def _median(parts: Sequence[Part], key: str, name: str, figure: Figure) -> float | None:
    series = next((part.named(name) for part in parts if part.key == key), None)
    found = spread(series.samples, figure) if series else None
    return found.median if found else None
