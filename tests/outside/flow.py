"""What a run computes from what: every call of a torch function, and the values that are added.

Written for measuring, and on purpose not with zeroinit's own record: it knows no module's class,
follows tensors by their memory, and holds a whole run of real values.
"""

from collections import defaultdict
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten

ADDS = {"add", "add_", "__add__", "__iadd__", "__radd__"}
PART = "part"  # one of several tensors that a call gives
_FRESH = {f"{what}_like" for what in ("zeros", "ones", "empty", "full", "rand", "randn")} | {
    f"new_{what}" for what in ("zeros", "ones", "empty", "full", "tensor")
}  # whose values are not those of what they are given
_LIKE_ANOTHER = {"expand_as", "view_as", "type_as", "reshape_as", "to"}
_LOST_BY_ROUNDING = 1e-5  # a smaller part may leave a sum as it is, in single precision


@dataclass(frozen=True, kw_only=True, slots=True)
class Term:
    """One operand of an add: the step that gave it, its norm, and whether it is nothing at all."""

    step: int
    numel: int
    norm: float
    zero: bool


@dataclass(kw_only=True, slots=True)
class Step:
    """One call, or a tensor that no call gave.

    Attributes:
        name: of the function; `input`, `parameter` or `constant` of what no call gave; `part` of
            one of several tensors.
        parents: steps that its values come from, in the order of its arguments.
        past: the steps that it comes from and itself, a bit each.
        fed: whether anything in it comes from an input of the net.
        learned: whether anything in it comes from a parameter.
        fractions: whether it gives floating numbers.
        place: the module in whose forward it stands.
        terms: of an add of two tensors of fractions.
        swallowed: the term beside which the other is lost by rounding, if one is.
        rank: dimensions of what it gives.
    """

    name: str
    parents: tuple[int, ...] = ()
    past: int = 0
    fed: bool = False
    learned: bool = False
    fractions: bool = True
    place: str = ""
    terms: tuple[Term, ...] = ()
    swallowed: int | None = None
    rank: int = 0
    children: list[int] = field(default_factory=list)


@contextmanager
def _places(module: nn.Module, stack: list[str]) -> Iterator[None]:
    """Keep the names of the modules that are running on a stack."""
    handles = []
    for name, each in module.named_modules():

        def enter(_module: nn.Module, _args: Any, name: str = name) -> None:
            stack.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            stack.pop()

        handles.append(each.register_forward_pre_hook(enter))
        handles.append(each.register_forward_hook(leave, always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Recorder(TorchFunctionMode):
    """Makes a step of each call, and knows of each tensor which step gave it last."""

    def __init__(self, module: nn.Module, stack: list[str], nudged: Collection[int]):
        super().__init__()
        self._nudged = nudged
        self._noise = torch.Generator().manual_seed(3)
        self.steps: list[Step] = []
        self._stack = stack
        self._alive: list[Tensor] = []  # or another tensor would get the same id or memory
        self._of_tensor: dict[int, int] = {}
        self._of_memory: dict[int, int] = {}
        self._sharing: dict[int, list[int]] = defaultdict(list)  # memory -> ids of tensors in it
        for each in module.parameters():
            self._bind(each, self._leaf("parameter", each))

    def feed(self, tensor: Tensor) -> None:
        """Make a tensor an input of the net."""
        self._bind(tensor, self._leaf("input", tensor))

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run the call, and note it if it gives or writes a tensor."""
        kwargs = kwargs or {}
        given = [each for each in tree_flatten((args, kwargs))[0] if isinstance(each, Tensor)]
        name = getattr(func, "__name__", str(func))
        versions = [each._version for each in given]
        terms, swallowed = self._terms(name, args, kwargs)
        known = {id(each) for each in given}
        output = func(*args, **kwargs)
        pairs = zip(given, versions, strict=True)
        written = [each for each, version in pairs if each._version != version]
        made = [each for each in tree_flatten(output)[0] if isinstance(each, Tensor)]
        new = [each for each in made if id(each) not in known]
        if new or written:
            parents = () if name in _FRESH else tuple(map(self._step_of, given))
            parents = parents[:1] if name in _LIKE_ANOTHER else parents
            step = self._add(name, parents, (new or written)[0])
            self.steps[step].terms, self.steps[step].swallowed = terms, swallowed
            for each in new:  # parts of one whole are not each other
                number = self._add(PART, (step,), each) if len(new) > 1 else step
                self._nudge(number, each)
                self._bind(each, number)
            for each in written:
                self._nudge(step, each)
                self._rebind(each, step)
        return output

    def _nudge(self, step: int, tensor: Tensor) -> None:
        if step in self._nudged:
            tensor += torch.randn(tensor.shape, generator=self._noise).to(tensor)

    def _terms(self, name: str, args: Any, kwargs: Any) -> tuple[tuple[Term, ...], int | None]:
        operands = [*args, *kwargs.values()][:2]
        if name not in ADDS or not all(
            isinstance(each, Tensor) and each.is_floating_point() for each in operands
        ):
            return (), None
        terms = tuple(self._term(each) for each in operands)
        for start, part in ((0, 1), (1, 0)):
            if terms[part].norm <= _LOST_BY_ROUNDING * terms[start].norm:
                total = operands[0] + operands[1]
                same = total.shape == operands[start].shape and torch.equal(total, operands[start])
                return terms, terms[start].step if same else None
        return terms, None

    def _term(self, operand: Tensor) -> Term:
        value = operand.detach().float()
        norm = float(torch.linalg.vector_norm(value))
        zero = not bool(value.any())
        return Term(step=self._step_of(operand), numel=value.numel(), norm=norm, zero=zero)

    def _step_of(self, tensor: Tensor) -> int:
        if id(tensor) in self._of_tensor:
            return self._of_tensor[id(tensor)]
        known = self._of_memory.get(_memory(tensor))
        step = self._leaf("constant", tensor) if known is None else known
        self._bind(tensor, step)
        return step

    def _leaf(self, name: str, tensor: Tensor) -> int:
        step = self._add(name, (), tensor)
        self.steps[step].fed = name == "input"
        self.steps[step].learned = name == "parameter"
        return step

    def _add(self, name: str, parents: tuple[int, ...], tensor: Tensor) -> int:
        number = len(self.steps)
        step = Step(name=name, parents=parents, past=1 << number, place=self._stack[-1])
        step.fractions, step.rank = tensor.is_floating_point(), tensor.dim()
        for parent in parents:
            step.past |= self.steps[parent].past
            step.fed |= self.steps[parent].fed
            step.learned |= self.steps[parent].learned
            self.steps[parent].children.append(number)
        self.steps.append(step)
        return number

    def _bind(self, tensor: Tensor, step: int) -> None:
        self._alive.append(tensor)
        self._of_tensor[id(tensor)] = step
        if memory := _memory(tensor):
            self._of_memory[memory] = step
            self._sharing[memory].append(id(tensor))

    def _rebind(self, tensor: Tensor, step: int) -> None:
        """A write into a view writes whatever lies in the same memory."""
        self._bind(tensor, step)
        for each in self._sharing.get(_memory(tensor), ()):
            self._of_tensor[each] = step


def _memory(tensor: Tensor) -> int:
    try:
        return tensor.untyped_storage().data_ptr()
    except (NotImplementedError, RuntimeError):  # of sparse tensors, which have none
        return 0


def flow(module: nn.Module, inputs: Any, call: Any, nudged: Collection[int] = ()) -> list[Step]:
    """The steps of one run without gradients.

    Args:
        module: on real values, in the mode that is asked about.
        inputs: whatever `call` feeds it.
        call: runs the module on the inputs.
        nudged: steps of such a run whose values noise is added to.
    """
    stack = [""]
    recorder = _Recorder(module, stack, nudged)
    for each in tree_flatten(inputs)[0]:
        if isinstance(each, Tensor):
            recorder.feed(each)
    with torch.no_grad(), _places(module, stack), recorder:
        call(module, inputs)
    return recorder.steps
