"""What a plan warns about: starts that were measured not to train, or to train badly.

Each warning is computed from the plan's rules and the graph, never from a model's name. None
changes what is planned.
"""

from torch import nn

from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.warnings.branches import (
    damped_branches,
    hidden_adds,
    kept_biases,
    open_branches,
    untraced_parts,
)
from zeroinit_cli.models.warnings.cancelling import cancelled
from zeroinit_cli.models.warnings.expansions import (
    chains,
    holes,
    shortcut_chains,
    twins,
)
from zeroinit_cli.models.warnings.reach import guessed_inputs, not_reached
from zeroinit_cli.models.warnings.seen import Seen
from zeroinit_cli.models.warnings.zeros import (
    double_zeros,
    frozen_zeros,
    zero_heads,
    zero_tokens,
    zeros_before_norms,
)
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan, PlanWarning

_ALL = (
    guessed_inputs,
    untraced_parts,
    not_reached,
    hidden_adds,
    open_branches,
    damped_branches,
    kept_biases,
    chains,
    shortcut_chains,
    zeros_before_norms,
    zero_tokens,
    double_zeros,
    frozen_zeros,
    cancelled,
    twins,
    zero_heads,
    holes,
)


def find_warnings(
    plan: Plan, module: nn.Module, structure: Structure, options: Options
) -> tuple[PlanWarning, ...]:
    """Everything to know before training from a plan, in a fixed order."""
    seen = Seen(plan=plan, module=module, structure=structure, options=options)
    return tuple(warning for find in _ALL for warning in find(seen))
