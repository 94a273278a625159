"""The classes of torch.nn that a spec may name: an allow-list, with the arguments of each."""

from zeroinit_cli.spec.layers import dense, elementwise, norms, resizing, windows
from zeroinit_cli.spec.layers.base import Layer

_CLASSES = (
    *dense.LAYERS,
    *windows.CONVOLUTIONS,
    *norms.LAYERS,
    *windows.POOLS,
    *resizing.LAYERS,
    *elementwise.LAYERS,
)
LAYERS: dict[str, type[Layer]] = {layer.__name__: layer for layer in _CLASSES}
"""Class name in torch.nn -> its arguments, in the order of the reference."""
