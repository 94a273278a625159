"""Nets that are sharded in tests, with odd sizes, and how."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor.parallel import (
    ColwiseParallel,
    RowwiseParallel,
    parallelize_module,
)


class Block(nn.Module):
    """A residual branch of a net."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x + self.down(torch.relu(self.up(self.norm(x))))
        return out


class Net(nn.Module):
    """Of every kind of tensor: matrices, a kernel, norms, ties, kept and hidden buffers."""

    def __init__(self, *, tied: bool = True, width: int = 6) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, width)
        self.mix = nn.Conv1d(width, width, 3, padding=1)
        self.blocks = nn.ModuleList([Block(width, 10) for _ in range(2)])
        self.head = nn.Linear(width, 11, bias=False)
        if tied:
            self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.linspace(1, 2, width))
        self.register_buffer("angles", torch.linspace(0, 1, width), persistent=False)
        self.angles: torch.Tensor
        self.scale: torch.Tensor

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = self.embed(tokens) * self.scale + self.angles
        x = x + self.mix(x.transpose(1, 2)).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        out: torch.Tensor = self.head(x)
        return out


def untied() -> Net:
    """A net whose head is its own."""
    return Net(tied=False)


class Stage(nn.Module):
    """Some of a net's modules, under their names."""

    def __init__(self, net: nn.Module, names: list[str]) -> None:
        super().__init__()
        for name in names:
            self.add_module(name, net.get_submodule(name))


STAGES = (["embed", "mix"], ["blocks", "head"])


def spoilt(module: nn.Module) -> nn.Module:
    """The same module with a wrong value everywhere."""
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            tensor.fill_(7)
    return module


def fsdp(module: nn.Module, mesh: DeviceMesh) -> None:
    """FSDP2 by blocks, as it is done."""
    blocks: Any = module.get_submodule("blocks")
    for block in blocks:
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)


def tensor_parallel(module: nn.Module, mesh: DeviceMesh) -> None:
    """Megatron's way: a branch cut by columns, then by rows."""
    blocks: Any = module.get_submodule("blocks")
    for block in blocks:
        parallelize_module(block, mesh, {"up": ColwiseParallel(), "down": RowwiseParallel()})


def _fsdp(world: int) -> Callable[[nn.Module], None]:
    return lambda module: fsdp(module, init_device_mesh("cpu", (world,)))


def _tp(world: int) -> Callable[[nn.Module], None]:
    return lambda module: tensor_parallel(module, init_device_mesh("cpu", (world,)))


def _hsdp(replicas: int, shards: int) -> Callable[[nn.Module], None]:
    names = ("replica", "shard")
    return lambda module: fsdp(
        module, init_device_mesh("cpu", (replicas, shards), mesh_dim_names=names)
    )


def _fsdp_and_tp(data: int, tensor: int) -> Callable[[nn.Module], None]:
    def shard(module: nn.Module) -> None:
        mesh = init_device_mesh("cpu", (data, tensor), mesh_dim_names=("data", "tensor"))
        tensor_parallel(module, mesh["tensor"])
        fsdp(module, mesh["data"])

    return shard


def _hsdp_and_tp(module: nn.Module) -> None:
    mesh = init_device_mesh("cpu", (2, 2, 2), mesh_dim_names=("replica", "shard", "tensor"))
    tensor_parallel(module, mesh["tensor"])
    fsdp(module, mesh["replica", "shard"])


WAYS: dict[str, tuple[int, Callable[[nn.Module], None]]] = {
    "FSDP2, 1": (1, _fsdp(1)),
    "FSDP2, 2": (2, _fsdp(2)),
    "FSDP2, 4, uneven": (4, _fsdp(4)),
    "FSDP2, 16, empty shards": (16, _fsdp(16)),
    "TP, 2": (2, _tp(2)),
    "TP, 5": (5, _tp(5)),
    "HSDP, 2 x 2": (4, _hsdp(2, 2)),
    "FSDP2 + TP, 2 x 2": (4, _fsdp_and_tp(2, 2)),
    "FSDP2 + TP, 3 x 2, uneven": (6, _fsdp_and_tp(3, 2)),
    "HSDP + TP, 2 x 2 x 2": (8, _hsdp_and_tp),
}
"""Ways to spread a net over ranks, and over how many."""


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this rank holds of a tensor."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def same_shard(tensor: torch.Tensor, whole: torch.Tensor) -> bool:
    """Whether a tensor's part is what torch makes of the whole tensor, to the bit."""
    part = local(tensor).detach()
    if isinstance(tensor, DTensor):
        mesh, placements = tensor.device_mesh, tensor.placements
        whole = distribute_tensor(whole, mesh, placements, src_data_rank=None).to_local()
    if not part.numel():
        return not whole.numel()
    return part.shape == whole.shape and bits(part) == bits(whole)


def bits(tensor: torch.Tensor) -> bytes:
    """A tensor's bytes in C order."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
