"""A module's forward, recorded: whole, or as far as it runs, and what lies behind part by part."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.attention import composite_of, opaque_attention_of
from zeroinit_cli.models.classes import has_own_forward, is_norm, is_weight_layer, type_name
from zeroinit_cli.models.inputs import Example, guesses
from zeroinit_cli.models.nodes import Node, Record, tensors_in
from zeroinit_cli.models.record import record
from zeroinit_cli.models.untouched import Named, in_mode, stand_ins

_TRIALS = 60  # of examples, for a module of which nothing is known
_MOST_STEPS = 10_000  # in trials that failed, for one that is large
_MOST_RETRIES = 8  # of a run, each passing over one more type of module

Tensors = Mapping[int, tuple[str, torch.Tensor]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A module that was run.

    Attributes:
        path: its name in the whole, empty for the whole.
        nodes: the steps of its forward, as far as it ran; names in them are relative to `path`.
        modules: every module that was called, by its name there.
        constants: every tensor that a step reads, by its name there.
        unknown: modules that are one step because the forward of one of their type does not run.
    """

    path: str
    nodes: tuple[Node, ...]
    modules: Mapping[str, nn.Module]
    constants: Mapping[str, torch.Tensor]
    unknown: frozenset[nn.Module]


@dataclass(frozen=True, kw_only=True, slots=True)
class Untraced:
    """A module whose own forward is not known to its end."""

    path: str
    module_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """All that could be seen of a module's forward."""

    parts: tuple[Part, ...]
    untraced: tuple[Untraced, ...]


def run(module: nn.Module, examples: Iterable[Example] | None = None) -> Forward:
    """The steps of a module's forward, on shapes alone: its weights hold no values meanwhile.

    The forward is that of training, whatever mode the module is in. One that draws at random which
    layers to pass shows others each time; then it is that of evaluation, with all of them.

    Args:
        module: nothing in it is changed.
        examples: of its arguments, tried in order; guessed from its first layers if not given.
    """
    known = None if examples is None else list(examples)
    for training in (True, False):
        with stand_ins(module) as held, in_mode(module, training=training):
            forward = _run_all(module, known, held.named)
            if not training or not held.has_drawn():
                break
    return forward


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one step, whatever happens inside."""
    if opaque_attention_of(module) or composite_of(module):
        return True
    if is_norm(module) or (is_weight_layer(module) and not has_own_forward(module)):
        return True
    return type(module).__module__.startswith("torch.nn.") and not list(module.children())


def _copied(example: Example) -> Example:
    """An example that a forward may write into, on the CPU if it has values."""

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().to("meta" if tensor.is_meta else "cpu", copy=True)

    args, kwargs = tree_map_only(torch.Tensor, copy, (example.args, dict(example.kwargs)))
    return Example(args=args, kwargs=kwargs)


def _run_all(module: nn.Module, examples: list[Example] | None, named: Named) -> Forward:
    parts: list[Part] = []
    untraced: list[Untraced] = []
    waiting, seen = [("", module)], {module}
    while waiting:
        path, each = waiting.pop()
        if is_leaf(each) or (path and next(each.parameters(), None) is None):
            continue
        if getattr(type(each), "forward", None) is nn.Module.forward:  # it only holds others
            further = list(each.named_children())
        else:
            of_part = guesses(each) if examples is None or path else examples
            found, unknown = _best(each, of_part, named.under(path))
            parts.append(part_of(path, found, unknown))
            untraced += _untraced(path, each, found)
            further = list(_not_looked_into(each, found, unknown))
        fresh = [(_joined(path, name), inner) for name, inner in further if inner not in seen]
        seen.update(inner for _, inner in fresh)
        waiting += reversed(fresh)
    return Forward(parts=tuple(part for part in parts if part.nodes), untraced=tuple(untraced))


def _best(
    module: nn.Module, examples: Iterable[Example], tensors: Tensors
) -> tuple[Record, frozenset[nn.Module]]:
    """The first run that ends well; of those that do not, the one that gets furthest.

    Returns:
        the run, and the modules that were passed over in it since their forward fails.
    """
    best = Record(failed=(module,), error=ValueError("it cannot be guessed what it takes"))
    of_best: Example | None = None
    steps = 0
    for _, example in zip(range(_TRIALS), examples, strict=False):
        found = _record(module, example, tensors, frozenset())
        if found.error is None:
            return found, frozenset()
        if len(found.nodes) > len(best.nodes):
            best, of_best = found, example
        steps += len(found.nodes)
        if steps > _MOST_STEPS:
            break
    if of_best is not None:
        return _around(module, of_best, tensors, best)
    return best, frozenset()


def _around(
    module: nn.Module, example: Example, tensors: Tensors, failed: Record
) -> tuple[Record, frozenset[nn.Module]]:
    """A run that passes over what fails, or the failed one, if it does not end well even so.

    What is passed over gives what it is given: so it is with most blocks.
    """
    unknown: frozenset[nn.Module] = frozenset()
    found = failed
    for _ in range(_MOST_RETRIES):
        way = [each for each in found.failed if each not in unknown and not is_leaf(each)]
        if not way or way[0] is module:
            break
        alike = {each for each in module.modules() if type(each) is type(way[0])}
        unknown |= alike - set(way[1:])
        found = _record(module, example, tensors, unknown)
        if found.error is None:
            return found, unknown
    return failed, frozenset()


def _record(
    module: nn.Module, example: Example, tensors: Tensors, unknown: frozenset[nn.Module]
) -> Record:
    given = _copied(example)
    for each in unknown:
        vars(each)["forward"] = _same
    try:
        with torch.no_grad():
            return record(
                module,
                given.args,
                given.kwargs,
                tensors=tensors,
                is_leaf=lambda each: each in unknown or is_leaf(each),
            )
    finally:
        for each in unknown:
            vars(each).pop("forward", None)


def _same(*args: Any, **kwargs: Any) -> torch.Tensor:
    """A forward that gives its first tensor."""
    given = next(tensors_in((args, kwargs)), None)
    if given is None:
        raise TypeError("what it gives cannot be guessed")
    return given.clone()


def part_of(path: str, found: Record, unknown: frozenset[nn.Module] = frozenset()) -> Part:
    """What was recorded of the module at a path."""
    return Part(
        path=path,
        nodes=tuple(found.nodes),
        modules=found.modules,
        constants=dict(sorted(found.constants.items())),
        unknown=unknown,
    )


def _untraced(path: str, module: nn.Module, found: Record) -> Iterator[Untraced]:
    """The modules whose forward ended early, the outermost first."""
    names = {inner: name for name, inner in module.named_modules()}
    for inner in reversed(found.failed):
        if inner in names and not is_leaf(inner) and not _is_chain(inner):
            yield Untraced(path=_joined(path, names[inner]), module_type=type_name(inner))


def _is_chain(module: nn.Module) -> bool:
    """Whether a module only calls others one after the other, and so adds nothing itself."""
    return getattr(type(module), "forward", None) is nn.Sequential.forward


def _not_looked_into(
    module: nn.Module, found: Record, unknown: frozenset[nn.Module]
) -> Iterator[tuple[str, nn.Module]]:
    """The submodules that were passed over, and the largest that an early end left uncalled."""
    for name, child in module.named_children():
        if child in unknown:
            if child in found.called:
                yield name, child
        elif found.error is not None and found.called.isdisjoint(child.modules()):
            yield name, child
        else:
            for inner, each in _not_looked_into(child, found, unknown):
                yield _joined(name, inner), each


def _joined(*names: str) -> str:
    return ".".join(name for name in names if name)
