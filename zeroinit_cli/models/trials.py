"""Runs of a module on examples of its arguments, until one goes through."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_map_only

from zeroinit_cli.models.guesses import further_guesses
from zeroinit_cli.models.inputs import Example
from zeroinit_cli.models.nodes import Record, tensors_in
from zeroinit_cli.models.record import record
from zeroinit_cli.models.untouched import Held

_TRIALS = 100  # of examples, for a module of which nothing is known
_TRIALS_OF_PART = 40
_MOST_STEPS = 10_000  # in trials that failed, for one that is large
_MOST_HOPELESS = 3  # trials that fail for want of values, which no example has
_MOST_RETRIES = 8  # of a run, each passing over one more type of module

_OF_MISSING_VALUES = ("meta", "device", "CUDA", "storage", "data pointer")
"""Words of torch where a tensor has no values, or not where they are asked for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A run of a module.

    Attributes:
        example: what it was given; None where there was nothing to try.
        found: what was seen.
        unknown: the modules that were passed over in it since their forward fails.
        error: why the run without passing over anything ended; None if it ran through.
        failed: the modules in whose forward that was, the innermost first.
        is_certain: nothing was asked in it that only values could tell.
        tried: how many examples had been tried.
    """

    example: Example | None
    found: Record
    unknown: frozenset[nn.Module] = frozenset()
    error: Exception | None = None
    failed: tuple[nn.Module, ...] = ()
    is_certain: bool = True
    tried: int = 0

    @property
    def is_whole(self) -> bool:
        """Whether the run went through, with nothing passed over."""
        return self.error is None

    @property
    def reached(self) -> frozenset[int]:
        """The ids of the tensors that it read."""
        return frozenset(map(id, self.found.constants.values()))

    @property
    def fault(self) -> Exception | None:
        """The error that its example is to blame for, and not that values are missing."""
        return None if self.lacks_values or not self.is_certain else self.error

    @property
    def lacks_values(self) -> bool:
        """Whether it ended since values are missing, or a function knows no shapes alone."""
        lacks = any(word in str(self.error) for word in _OF_MISSING_VALUES)
        return lacks or isinstance(self.error, NotImplementedError)


@dataclass(kw_only=True, slots=True)
class Trials:
    """Runs of the modules of a whole.

    Attributes:
        held: the whole, without values.
        known: the example that served for a module like another.
    """

    held: Held
    known: dict[Any, Example | None] = field(default_factory=dict)

    def best(self, module: nn.Module, path: str, examples: Iterable[Example]) -> Trial:
        """The first run that ends well; of those that do not, the one that gets furthest.

        A part that is like another, in its class and the shapes of its parameters, is run once.
        """
        key = _likeness(module) if path else None
        if key in self.known:
            known = self.known[key]
            examples = [] if known is None else [known]
        trial = self._tried(module, path, examples)
        if key is not None:
            self.known.setdefault(key, trial.example)
        return trial

    def further(self, module: nn.Module, whole: Trial) -> list[Trial]:
        """Runs on other arguments that are given too, until all parameters were reached.

        Args:
            module: the whole.
            whole: a run of it that went through.

        Returns:
            the runs that count: without those of which another reached as much.
        """
        named = (tensor for _, tensor in self.held.named.tensors.values())
        wanted = frozenset(id(each) for each in named if isinstance(each, nn.Parameter))
        trials, steps = [whole], 0
        for group in further_guesses(module, whole.example) if whole.example is not None else ():
            for example, _ in zip(group, range(_TRIALS), strict=False):
                missing = wanted.difference(*(each.reached for each in trials))
                if not missing or steps > _MOST_STEPS:
                    return trials
                trial = self._once(module, "", example)
                steps += len(trial.found.nodes)
                if trial.is_whole and not missing.isdisjoint(trial.reached):
                    trials = [each for each in trials if not each.reached <= trial.reached]
                    trials.append(trial)
                if trial.is_whole:
                    break
        return trials

    def _tried(self, module: nn.Module, path: str, examples: Iterable[Example]) -> Trial:
        error = ValueError("it cannot be guessed what it takes")
        failed = Record(failed=(module,), error=error)
        best = Trial(example=None, found=failed, error=error, failed=(module,))
        steps = tried = hopeless = 0
        most = _TRIALS_OF_PART if path else _TRIALS
        for tried, example in zip(range(1, most + 1), examples, strict=False):
            trial = self._once(module, path, example)
            if trial.is_whole:
                return replace(trial, tried=tried)
            if best.example is None or len(trial.found.nodes) > len(best.found.nodes):
                best = trial
            steps += len(trial.found.nodes)
            hopeless += trial.lacks_values
            if steps > _MOST_STEPS or hopeless == _MOST_HOPELESS:
                break
        return self._around(module, path, replace(best, tried=tried))

    def _around(self, module: nn.Module, path: str, failed: Trial) -> Trial:
        """A run that passes over what fails, or the failed one, if it does not end well even so.

        What is passed over gives what it is given: so it is with most blocks.
        """
        unknown: frozenset[nn.Module] = frozenset()
        found, example = failed.found, failed.example
        for _ in range(_MOST_RETRIES):
            way = [each for each in found.failed if each not in unknown and not is_layer(each)]
            if example is None or not way or way[0] is module:
                break
            alike = {each for each in module.modules() if type(each) is type(way[0])}
            unknown |= alike - set(way[1:])
            found = self._record(module, path, example, unknown)
            if found.error is None:
                return replace(failed, found=found, unknown=unknown)
        return failed

    def _once(self, module: nn.Module, path: str, example: Example) -> Trial:
        before = self.held.spread.answers
        found = self._record(module, path, example, frozenset())
        return Trial(
            example=example,
            found=found,
            error=found.error,
            failed=found.failed,
            is_certain=self.held.spread.answers == before,
        )

    def _record(
        self, module: nn.Module, path: str, example: Example, unknown: frozenset[nn.Module]
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
                    tensors=self.held.named.under(path),
                    passed_over=unknown,
                )
        finally:
            for each in unknown:
                vars(each).pop("forward", None)


def is_layer(module: nn.Module) -> bool:
    """Whether a module is one of torch's own layers, which tell what they do by their type."""
    return type(module).__module__.startswith("torch.nn.") and not list(module.children())


def _likeness(module: nn.Module) -> Any:
    """What modules have in common that take the same."""
    shapes = ((name, tuple(each.shape)) for name, each in module.named_parameters())
    return type(module), tuple(shapes)


def _copied(example: Example) -> Example:
    """An example that a forward may write into, on the CPU if it has values."""

    def copy(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.detach().to("meta" if tensor.is_meta else "cpu", copy=True)

    args, kwargs = tree_map_only(torch.Tensor, copy, (example.args, dict(example.kwargs)))
    return Example(args=args, kwargs=kwargs)


def _same(*args: Any, **kwargs: Any) -> torch.Tensor:
    """A forward that gives its first tensor."""
    given = next(tensors_in((args, kwargs)), None)
    if given is None:
        raise TypeError("what it gives cannot be guessed")
    return given.clone()
