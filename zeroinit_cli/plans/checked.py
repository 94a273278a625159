"""What a check found of a live module: how much of each planned tensor is held, and as planned."""

import math
from dataclasses import dataclass

from zeroinit_cli.text import counted

_SHOWN = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class CheckedTensor:
    """One tensor of a plan, over all ranks.

    Where several ranks hold the same elements, those of the lowest are the first copy.

    Attributes:
        name: in the plan.
        shape: of the whole.
        held: elements that the first copy holds.
        differing: of those, how many are not as planned.
        differing_in_copies: elements that are not as planned in further copies: a replica that has
            silently diverged, which gathering would hide.
        first_difference: index of the first element that is not, in whichever copy.
    """

    name: str
    shape: tuple[int, ...]
    held: int
    differing: int
    differing_in_copies: int
    first_difference: tuple[int, ...] | None

    @property
    def numel(self) -> int:
        """Elements of the whole."""
        return math.prod(self.shape)

    @property
    def ok(self) -> bool:
        """Whether every element is held once, and as planned in every copy."""
        return (self.held, self.differing, self.differing_in_copies) == (self.numel, 0, 0)

    def __str__(self) -> str:
        """Say in a line what is so."""
        found = []
        if self.held != self.numel:
            held = f"{self.held:,} of {counted(self.numel, 'element')} held" if self.held else ""
            found.append(held or "held by no rank")
        if self.differing:
            found.append(f"{self.differing:,} of {counted(self.numel, 'element')} differ")
        if self.differing_in_copies:
            only = "" if self.differing else " alone"
            found.append(f"{self.differing_in_copies:,} differ in further copies{only}")
        if self.first_difference is not None:
            found.append(f"the first at {list(self.first_difference)}")
        return f"{self.name} {list(self.shape)}: {', '.join(found) or 'as planned'}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Checked:
    """What a check of a module against its plan found, the same on every rank.

    Attributes:
        digest: of the plan.
        tensors: all of the plan, in its order.
    """

    digest: str
    tensors: tuple[CheckedTensor, ...]

    @property
    def ok(self) -> bool:
        """Whether every element of every tensor is held, and is as planned in every copy."""
        return not self.problems

    @property
    def problems(self) -> tuple[CheckedTensor, ...]:
        """The tensors that are not as planned."""
        return tuple(tensor for tensor in self.tensors if not tensor.ok)

    def __str__(self) -> str:
        """Write what a person wants to read."""
        problems = self.problems
        if not problems:
            numel = sum(tensor.numel for tensor in self.tensors)
            return (
                f"{counted(len(self.tensors), 'tensor')} of {counted(numel, 'element')} "
                f"as planned ({self.digest})"
            )
        count = f"{len(problems):,} of {counted(len(self.tensors), 'tensor')}"
        lines = [f"{count} not as planned ({self.digest})"]
        lines += [f"  {tensor}" for tensor in problems[:_SHOWN]]
        if len(problems) > _SHOWN:
            lines.append(f"  and {len(problems) - _SHOWN:,} more")
        return "\n".join(lines)
