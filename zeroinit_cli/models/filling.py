"""Put a plan's values into a module in place, on whatever device it is."""

from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import nn

from zeroinit_cli.models.entries import Entry
from zeroinit_cli.models.live.held import Held
from zeroinit_cli.models.live.parts import Part, whole
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rounding import Bits
from zeroinit_cli.plans.values import region_values


def fill(entries: dict[str, Entry], plan: Plan) -> None:
    """Write every tensor of a plan into the entry of its name, tied ones under every name."""
    fill_parts(
        {each.info.name: whole(entries[each.info.name].tensor) for each in plan.tensors}, plan
    )


def fill_parts(parts: Mapping[str, Iterable[Part]], plan: Plan) -> None:
    """Write the entries of a plan's tensors into the parts of them that are here."""
    with torch.no_grad():
        for planned in plan.tensors:
            info = planned.info
            for part in parts.get(info.name, ()):
                for block in part.blocks():
                    bits = region_values(
                        planned.rule, info.shape, info.dtype, block.region, plan.kept
                    )
                    block.view.copy_(as_tensor(bits, block.view.dtype))


def as_tensor(bits: Bits, dtype: torch.dtype) -> torch.Tensor:
    """The same bits as a tensor on the CPU."""
    # from little-endian, which values are computed in, to the machine's own order
    native = np.ascontiguousarray(bits, bits.dtype.newbyteorder("="))
    flat = torch.from_numpy(native.reshape(-1).view(np.uint8))
    return flat.view(dtype).reshape(bits.shape)


def copy_hidden(built: nn.Module, hidden: Mapping[str, Held]) -> None:
    """Buffers that no state dict holds come from the constructor alone, after `to_empty()` too."""
    with torch.no_grad():
        for name, buffer in built.named_buffers():
            if name in hidden and buffer.shape == hidden[name].tensor.shape:
                for part in hidden[name].parts:
                    part.view.copy_(buffer[tuple(slice(*bounds) for bounds in part.region)])
