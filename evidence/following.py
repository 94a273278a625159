"""A run of a module on real values, followed step by step."""

from typing import Any

from torch import Tensor, nn

from zeroinit_cli.models.dataflow import DataFlow
from zeroinit_cli.models.forward import part_of
from zeroinit_cli.models.record import Watch, record


def follow(module: nn.Module, image: Tensor, watch: Watch) -> tuple[DataFlow, Any]:
    """Run a module as it is, in its mode.

    Args:
        module: what is run.
        image: its input.
        watch: is told of each step and its value, as it is computed.

    Returns:
        the run as a flow of data, and what the forward gave.

    Raises:
        Exception: whatever the forward raises.
    """
    own = (*module.named_parameters(), *module.named_buffers())
    tensors = {id(tensor): (name, tensor) for name, tensor in own}
    found = record(module, (image,), {}, tensors=tensors, watch=watch)
    if found.error is not None:
        raise found.error
    return DataFlow(part_of("", found)), found.result
