"""What all warnings are computed from, and the words that they share."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from torch import nn

from zeroinit_cli.dtypes import F32
from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.operations import NORM_FUNCTIONS, PRODUCTS, function_name, scale_of
from zeroinit_cli.models.structure import Structure
from zeroinit_cli.models.zeros import zero_values
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Rule, Zeros
from zeroinit_cli.plans.values import region_values

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
    _zeros: dict[DataFlow, set[Node]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Look up once what all ask for."""
        rules = {tensor.info.name: tensor.rule for tensor in self.plan.tensors}
        names = {id(each): name for name, each in self.module.named_parameters()}
        object.__setattr__(self, "rules", rules)
        object.__setattr__(self, "names", names)

    def in_order(self, names: Iterable[str]) -> tuple[str, ...]:
        """Put names of tensors in the plan's order, each once."""
        wanted = set(names)
        return tuple(each.info.name for each in self.plan.tensors if each.info.name in wanted)

    def name(self, flow: DataFlow, node: Node | None) -> str | None:
        """The name of the parameter that a value is."""
        return self.names.get(id(flow.parameter(node))) if node is not None else None

    def weight_name(self, flow: DataFlow, node: Node) -> str | None:
        """The name of the weight that a layer applies, of attention that of its output."""
        attention = self.structure.attentions.get(node)
        if attention is not None:
            return self.names.get(id(attention.output))
        return self.name(flow, flow.weight(node))

    def flow(self, node: Node | None) -> DataFlow | None:
        """The graph that a value is in."""
        flows = (flow for flow, _ in self.structure.flows)
        return next((each for each in flows if node is not None and each.carries(node)), None)

    def zeros(self, flow: DataFlow) -> set[Node]:
        """All values of a graph that are 0 at the start."""
        if flow not in self._zeros:
            sources = [node for node in flow.nodes if self.zeroes(flow, node)]
            self._zeros[flow] = zero_values(flow, sources)
        return self._zeros[flow]

    def zeroes(self, flow: DataFlow, node: Node) -> bool:
        """Whether a node gives 0 because of a parameter of its own."""
        attention = self.structure.attentions.get(node)
        if attention is not None:
            return attention.value is not None and self.is_zero_in(
                attention.value.weight, attention.value.rows
            )
        return any(map(self.is_zero, self.factors(flow, node)))

    def factors(self, flow: DataFlow, node: Node) -> tuple[nn.Parameter, ...]:
        """The parameters of which each makes what a node gives 0, if it is."""
        name = function_name(node)
        if name in PRODUCTS:
            factors: tuple[Node | None, ...] = flow.parents(node)
        else:
            factors = (scale_of(node) if name in NORM_FUNCTIONS else flow.weight(node),)
        found = (flow.parameter(each) for each in factors if each is not None)
        return tuple(each for each in found if each is not None)

    def rule(self, parameter: object) -> Rule | None:
        """The rule of a parameter, None where it is none of the module's."""
        return self.rules.get(self.names.get(id(parameter), ""))

    def is_zero(self, parameter: object) -> bool:
        """Whether a parameter begins as 0."""
        return isinstance(self.rule(parameter), Zeros)

    def is_zero_in(self, parameter: object, rows: frozenset[int] | None) -> bool:
        """Whether some rows of a weight begin as 0; all of them, for None."""
        name = self.names.get(id(parameter), "")
        rule = self.rules.get(name)
        if rows is None or rule is None or isinstance(rule, Zeros):
            return isinstance(rule, Zeros)
        shape = next(each.info.shape for each in self.plan.tensors if each.info.name == name)
        use = self.structure.uses.get(name)
        matrix = use.matrix(shape) if use is not None else None
        if use is None or matrix is None:
            return False
        shape = matrix if use.leading or rule.matrix_shape(shape) else shape
        region = [(0, size) for size in shape]
        region[int(use.transposed)] = (min(rows), min(rows) + 1)
        return not region_values(rule, shape, F32, tuple(region), self.plan.kept).any()


def listed(names: Sequence[str]) -> str:
    """Some names and how many more, each once, in order."""
    unique = list(dict.fromkeys(names))
    more = len(unique) - _SHOWN
    return ", ".join(unique[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


def gain(epsilons: Iterable[float]) -> str:
    """What norms that see no variance multiply a gradient by at most: 1 / sqrt(eps)."""
    return f"{min(epsilons) ** -0.5:,.0f}"
