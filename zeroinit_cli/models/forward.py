"""A module's forward, recorded: whole, or as far as it runs, and what lies behind part by part."""

import inspect
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import nn

from zeroinit_cli.errors import PlanError
from zeroinit_cli.models.classes import type_name
from zeroinit_cli.models.guesses import guesses
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.nodes import Layout, Node, Record
from zeroinit_cli.models.trials import Trial, Trials, is_layer
from zeroinit_cli.models.untouched import in_mode, stand_ins


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A module that was run.

    Attributes:
        path: its name in the whole, empty for the whole.
        nodes: the steps of its forward, as far as it ran; names in them are relative to `path`.
        modules: every module that was called, by its name there.
        constants: every tensor that a step reads, by its name there.
        layouts: of the value that each step gives.
        called: every module that was called.
        unknown: modules that are one step because the forward of one of their type does not run.
        is_again: the same module was run before, on other arguments or in the other mode.
    """

    path: str
    nodes: tuple[Node, ...]
    modules: Mapping[str, nn.Module]
    constants: Mapping[str, torch.Tensor]
    layouts: Mapping[Node, Layout]
    called: frozenset[nn.Module]
    unknown: frozenset[nn.Module]
    is_again: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Untraced:
    """A module whose own forward is not known to its end."""

    path: str
    module_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Guess:
    """What a module was run on, of which nothing was known.

    Attributes:
        examples: the arguments, of each run that counts.
        tried: how many were tried before one went through.
        is_whole: one did, with nothing passed over.
    """

    examples: tuple[Example, ...]
    tried: int
    is_whole: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Forward:
    """All that could be seen of a module's forward.

    Attributes:
        parts: what was run.
        untraced: the modules whose forward is not known to its end.
        is_whole: a run of the whole went through, with nothing passed over.
        guess: what it was run on, if that was guessed.
    """

    parts: tuple[Part, ...]
    untraced: tuple[Untraced, ...]
    is_whole: bool = True
    guess: Guess | None = None

    @property
    def reached(self) -> frozenset[int]:
        """The ids of all tensors that some run read."""
        return frozenset(id(each) for part in self.parts for each in part.constants.values())


def run(module: nn.Module, examples: Iterable[Example] | Example | None = None) -> Forward:
    """The steps of a module's forward, on shapes alone: its weights hold no values meanwhile.

    The forward is that of training, whatever mode the module is in. One that draws at random which
    layers to pass shows others each time, and one that asks for what training alone has may not go
    through: then it is that of evaluation, and of training what only that reaches.

    Args:
        module: nothing in it is changed.
        examples: of its arguments, tried in order; guessed from its first layers if not given. A
            single one is a caller's, and has to be right.

    Raises:
        PlanError: the forward fails on a caller's example, other than for want of values.
    """
    given = examples if isinstance(examples, Example) else None
    known = [given] if given else None if examples is None else list(cast(Any, examples))
    runs: list[Forward] = []
    faults: list[Trial] = []
    drawn = False
    for training in (True, False):
        with stand_ins(module) as held, in_mode(module, training=training):
            forward, trial = _run_all(module, known, Trials(held=held))
            runs.append(forward)
            faults += [trial] if trial.fault is not None else []
            if training:
                drawn = held.has_drawn()
        if forward.is_whole and not drawn:
            break
    if given is not None and len(faults) == len(runs):
        raise _fault(module, faults[-1])
    return runs[0] if len(runs) == 1 else _united(*runs, drawn=drawn)


def _fault(module: nn.Module, trial: Trial) -> PlanError:
    """What is wrong with an example that a forward fails on."""
    names = {inner: name for name, inner in module.named_modules()}
    path = next((names[each] for each in trial.failed if each in names), "")
    error = trial.error
    first = str(error).partition("\n")[0]
    place = f"in {path} ({type_name(module.get_submodule(path))})" if path else "in its own forward"
    return PlanError(
        "the forward fails on example_inputs",
        where=type_name(module),
        expected=f"what it takes: {', '.join(inspect.signature(module.forward).parameters)}",
        found=f"{type(error).__name__}: {first}, {place}; given were {trial.example}",
        hint="call the module on them to see the whole traceback",
    )


def _united(training: Forward, evaluation: Forward, *, drawn: bool) -> Forward:
    """The run of training and that of evaluation, the more telling first.

    Args:
        training: drawn, or not whole.
        evaluation: likewise, but that it does not draw.
        drawn: training drew what to run.
    """
    main, other = training, evaluation
    if evaluation.is_whole or (drawn and not training.is_whole):
        main, other = evaluation, training
    if other.reached <= main.reached:
        return main
    more = (replace(part, is_again=True) for part in other.parts)
    return replace(main, parts=(*main.parts, *more))


def _run_all(
    module: nn.Module, examples: list[Example] | None, trials: Trials
) -> tuple[Forward, Trial]:
    """Run a module, and what of it is not seen by that; with the trial of the whole."""
    parts: list[Part] = []
    untraced: list[Untraced] = []
    of_whole: list[Trial] = []
    waiting, seen = [("", module)], {module}
    while waiting:
        path, each = waiting.pop()
        if path and (is_layer(each) or next(each.parameters(), None) is None):
            continue
        if getattr(type(each), "forward", None) is nn.Module.forward:  # it only holds others
            further = list(each.named_children())
        else:
            guessed = examples is None or bool(path)
            best = trials.best(each, path, guesses(each) if guessed else examples or [])
            runs = [best]
            if not path and guessed and best.is_whole:
                runs = trials.further(each, best)
            of_whole += [] if path else runs
            parts += [
                part_of(path, one.found, one.unknown, is_again=one is not runs[0]) for one in runs
            ]
            untraced += _untraced(path, each, best.found)
            further = list(_not_looked_into(each, best.found, best.unknown))
        fresh = [(_joined(path, name), inner) for name, inner in further if inner not in seen]
        seen.update(inner for _, inner in fresh)
        waiting += reversed(fresh)
    is_whole = all(each.is_whole for each in of_whole)
    guess = None
    if examples is None and of_whole:
        tried = tuple(each.example for each in of_whole if each.example is not None)
        guess = Guess(examples=tried, tried=of_whole[0].tried, is_whole=is_whole)
    forward = Forward(
        parts=tuple(part for part in parts if part.nodes),
        untraced=tuple(untraced),
        is_whole=is_whole,
        guess=guess,
    )
    return forward, of_whole[0] if of_whole else Trial(example=None, found=Record())


def part_of(
    path: str,
    found: Record,
    unknown: frozenset[nn.Module] = frozenset(),
    *,
    is_again: bool = False,
) -> Part:
    """What was recorded of the module at a path."""
    return Part(
        path=path,
        nodes=tuple(found.nodes),
        modules=found.modules,
        constants=dict(sorted(found.constants.items())),
        layouts=found.layouts,
        called=frozenset(found.called),
        unknown=unknown,
        is_again=is_again,
    )


def _untraced(path: str, module: nn.Module, found: Record) -> Iterator[Untraced]:
    """The modules whose forward ended early, the outermost first."""
    names = {inner: name for name, inner in module.named_modules()}
    for inner in reversed(found.failed):
        if inner in names and not is_layer(inner) and not _is_chain(inner):
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
