"""A module's forward as graphs: whole where torch.fx traces it, else part by part."""

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter

import torch
from torch import fx, nn

from zeroinit_cli.models.attention import composite_of, opaque_attention_of
from zeroinit_cli.models.classes import (
    has_own_forward,
    is_norm,
    is_reshaper,
    is_stack,
    is_weight_layer,
    type_name,
)
from zeroinit_cli.models.known_torch import check_recording
from zeroinit_cli.models.tracer import Tracer
from zeroinit_cli.models.untouched import chance_state, in_mode, untouched


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A module that was traced.

    Attributes:
        path: its name in the whole, empty for the whole.
        graph: its forward; names in it are relative to `path`.
        modules: every module that the graph may call, by its name there.
        constants: every tensor that the graph reads, by its name there.
        unknown: the names there of modules that are nodes because their forward is not known.
    """

    path: str
    graph: fx.Graph
    modules: Mapping[str, nn.Module]
    constants: Mapping[str, torch.Tensor]
    unknown: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Untraced:
    """A module whose own forward is not known; its children were looked at one by one."""

    path: str
    module_type: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Traced:
    """All that could be seen of a module's forward."""

    parts: tuple[Part, ...]
    untraced: tuple[Untraced, ...]


def trace(module: nn.Module) -> Traced:
    """The graphs of a module, or of its largest parts that can be traced.

    The forward is that of training, whatever mode the module is in. One that draws at random which
    layers to pass shows another graph each time; then it is that of evaluation, with all of them.
    """
    check_recording()
    with untouched(module), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a forward that is looked at, not run
        before = chance_state()
        with in_mode(module, training=True):
            traced = _trace_all(module)
        if chance_state() == before:
            return traced
        with in_mode(module, training=False):
            return _trace_all(module)


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one node of the graph, whatever happens inside."""
    if opaque_attention_of(module) or composite_of(module) or is_stack(module):
        return True
    if is_norm(module) or (is_weight_layer(module) and not has_own_forward(module)):
        return True
    built_in = type(module).__module__.startswith("torch.nn.") or is_reshaper(module)
    return built_in and next(module.children(), None) is None


def _trace_all(module: nn.Module) -> Traced:
    parts: list[Part] = []
    untraced: list[Untraced] = []
    waiting, seen = [("", module)], {module}
    while waiting:
        path, each = waiting.pop()
        if is_leaf(each) and not is_stack(each):
            continue
        part = None if _adds_nothing(each) or is_weight_layer(each) else _best_part(path, each)
        if part is not None:
            parts.append(part)
            further = list(_not_seen_into(part))
        else:
            further = [(_joined(path, name), child) for name, child in each.named_children()]
            if not _adds_nothing(each) and not is_weight_layer(each):
                untraced.append(Untraced(path=path, module_type=type_name(each)))
        fresh = [(name, inner) for name, inner in further if inner not in seen]
        seen.update(inner for _, inner in fresh)
        waiting += reversed(fresh)
    return Traced(parts=tuple(parts), untraced=tuple(untraced))


def _adds_nothing(module: nn.Module) -> bool:
    """Whether a module only holds others, or only calls them one after the other."""
    return type(module).forward is nn.Module.forward or is_stack(module)


def _not_seen_into(part: Part) -> Iterator[tuple[str, nn.Module]]:
    """The modules that a graph calls without looking into them, by their path in the whole.

    What could not be traced as it was called there may still be traced by itself.
    """
    calls = part.graph.find_nodes(op="call_module", sort=True)
    for name in dict.fromkeys(str(node.target) for node in calls):
        if name in part.unknown or is_stack(part.modules[name]):
            yield _joined(part.path, name), part.modules[name]


def _best_part(path: str, module: nn.Module) -> Part | None:
    """The graph of a module in which the fewest submodules are unknown.

    The whole is called with what it asks for; a part of what is not known may be given more.
    """
    best: Part | None = None
    for defaults in (not path, bool(path)):
        for buffers in (True, False):
            part = _attempt(path, module, defaults=defaults, buffers=buffers)
            if part is not None and (best is None or len(part.unknown) < len(best.unknown)):
                best = part
            if best is not None and not best.unknown:
                return best
    return best


def _attempt(path: str, module: nn.Module, *, defaults: bool, buffers: bool) -> Part | None:
    tracer = Tracer(is_leaf, is_weight_layer, defaults=defaults, buffers=buffers)
    try:
        graph = tracer.trace(module)
    except Exception:  # noqa: BLE001 - any code may run in a forward, and stumble over a proxy
        return None
    read = {str(node.target) for node in graph.find_nodes(op="get_attr")}
    return Part(
        path=path,
        graph=graph,
        modules=tracer.modules(),
        constants={name: attrgetter(name)(module) for name in sorted(read)},
        unknown=tuple(dict.fromkeys(tracer.unknown)),
    )


def _joined(*names: str) -> str:
    return ".".join(name for name in names if name)
