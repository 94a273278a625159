"""Models over ranks: beside rank 0 and a broadcast, beside torch's own init on DTensors."""

import os
from collections.abc import Callable

from benchmarks.processes import run_child
from benchmarks.samples import (
    Figure,
    Part,
    Row,
    Series,
    as_megabytes,
    as_ratio,
    as_seconds,
    ratio,
    value,
)

_RANKS = 2
_WAYS = {
    "zeroinit": "zeroinit",
    "broadcast": "rank 0 + broadcast",
    "torch": "torch's own",
}
_SHARES = {"70B": 128, "405B": 512}


def _for_gigabyte(name: str) -> Figure:
    return ratio(value(name), lambda sample: sample["shard_bytes"] / 1e9)


ROWS = (
    Row(
        label="local shards, all ranks together, MB", figure=value("shard_bytes"), form=as_megabytes
    ),
    Row(label="fill"),
    Row(
        label="CPU of fill / that of zeroinit",
        figure=ratio(value("fill_cpu"), value("zeroinit_cpu")),
        form=as_ratio,
    ),
    Row(
        label="CPU seconds for a GB, with the plan",
        figure=_for_gigabyte("fill_cpu"),
        form=as_seconds,
    ),
    Row(label="seconds", figure=value("fill_seconds"), form=as_seconds),
    Row(label="of these the plan", figure=value("plan_seconds"), form=as_seconds),
    Row(
        label="peak above the local shards, MB, the most of a rank",
        figure=value("fill_growth"),
        form=as_megabytes,
    ),
    Row(label="sent, MB", figure=value("fill_moved"), form=as_megabytes),
    Row(label="check"),
    Row(label="CPU seconds for a GB", figure=_for_gigabyte("check_cpu"), form=as_seconds),
    Row(label="seconds", figure=value("check_seconds"), form=as_seconds),
    Row(
        label="peak above the local shards, MB, the most of a rank",
        figure=value("check_growth"),
        form=as_megabytes,
    ),
    Row(label="sent, MB", figure=value("check_moved"), form=as_megabytes),
)


def measure(full: bool, say: Callable[[str], None]) -> Part:
    """Three ways side by side in each round, then one rank of many."""
    rounds = 3 if full else 2
    note = f"Load average before this part: {os.getloadavg()[0]:.1f}"
    samples: dict[str, list[dict[str, float]]] = {way: [] for way in _WAYS}
    for number in range(rounds):
        say(f"a Llama on {_RANKS} ranks: round {number + 1} of {rounds}")
        found = {way: run_child("sharded", way, str(_RANKS))[1] for way in _WAYS}
        for way, figures in found.items():
            samples[way].append({**figures, "zeroinit_cpu": found["zeroinit"]["fill_cpu"]})
    series = [
        Series(name=f"{name}, {_RANKS} ranks", samples=tuple(samples[way]))
        for way, name in _WAYS.items()
    ]
    for size, ranks in _SHARES.items():
        say(f"one of {ranks} ranks of a Llama of {size}")
        sample = run_child("sharded", size, str(ranks))[1]
        series.append(Series(name=f"{size}, one rank of {ranks}", samples=(sample,)))
    title = "A Llama in FSDP2, float32, on the CPU"
    return Part(key="scale", title=title, rows=ROWS, series=tuple(series), notes=(note,))
