"""The classes of torch.nn that a spec may name: an allow-list, one model of arguments for each."""

from types import ModuleType

from zeroinit_cli.spec.layers import (
    convolutions,
    dense,
    elementwise,
    norms,
    pooling,
    resizing,
)
from zeroinit_cli.spec.layers.base import Layer

_ROOMS = (dense, convolutions, norms, pooling, resizing, elementwise)


def _layers_of(room: ModuleType) -> dict[str, type[Layer]]:
    return {
        name: value
        for name, value in vars(room).items()
        if isinstance(value, type)
        and issubclass(value, Layer)
        and value.__module__ == room.__name__
        and not name.startswith("_")
    }


LAYERS: dict[str, type[Layer]] = {
    name: layer for room in _ROOMS for name, layer in _layers_of(room).items()
}
"""Class name in torch.nn -> its arguments, in the order in which the reference shows them."""
