"""Ranks as forks of the test: each with torch imported already, and with a time limit."""

import importlib
import inspect
import multiprocessing
import os
import tempfile
import traceback
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed
from torch.distributed.tensor import distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from zeroinit_cli.errors import ZeroinitError

CAN_SHARD = "src_data_rank" in inspect.signature(distribute_tensor).parameters
"""Whether this torch can do what is tested here; the oldest that is allowed cannot."""
_SECONDS = 60


class Failure(str):
    """The message of an error of ours that a rank raised."""

    __slots__ = ()


def on_ranks(
    world: int,
    work: Callable[[int], Any],
    *,
    backend: str = "fake",
    only: Sequence[int] | None = None,
) -> list[Any]:
    """What each rank returned, or the message that it raised.

    Args:
        world: number of ranks.
        work: called with the rank, in a process of its own.
        backend: gloo, which communicates, or fake, where collectives do nothing.
        only: of these ranks; where nothing is sent, the others need not be there.
    """
    numbers = range(world) if only is None else only
    importlib.import_module("torch._dynamo")  # which sharding imports: once here, not on each rank
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        pipes = [context.Pipe(duplex=False) for _ in numbers]
        ranks = [
            context.Process(target=_rank, args=(rank, world, work, backend, Path(folder), sender))
            for rank, (_, sender) in zip(numbers, pipes, strict=True)
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of Pythons that warn of forks beside threads
            for each in ranks:
                each.start()
        try:
            answers = []
            for number, (receiver, sender) in zip(numbers, pipes, strict=True):
                sender.close()
                if not receiver.poll(_SECONDS):
                    pytest.fail(f"rank {number} hangs")
                answers.append(receiver.recv())
        finally:
            for each in ranks:
                each.kill()
                each.join()
    broken = [answer for answer in answers if isinstance(answer, BaseException)]
    if broken:
        raise broken[0]
    return answers


def _rank(
    rank: int,
    world: int,
    work: Callable[[int], Any],
    backend: str,
    folder: Path,
    sender: Connection,
) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    warnings.simplefilter("ignore")  # torch's own, about what it will rename
    meeting: dict[str, Any] = {"store": FakeStore()}
    if backend != "fake":
        meeting = {"init_method": (folder / "store").as_uri()}
    try:
        torch.distributed.init_process_group(backend, rank=rank, world_size=world, **meeting)
        answer: Any = work(rank)
    except ZeroinitError as error:
        answer = Failure(error)
    except BaseException:  # noqa: BLE001 - whatever it is, the test that waits must hear of it
        answer = AssertionError(f"rank {rank}:\n{traceback.format_exc()}")
    sender.send(answer)
    sender.close()
    os._exit(0)
