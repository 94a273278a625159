"""Residual branches that are not closed, or not known to be residual."""

from collections import defaultdict
from collections.abc import Iterator

from zeroinit_cli.models.endings import BY_HAND, NONE_CLOSED
from zeroinit_cli.models.steps import StepKind
from zeroinit_cli.models.warnings.seen import Seen, listed
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Kept
from zeroinit_cli.text import counted

_SMALL = 0.1 + 1e-6  # CaiT's largest layer scale, as float32 rounds it


def untraced_parts(seen: Seen) -> Iterator[PlanWarning]:
    """Modules whose forward could not be seen to its end."""
    untraced = seen.structure.untraced
    if untraced:
        names = [f"{each.path or 'the model'} ({each.module_type})" for each in untraced]
        yield PlanWarning(
            kind="untraced",
            text=f"the forward of {listed(names)} could not be traced: what it adds itself, or "
            "looks up by position, is not known; what it calls was looked at part by part",
            hint=BY_HAND,
        )


def hidden_adds(seen: Seen) -> Iterator[PlanWarning]:
    """What may add a branch to its shortcut without being a plain add."""
    places = [f"{add.name} in {add.place}" for add in seen.structure.adds if add.kind.is_doubtful]
    if places:
        yield PlanWarning(
            kind="hidden-add",
            text=f"no plain adds, but of a value and what comes from it: {listed(places)}; no "
            "branch is looked for there",
            hint=BY_HAND,
        )


def open_branches(seen: Seen) -> Iterator[PlanWarning]:
    """Branches that nothing closes, by the reason."""
    reasons: defaultdict[tuple[str, str | None], list[str]] = defaultdict(list)
    for branch in seen.structure.branches:
        if branch.ending is None:
            reason = (branch.obstacle or "").replace(f"{branch.place}.", "")
            reasons[reason, branch.hint].append(branch.place)
    unclosed = reasons.pop((NONE_CLOSED, None), [])
    if unclosed:
        number = counted(len(unclosed), "residual branch is", "residual branches are")
        yield PlanWarning(
            kind="residual-none",
            text=f"{number} left open by --residual none: activations double in each, and overflow "
            "near 128 of them",
            hint="--residual end closes them",
        )
    for (reason, hint), places in sorted(reasons.items(), key=lambda item: item[0][0]):
        number = counted(len(places), "residual branch is", "residual branches are")
        yield PlanWarning(
            kind="open-branch",
            text=f"{number} left open, in {listed(places)}: {reason}",
            hint=hint,
        )


def damped_branches(seen: Seen) -> Iterator[PlanWarning]:
    """Branches that end in a layer scale which is not small."""
    damped = {
        branch.ending.tensor: branch.ending.size
        for branch in seen.structure.branches
        if branch.ending is not None
        and branch.ending.kind is StepKind.SCALE
        and (branch.ending.size or 0) > _SMALL
    }
    if damped:
        names = [f"{name} ({size:.3g})" for name, size in damped.items()]
        yield PlanWarning(
            kind="damped-branch",
            text=f"layer scales that are kept as constructed hardly damp their residual branches: "
            f"{listed(names)}",
            hint="--residual layer zeroes the last weight of each branch",
        )


def kept_biases(seen: Seen) -> Iterator[PlanWarning]:
    """Layers and blocks of attention that end a branch and keep a bias that is not 0."""
    layers, blocks = (_ends(seen, kind) for kind in (StepKind.WEIGHT, StepKind.ATTENTION))
    biases = [
        name
        for name, rule in seen.rules.items()
        if isinstance(rule, Kept) and name.endswith("bias")
        if f"{name.removesuffix('bias')}weight" in layers
        or any(name.startswith(f"{block}.") for block in blocks)
    ]
    if biases:
        yield PlanWarning(
            kind="kept-bias",
            text=f"residual branches begin as a constant, not as 0, since their last bias is kept "
            f"as constructed: {listed(biases)}",
            hint=f"--override '{biases[0]}=zeros'",
        )


def _ends(seen: Seen, kind: StepKind) -> set[str]:
    """The names of what ends branches in one way."""
    endings = (branch.ending for branch in seen.structure.branches)
    return {each.tensor for each in endings if each is not None and each.kind is kind}
