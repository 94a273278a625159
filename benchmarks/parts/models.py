"""Models beside PyPI's zero_init, beside torch's own initialization, beside SHA-256 alone."""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.processes import run_child, run_python, sha256_seconds
from benchmarks.samples import (
    Part,
    Row,
    Series,
    as_megabytes,
    as_ratio,
    as_seconds,
    new_file,
    ratio,
    total,
    value,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """A model, how often it is measured, and in how many of these rounds with the reference."""

    name: str
    rounds: int
    reference_rounds: int


QUICK = (
    Workload(name="resnet18", rounds=3, reference_rounds=3),
    Workload(name="resnet50", rounds=3, reference_rounds=3),
    Workload(name="vit_b_16", rounds=3, reference_rounds=2),
    Workload(name="convnext_large", rounds=2, reference_rounds=1),
    Workload(name="vit_h_14", rounds=2, reference_rounds=1),  # the reference takes minutes
)
FULL = (
    Workload(name="resnet18", rounds=9, reference_rounds=9),
    Workload(name="resnet50", rounds=9, reference_rounds=9),
    Workload(name="vit_b_16", rounds=7, reference_rounds=5),
    Workload(name="convnext_large", rounds=5, reference_rounds=3),
    Workload(name="vit_h_14", rounds=5, reference_rounds=3),
)

_OURS = value("write_seconds")
_SHA256 = value("sha256_seconds")
_REFERENCE = total("reference_initialise", "reference_save", "reference_hash")
_TORCH = total("torch_initialise", "torch_save", "torch_hash")

ROWS = (
    Row(label="our file, MB", figure=value("file_bytes"), form=as_megabytes),
    Row(label="ratios"),
    Row(label="values + write + hash / SHA-256 alone", figure=ratio(_OURS, _SHA256), form=as_ratio),
    Row(
        label="verify / SHA-256 alone",
        figure=ratio(value("verify_seconds"), _SHA256),
        form=as_ratio,
    ),
    Row(
        label="zero_init's initialise + save + hash / our values + write + hash",
        figure=ratio(_REFERENCE, _OURS),
        form=as_ratio,
    ),
    Row(
        label="torch's random initialise + save + hash / our values + write + hash",
        figure=ratio(_TORCH, _OURS),
        form=as_ratio,
    ),
    Row(
        label="zero_init's whole process / zeroinit generate",
        figure=ratio(value("reference_process"), value("generate_process")),
        form=as_ratio,
    ),
    Row(
        label="zero_init's peak memory / that of zeroinit generate",
        figure=ratio(value("reference_peak"), value("generate_peak")),
        form=as_ratio,
    ),
    Row(label="ours"),
    Row(label="build + plan, s", figure=value("plan_seconds"), form=as_seconds),
    Row(label="values + write + hash, s", figure=_OURS, form=as_seconds),
    Row(label="verify, s", figure=value("verify_seconds"), form=as_seconds),
    Row(
        label="memory of values + write + hash above the plan, MB",
        figure=value("write_growth"),
        form=as_megabytes,
    ),
    Row(
        label="memory of verify above the plan, MB",
        figure=value("verify_growth"),
        form=as_megabytes,
    ),
    Row(label="zeroinit generate, s", figure=value("generate_process"), form=as_seconds),
    Row(
        label="zeroinit generate, peak memory, MB",
        figure=value("generate_peak"),
        form=as_megabytes,
    ),
    Row(label="SHA-256 alone"),
    Row(label="openssl dgst -sha256, s", figure=_SHA256, form=as_seconds),
    Row(label="zero_init"),
    Row(label="initialise + save + hash, s", figure=_REFERENCE, form=as_seconds),
    Row(label="whole process, s", figure=value("reference_process"), form=as_seconds),
    Row(label="whole process, peak memory, MB", figure=value("reference_peak"), form=as_megabytes),
    Row(label="torch's own, random"),
    Row(label="initialise + save + hash, s", figure=_TORCH, form=as_seconds),
    Row(label="whole process, peak memory, MB", figure=value("torch_peak"), form=as_megabytes),
)


def measure(full: bool, say: Callable[[str], None]) -> Part:
    """All models, round by round."""
    series = []
    for workload in FULL if full else QUICK:
        samples = []
        for index in range(workload.rounds):
            say(f"{workload.name}: round {index + 1} of {workload.rounds}")
            with_reference = index < workload.reference_rounds
            samples.append(measure_round(workload.name, with_reference=with_reference))
        series.append(Series(name=workload.name, samples=tuple(samples)))
    return Part(key="models", title="Models", rows=ROWS, series=tuple(series))


def measure_round(name: str, *, with_reference: bool) -> dict[str, float]:
    """Everything for one model, each step in a process and a folder of its own."""
    with new_file() as path:
        _, (sample, sha256) = run_child("ours", name, path)
        sample |= sha256_seconds(path, sha256)
    with new_file() as path:
        generate = ("-m", "zeroinit_cli", "generate", name, "-o", str(path), "--no-lock", "--quiet")
        process = run_python(*generate)
    sample |= {"generate_process": process.seconds, "generate_peak": process.peak_bytes}
    sample |= _other("torch", "torch_default", name)
    if with_reference:
        sample |= _other("reference", "reference", name)
    figures: dict[str, float] = sample
    return figures


def _other(prefix: str, module: str, name: str) -> dict[str, float]:
    with new_file() as path:
        process, figures = run_child(module, name, path)
    seconds = {
        f"{prefix}_{figure.removesuffix('_seconds')}": number for figure, number in figures.items()
    }
    return {
        **seconds,
        f"{prefix}_process": process.seconds,
        f"{prefix}_peak": process.peak_bytes,
    }
