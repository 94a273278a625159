"""A module's forward as graphs: whole where torch.fx traces it, else part by part."""

from dataclasses import dataclass

from torch import fx, nn

from zeroinit_cli.architectures.attention import composite_of, opaque_attention_of
from zeroinit_cli.architectures.classes import is_norm, is_weight_layer


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A module that was traced.

    Attributes:
        path: its name in the whole, empty for the whole.
        module: itself.
        graph: its forward; names in it are relative to `path`.
    """

    path: str
    module: nn.Module
    graph: fx.Graph


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
    """The graphs of a module, or of its largest parts that can be traced."""
    parts: list[Part] = []
    untraced: list[Untraced] = []
    _trace(module, "", parts, untraced)
    return Traced(parts=tuple(parts), untraced=tuple(untraced))


def is_leaf(module: nn.Module) -> bool:
    """Whether a module is one node of the graph, whatever happens inside."""
    if opaque_attention_of(module) or composite_of(module):
        return True
    if is_norm(module) or is_weight_layer(module):
        return True
    built_in = type(module).__module__.startswith("torch.nn.")
    return built_in and next(module.children(), None) is None


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m)


def _trace(module: nn.Module, path: str, parts: list[Part], untraced: list[Untraced]) -> None:
    if is_leaf(module) and path:
        return
    if type(module) not in (nn.ModuleList, nn.ModuleDict):  # which have no forward of their own
        try:
            graph = _Tracer().trace(module)
        except Exception:  # noqa: BLE001 - any code may run in a forward, and stumble over a proxy
            untraced.append(Untraced(path=path, module_type=type(module).__name__))
        else:
            parts.append(Part(path=path, module=module, graph=graph))
            return
    for name, child in module.named_children():
        _trace(child, f"{path}.{name}" if path else name, parts, untraced)
