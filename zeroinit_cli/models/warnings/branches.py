"""Residual branches that are not closed, or not known to be residual."""

from collections import defaultdict
from collections.abc import Iterator

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.endings import BY_HAND, NONE_CLOSED
from zeroinit_cli.models.nodes import Node
from zeroinit_cli.models.residual import Add
from zeroinit_cli.models.steps import StepKind
from zeroinit_cli.models.structure import Branch, FoundAdd
from zeroinit_cli.models.warnings.seen import Seen, listed
from zeroinit_cli.models.zeros import vanishes
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.plans.rules import Kept
from zeroinit_cli.text import counted

_SMALL = 0.1 + 1e-6  # CaiT's largest layer scale, as float32 rounds it


def untraced_parts(seen: Seen) -> Iterator[PlanWarning]:
    """Modules whose forward could not be seen to its end."""
    untraced = seen.structure.untraced
    if untraced:
        names = [f"{each.path or 'the model'} ({each.module_type})" for each in untraced]
        inside = [
            name
            for each in untraced
            for name in seen.names.values()
            if name.startswith(f"{each.path}." if each.path else "")
        ]
        weights = [name for name in inside if seen.module.get_parameter(name).ndim > 1]
        yield PlanWarning(
            kind="untraced",
            text=f"the forward of {listed(names)} could not be traced: what it adds itself, or "
            "looks up by position, is not known; what it calls was looked at part by part",
            hint=f"--override '{weights[-1]}=zeros' closes a branch if that is its last weight"
            if weights
            else None,
            tensors=seen.in_order(inside),
        )


def hidden_adds(seen: Seen) -> Iterator[PlanWarning]:
    """What may add a branch to its shortcut without being a plain add."""
    places: list[str] = []
    weights: list[str] = []
    for flow, adds in seen.structure.flows:
        for add in (each for each in adds if each.kind.is_doubtful):
            found = FoundAdd(place=add.place, name=add.node.label, kind=add.kind)
            value = _later_operand(flow, add)
            if found in seen.structure.adds and value not in seen.zeros(flow):
                places.append(f"{found.name} in {found.place}")
                weight = _last_weight(seen, flow, value, add.node)
                weights += [weight] if weight else []
    if places:
        yield PlanWarning(
            kind="hidden-add",
            text=f"no plain adds, but of a value and what comes from it: {listed(places)}; no "
            "branch is looked for there",
            hint=_filled(BY_HAND, weights, len(places)),
            tensors=seen.in_order(weights),
        )


def _later_operand(flow: DataFlow, add: Add) -> Node:
    """Of what is added, the one that comes from the other."""
    return max(flow.parents(add.node), key=flow.position)


def open_branches(seen: Seen) -> Iterator[PlanWarning]:
    """Branches that nothing closes, by the reason."""
    reasons: defaultdict[tuple[str, str | None], list[Branch]] = defaultdict(list)
    for branch in seen.structure.branches:
        if branch.ending is None and not (
            _is_closed_by_override(seen, branch) or _is_inside_another(seen, branch)
        ):
            reason = (branch.obstacle or "").replace(f"{branch.place}.", "")
            reasons[reason, branch.hint].append(branch)
    unclosed = reasons.pop((NONE_CLOSED, None), [])
    if unclosed:
        number = counted(len(unclosed), "residual branch is", "residual branches are")
        yield PlanWarning(
            kind="residual-none",
            text=f"{number} left open by the policy: activations double in each, and overflow "
            "near 128 of them",
            hint="--policy default closes them",
            tensors=seen.in_order(_last_weights(seen, unclosed)),
        )
    for (reason, hint), branches in sorted(reasons.items(), key=lambda item: item[0][0]):
        number = counted(len(branches), "residual branch is", "residual branches are")
        weights = _last_weights(seen, branches)
        yield PlanWarning(
            kind="open-branch",
            text=f"{number} left open, in {listed([each.place for each in branches])}: {reason}",
            hint=None if hint is None else _filled(hint, weights, len(branches)),
            tensors=seen.in_order(weights),
        )


def _filled(hint: str, weights: list[str], branches: int) -> str | None:
    """A hint with the first of some weights in it; None if it needs one and there is none."""
    if "NAME" not in hint:
        return hint
    which = "it" if branches == 1 else "one of them"
    return hint.format(which=which).replace("NAME", weights[0]) if weights else None


def _is_closed_by_override(seen: Seen, branch: Branch) -> bool:
    """Whether a branch that structure leaves open begins as 0 all the same, and can leave it."""
    by_hand = branch.hint is not None or branch.obstacle == NONE_CLOSED
    return by_hand and _begins_as_zero(seen, branch)


def _is_inside_another(seen: Seen, branch: Branch) -> bool:
    """Whether all that an open branch is added to goes into a branch that has an end."""
    flow = seen.flow(branch.add)
    if flow is None or branch.add is None:
        return False
    return any(
        _goes_into(flow, branch.add, other)
        for other in seen.structure.branches
        if other.ending is not None and other.add is not None and flow.carries(other.add)
    )


def _goes_into(flow: DataFlow, node: Node, branch: Branch) -> bool:
    """Whether a value goes into what a branch adds, and nowhere else."""
    add, value = branch.add, branch.value
    if add is None or value is None or flow.position(add) <= flow.position(node):
        return False
    others = [each for each in flow.parents(add) if each is not value]
    passes_by = any(each is node or flow.is_ancestor(node, each) for each in others)
    inside = value is node or flow.is_ancestor(node, value)
    return inside and not passes_by and not flow.goes_elsewhere(node, add)


def _begins_as_zero(seen: Seen, branch: Branch) -> bool:
    flow = seen.flow(branch.value)
    return flow is not None and branch.value in seen.zeros(flow)


def _last_weights(seen: Seen, branches: list[Branch]) -> list[str]:
    """Of each branch the last weight whose zero would make it 0."""
    found = []
    for branch in branches:
        flow = seen.flow(branch.value)
        if flow is not None and branch.value is not None and branch.add is not None:
            found.append(_last_weight(seen, flow, branch.value, branch.add))
    return [name for name in found if name is not None]


def _last_weight(seen: Seen, flow: DataFlow, value: Node, add: Node) -> str | None:
    """The last weight before a value whose zero makes it 0, and not what else is added, too."""
    others = (flow.fork(value, each) for each in flow.parents(add) if each is not value)
    waiting, known = [value], {value, *(each for each in others if each is not None)}
    while waiting:
        node = max(waiting, key=flow.position)
        waiting.remove(node)
        name = seen.weight_name(flow, node)
        if name is not None and vanishes(flow, node, value):
            return name
        further = [each for each in flow.parents(node) if each not in known]
        known.update(further)
        waiting += further
    return None


def damped_branches(seen: Seen) -> Iterator[PlanWarning]:
    """Branches that end in a layer scale which is not small."""
    damped = {
        branch.ending.tensor: branch
        for branch in seen.structure.branches
        if branch.ending is not None
        and branch.ending.kind is StepKind.SCALE
        and (branch.ending.size or 0) > _SMALL
        and isinstance(seen.rules.get(branch.ending.tensor), Kept)
        and not _begins_as_zero(seen, branch)
    }
    if damped:
        names = [f"{name} ({_size(branch):.3g})" for name, branch in damped.items()]
        weights = _last_weights(seen, list(damped.values()))
        yield PlanWarning(
            kind="damped-branch",
            text=f"layer scales that are kept as constructed hardly damp their residual branches: "
            f"{listed(names)}",
            hint=_filled(BY_HAND, weights, len(damped)),
            tensors=seen.in_order(damped),
        )


def _size(branch: Branch) -> float:
    return (branch.ending.size if branch.ending else None) or 0.0


def kept_biases(seen: Seen) -> Iterator[PlanWarning]:
    """Layers and blocks of attention that end a branch and keep a bias that is not 0."""
    endings = (branch.ending for branch in seen.structure.branches)
    behind = {name for ending in endings if ending is not None for name in ending.biases}
    biases = [
        name for name, rule in seen.rules.items() if name in behind and isinstance(rule, Kept)
    ]
    if biases:
        yield PlanWarning(
            kind="kept-bias",
            text=f"residual branches begin as a constant, not as 0, since their last bias is kept "
            f"as constructed: {listed(biases)}",
            hint=f"--override '{biases[0]}=zeros'",
            tensors=seen.in_order(biases),
        )
