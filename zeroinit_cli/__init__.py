"""Deterministic ZerO initialization: one architecture in, one reproducible checkpoint out."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import os

    from torch import nn

__version__ = "0.1.0"


def build(source: "str | os.PathLike[str]") -> "nn.Module":
    """The module of a source, with torch's own random weights, to load a checkpoint into.

    Args:
        source: a path to a YAML spec, or a torchvision model name.

    Returns:
        the module whose state dict a checkpoint of the same source has, name by name.

    Raises:
        SourceError: the source is not known, is a spec with mistakes, or cannot be built.
        InputError: the spec cannot be read.
    """
    import os

    from zeroinit_cli.architectures import build_module
    from zeroinit_cli.source import parse_source

    return build_module(parse_source(os.fspath(source)))
