"""A Llama over ranks: initialised in three ways, or one rank's share of one that no machine holds.

python -m benchmarks.children.sharded {zeroinit,broadcast,torch} RANKS
python -m benchmarks.children.sharded {70B,405B} RANKS
"""

import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, set_model_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from benchmarks.children.llama import SIZES, Llama
from benchmarks.children.timing import Figures, timed, weighed
from zeroinit_cli import api

_SMALL = partial(Llama, 2_048, 5_632, 6)  # 3.2 GB
_INPUTS = torch.zeros(1, 8, dtype=torch.long)
_NETWORK = Path("/proc/self/net/dev")


def measure(way: str, ranks: int) -> Figures:
    """Figures of all ranks together, or of one of many that are not there."""
    torch.set_num_threads(1)
    if way in SIZES:
        torch.distributed.init_process_group("fake", store=FakeStore(), rank=1, world_size=ranks)
        build = partial(Llama, *SIZES[way])
        return _own_share(build, ranks)
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes = [context.Pipe(duplex=False) for _ in range(ranks)]
        for rank, (_, sender) in enumerate(pipes):
            store = Path(folder) / "store"
            context.Process(target=_rank, args=(way, rank, ranks, store, sender)).start()
        return _together([receiver.recv() for receiver, _ in pipes])


def _together(ranks: list[Figures]) -> Figures:
    """CPU seconds and bytes of all ranks, the most memory and time of one."""
    return {
        name: (sum if name.endswith(("_cpu", "shard_bytes")) else max)(each[name] for each in ranks)
        for name in ranks[0]
    }


def _rank(way: str, rank: int, ranks: int, store: Path, sender: Connection) -> None:
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.distributed.init_process_group(
        "gloo", init_method=store.as_uri(), rank=rank, world_size=ranks
    )
    figures: Figures = {}
    module = _sharded(_SMALL, ranks, figures)
    {"zeroinit": _by_zeroinit, "broadcast": _by_broadcast, "torch": _by_torch}[way](module, figures)
    sender.send(figures)
    sender.close()
    os._exit(0)


def _sharded(build: Callable[[], nn.Module], ranks: int, figures: Figures) -> nn.Module:
    """A module in FSDP2 whose shards are in memory, touched, so that filling them adds nothing."""
    with torch.device("meta"):
        module = build()
    mesh = init_device_mesh("cpu", (ranks,))
    for block in module.get_submodule("blocks").children():
        fully_shard(block, mesh=mesh)
    fully_shard(module, mesh=mesh)
    module.to_empty(device="cpu")
    shards = [each.to_local() for each in module.parameters() if isinstance(each, DTensor)]
    for shard in shards:
        shard.detach().fill_(7)
    figures["shard_bytes"] = sum(shard.nbytes for shard in shards)
    return module


def _by_zeroinit(module: nn.Module, figures: Figures) -> None:
    """Plan on every rank, as `init_` does, fill, then check."""
    small = partial(Llama, 1_024, 2_048, 1)
    api.plan(small, example_inputs=_INPUTS)  # imports what is needed
    with _weighed_moves(figures, "fill"):
        api.init_(module, build=_SMALL, example_inputs=_INPUTS)
    with timed(figures, "plan"):
        plan = api.plan(_SMALL, example_inputs=_INPUTS)
    with _weighed_moves(figures, "check"):
        found = api.check(module, plan)
    if not found.ok:
        raise RuntimeError(str(found))


def _by_broadcast(module: nn.Module, figures: Figures) -> None:
    """What is done without: the whole on rank 0, by torch's own init, sent to all."""
    options = StateDictOptions(full_state_dict=True, broadcast_from_rank0=True)
    with _weighed_moves(figures, "fill"):
        first = torch.distributed.get_rank() == 0
        whole = _SMALL().state_dict() if first else {}
        set_model_state_dict(module, whole, options=options)


def _by_torch(module: nn.Module, figures: Figures) -> None:
    """Torch's own random init on DTensors: each rank draws its shards."""
    with _weighed_moves(figures, "fill"):
        for each in module.modules():
            reset: Any = getattr(each, "reset_parameters", None)
            if reset is not None:
                reset()


def _own_share(build: Callable[[], nn.Module], ranks: int) -> Figures:
    figures: Figures = {}
    api.plan(partial(Llama, 1_024, 2_048, 1), example_inputs=_INPUTS)
    with timed(figures, "plan"):
        api.plan(build, example_inputs=_INPUTS)
    module = _sharded(build, ranks, figures)
    with _weighed_moves(figures, "fill"):
        api.init_(module, build=build, example_inputs=_INPUTS)
    return figures


@contextmanager
def _weighed_moves(figures: Figures, name: str) -> Iterator[None]:
    """Memory, seconds, CPU seconds and, of real ranks, the bytes that went over the loopback."""
    real = torch.distributed.get_backend() != "fake"
    if real:
        torch.distributed.barrier()
    moved, cpu = _loopback_bytes(), time.process_time()
    with weighed(figures, name):
        yield
    figures[f"{name}_cpu"] = time.process_time() - cpu
    if real:
        torch.distributed.barrier()
        after = _loopback_bytes()
        if moved is not None and after is not None:
            figures[f"{name}_moved"] = after - moved


def _loopback_bytes() -> int | None:
    """Bytes received over the loopback since the machine started; None where it is not told."""
    try:
        found = re.search(r"^\s*lo:\s*(\d+)", _NETWORK.read_text(), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) if found else None


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], int(sys.argv[2]))))
