"""Put a plan's values into a module in place, on whatever device it is."""

import numpy as np
import torch
from torch import nn

from zeroinit_cli.models.entries import Entry
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.values import region_values, regions

_BLOCK_BYTES = 1 << 22  # what is computed on the CPU before it is copied to the module's device


def fill(entries: dict[str, Entry], plan: Plan) -> None:
    """Write every tensor of a plan into the entry of its name, tied ones under every name."""
    with torch.no_grad():
        for planned in plan.tensors:
            _fill_tensor(entries[planned.info.name].tensor, planned, plan)


def _fill_tensor(target: torch.Tensor, planned: PlannedTensor, plan: Plan) -> None:
    info = planned.info
    for region in regions(info.shape, _BLOCK_BYTES // info.dtype.itemsize):
        bits = region_values(planned.rule, info.shape, info.dtype, region, plan.kept)
        target[tuple(slice(*bounds) for bounds in region)] = _as_tensor(bits, target.dtype)


def _as_tensor(bits: Bits, dtype: torch.dtype) -> torch.Tensor:
    """The same bits as a tensor on the CPU."""
    # from little-endian, which values are computed in, to the machine's own order
    native = np.ascontiguousarray(bits, bits.dtype.newbyteorder("="))
    flat = torch.from_numpy(native.reshape(-1).view(np.uint8))
    return flat.view(dtype).reshape(bits.shape)


def copy_hidden(built: nn.Module, module: nn.Module, entries: dict[str, Entry]) -> None:
    """Buffers that no state dict holds come from the constructor alone, after `to_empty()` too."""
    targets = dict(module.named_buffers())
    with torch.no_grad():
        for name, buffer in built.named_buffers():
            if name not in entries and name in targets and buffer.shape == targets[name].shape:
                targets[name].copy_(buffer)
