"""Files that are what the same source gives when it is asked for otherwise: tried, not guessed."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from zeroinit_cli.commands.verification.causes.evidence import Evidence
from zeroinit_cli.commands.verification.findings import Cause
from zeroinit_cli.dtypes import FLOATS
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.options import CHOICES, PRESETS, Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source
from zeroinit_cli.store.contents import PlannedContents, StoredContents, aligned

_MOST_PLANS = 8  # each takes as long as the first one
_MOST_VALUES = 4  # of a tensor by a rule: 0 and c, and of blocks of other rules 1 and another c
_SAMPLE = 10_000  # elements
_MOST_CLASSES = 1_000_000  # a stranger's file shall not decide how much is built


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a plan was made of."""

    source: Source
    options: Options


@dataclass(frozen=True, kw_only=True, slots=True)
class Other:
    """A request that somebody may have made instead, in the words of the command line."""

    words: str
    request: Request


def asked_otherwise(evidence: Evidence, request: Request) -> Cause | None:
    """Whether the file has, byte for byte, the tensors that another option or argument gives."""
    if evidence.stored is None:
        return None
    if evidence.same_form and not _is_made_by_rule(evidence):
        return None  # what no rule gives, no option gives
    for other in islice(_others(evidence, request), _MOST_PLANS):
        plan = _plan(other.request)
        if plan is not None and _gives(plan, evidence):
            kind = "other-options" if other.request.source == request.source else "other-arguments"
            return Cause(kind=kind, text=f"generated otherwise: {other.words} gives these tensors")
    return None


def locked_otherwise(plan_digest: str, request: Request) -> Cause | None:
    """Whether a lock has the digest of a plan under another option than the one beside it."""
    for other in islice(_other_options(request), _MOST_PLANS):
        plan = _plan(other.request)
        if plan is not None and plan.digest() == plan_digest:
            text = f"the lock was edited: {other.words} gives the locked plan"
            return Cause(kind="lock-edited", text=text)
    return None


def _others(evidence: Evidence, request: Request) -> Iterator[Other]:
    """Likely requests, none that the file's form already excludes."""
    if evidence.same_form:
        yield from _other_options(request)
        return
    yield from _other_classes(evidence, request)
    types = {info.dtype for info in evidence.infos.values() if info.dtype in FLOATS}
    for dtype in types - {request.options.dtype} if len(types) == 1 else ():
        options = replace(request.options, dtype=dtype)
        yield Other(words=f"--dtype {dtype.name}", request=replace(request, options=options))


def _other_options(request: Request) -> Iterator[Other]:
    """One option otherwise, a preset, or no overrides; the type shows in the form."""
    options = request.options
    words = options.to_words()
    changes = [
        (f"--{option} {choice}", {option: choice})
        for option, choices in sorted(CHOICES.items())
        for choice in choices
        if option != "dtype" and choice != words[option]
    ]
    changes += [(f"--preset {name}", preset) for name, preset in sorted(PRESETS.items())]
    for text, change in changes:
        if {**words, **change} != words:
            other: Options = replace(options, **change)  # type: ignore[arg-type]  # words, all str
            yield Other(words=text, request=replace(request, options=other))
    if options.overrides:
        bare = replace(options, overrides=())
        yield Other(words="no --override", request=replace(request, options=bare))


def _other_classes(evidence: Evidence, request: Request) -> Iterator[Other]:
    """Another number of classes: the first size of a tensor that has another one."""
    if request.source.spec is not None or evidence.infos.keys() != evidence.planned.keys():
        return
    sizes = sorted(
        {
            found.shape[0]
            for name, found in evidence.infos.items()
            if found.shape[1:] == evidence.planned[name].shape[1:]
            and found.shape[:1] != evidence.planned[name].shape[:1]
            and found.shape[0] <= _MOST_CLASSES
        }
    )
    for size in sizes if len(sizes) == 1 else ():
        arguments = {**request.source.arguments, "num_classes": size}
        source = replace(request.source, arguments=dict(sorted(arguments.items())))
        words = f"--set num_classes={size}"
        yield Other(words=words, request=replace(request, source=source))


def _is_made_by_rule(evidence: Evidence) -> bool:
    """Whether the first tensor that differs may be a rule's: few values, as far as one block goes.

    Training and random draws leave many, and then the plans need not be made.
    """
    if evidence.stored is None or not evidence.differences:
        return False
    info = evidence.differences[0].info
    contents = StoredContents(evidence.stored)
    with contents.reading():
        block = next(contents.blocks(info.name))
    elements = block.reshape(-1, info.dtype.itemsize).copy()
    elements[:, -1] &= 0x7F  # whatever the sign, which little-endian types end with
    return len(np.unique(elements[:_SAMPLE], axis=0)) <= _MOST_VALUES


def _plan(request: Request) -> Plan | None:
    from zeroinit_cli.models import plan_source

    try:
        return plan_source(request.source, request.options)
    except ZeroinitError:  # it was never made like this
        return None


def _gives(plan: Plan, evidence: Evidence) -> bool:
    """Whether a plan gives the file's tensors: those that differ first, then all it has anew."""
    infos = {each.info.name: each.info for each in plan.tensors}
    if infos != evidence.infos or evidence.stored is None:
        return False
    rules = {each.info.name: (each.info, each.rule) for each in evidence.plan.tensors}
    changed = [
        each.info.name
        for each in plan.tensors
        if rules.get(each.info.name) != (each.info, each.rule)
    ]
    differing = [each.info.name for each in evidence.differences]
    if not set(differing) <= set(changed):
        return False
    planned, stored = PlannedContents("", plan), StoredContents(evidence.stored)
    with stored.reading():
        return all(
            np.array_equal(one, other)
            for name in dict.fromkeys([*differing, *changed])
            for one, other in aligned(planned.blocks(name), stored.blocks(name))
        )
