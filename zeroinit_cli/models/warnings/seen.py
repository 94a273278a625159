"""What all warnings are computed from, and the words that they share."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from torch import nn

from zeroinit_cli.models.structure import Structure
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Rule, Zeros

_SHOWN = 4


@dataclass(frozen=True, kw_only=True)
class Seen:
    """A plan and what it was made from.

    Attributes:
        plan: the plan, as yet without warnings.
        module: the module, for its modules' types and settings.
        structure: what its graph says.
        options: what the plan depends on.
        rules: name of a tensor -> its rule.
        names: id of a parameter -> its first name.
    """

    plan: Plan
    module: nn.Module
    structure: Structure
    options: Options
    rules: dict[str, Rule] = field(init=False)
    names: dict[int, str] = field(init=False)

    def __post_init__(self) -> None:
        """Look up once what all ask for."""
        rules = {tensor.info.name: tensor.rule for tensor in self.plan.tensors}
        names = {id(each): name for name, each in self.module.named_parameters()}
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "names", names)

    def rule(self, parameter: object) -> Rule | None:
        """The rule of a parameter, None where it is none of the module's."""
        return self.rules.get(self.names.get(id(parameter), ""))

    def is_zero(self, parameter: object) -> bool:
        """Whether a parameter begins as 0."""
        return isinstance(self.rule(parameter), Zeros)


def listed(names: Sequence[str]) -> str:
    """Some names and how many more, each once, in order."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def gain(norms: Sequence[nn.Module]) -> str:
    """What norms that see no variance multiply a gradient by at most: 1 / sqrt(eps)."""
    smallest = min(float(getattr(norm, "eps", None) or 1e-5) for norm in norms)
    return f"{smallest**-0.5:,.0f}"
