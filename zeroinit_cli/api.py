"""The Python API: what the command does, for modules of your own. Torch is imported when used.

`zeroinit_cli` offers these names; this module is where they live.
"""

from collections.abc import Callable, Iterable
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from zeroinit_cli.given import listed, options_of, source_of, type_name, words_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zeroinit_cli.commands.findings import Unanswered, Verified
    from zeroinit_cli.plans.plan import Plan
    from zeroinit_cli.policies import Policy
    from zeroinit_cli.probing.judge import Verdict
    from zeroinit_cli.probing.report import Probe

    ExampleInputs = torch.Tensor | tuple[Any, ...] | dict[str, Any]

Module = TypeVar("Module", bound="nn.Module")


def plan(
    architecture: "str | Callable[[], nn.Module] | nn.Module",
    *,
    example_inputs: "ExampleInputs | None" = None,
    dtype: "str | torch.dtype | None" = None,
    policy: "str | Policy | None" = None,
    overrides: Iterable[str] = (),
) -> "Plan":
    """Plan every tensor of an architecture's state dict, its rule and why; make no weights.

    Args:
        architecture: a function that builds a module, the exact way: it is noted which values are
            drawn and which are meant, and its large weights are not held. Or a SOURCE
            of the command line, a name or a spec's path. Or a module as its constructor left it,
            which is a weaker witness: a parameter that no rule covers is kept if all its entries
            are equal, a buffer always, and the plan's warnings name both.
        example_inputs: what its forward takes: a tensor, a tuple of arguments or a dict of keys,
            on any device, meta too. It is run once, to see how each parameter is used.
            If not given, inputs are guessed from its first layers, or the SOURCE knows its own.
        dtype: type of the floating tensors, float32 if not given.
        policy: `default`, `paper`, or a `zeroinit_cli.Policy` of your own; that of the
            default if not given.
        overrides: `PATTERN=RULE` each; the last that matches a tensor wins.

    Returns:
        the plan. `plan.tensors` are in file order, `plan.warnings` say what to know before
        training from it, `plan.digest()` is what a lock records.

    Raises:
        ZeroinitError: an option is wrong, or the architecture cannot be planned.
        Exception: whatever the function raises.
    """
    from zeroinit_cli.models import plan_given, plan_source
    from zeroinit_cli.source import requested_options

    name = type_name(dtype)
    if isinstance(architecture, str):
        source = source_of(architecture, example_inputs)
        words, own = words_of(name, policy)
        asked = requested_options(source, words, overrides=listed(overrides))
        return plan_source(source, replace(asked, policy=own or asked.policy))
    return plan_given(architecture, options_of(name, policy, overrides), example_inputs)


def build(source: "str | PathLike[str]") -> "nn.Module":
    """Build the module of a source, with torch's own random weights, to load a checkpoint into.

    Args:
        source: a SOURCE of the command line, such as `net.yaml`, `resnet18` or `timm:NAME`.

    Returns:
        the module whose state dict a checkpoint of the same source has, name by name.

    Raises:
        SourceError: the source is not known, is a spec with mistakes, or cannot be built.
        InputError: the spec cannot be read.
    """
    import os

    from zeroinit_cli.sources import parse_source

    return parse_source(os.fspath(source)).factory()()


def init_(
    module: Module,
    *,
    build: "Callable[[], nn.Module] | None" = None,
    example_inputs: "ExampleInputs | None" = None,
    policy: "str | Policy | None" = None,
    overrides: Iterable[str] = (),
    only: Iterable[str] | None = None,
) -> Module:
    """Initialise a module in place; each tensor keeps its own type and device.

    The bytes are those that `zeroinit generate` writes for the same architecture and options, under
    `--dtype` where the module is not float32. No random state is touched.

    Args:
        module: what is initialised. Without `build` it is as its constructor left it.
        build: a function that builds the same module. It is needed after `to_empty()`, when the
            values that only the constructor knows are gone, and it settles what is random.
        example_inputs: what its forward takes: a tensor, a tuple of arguments or a dict of keys,
            on any device, meta too. It is run once, to see how each parameter is used.
            If not given, inputs are guessed from its first layers.
        policy: `default`, `paper`, or a `zeroinit_cli.Policy` of your own; that of the
            default if not given.
        overrides: `PATTERN=RULE` each; the last that matches a tensor wins.
        only: globs over names, such as `["head.*"]` for a new head on pretrained weights: what
            matches none of them is not touched.

    Returns:
        the same module.

    Raises:
        ZeroinitError: an option is wrong, or the module cannot be planned; then nothing in it was
            changed.
        Exception: whatever `build` raises.
    """
    from zeroinit_cli.models import init_given

    names = None if only is None else listed(only, "only")
    init_given(module, build, options_of(None, policy, overrides), example_inputs, names)
    return module


def save(
    plan: "Plan",
    path: "str | PathLike[str]",
    *,
    max_shard_size: int | str | None = None,
    force: bool = False,
) -> str:
    """Write a plan as a safetensors file, whole or not at all, and its `.sha256` beside it.

    Args:
        plan: of `plan()`.
        path: the checkpoint, or the folder for its shards; its own folder exists. Files with
            exactly these bytes are left alone.
        max_shard_size: the most bytes of tensors in a file, such as `"5GB"`. The folder then gets
            shards and their index, or one `model.safetensors` if they all fit.
        force: replace files with other bytes.

    Returns:
        the SHA-256, in hexadecimal, of the file's bytes; of shards, that of the folder's
        `model.safetensors.sha256`, which lists theirs.

    Raises:
        ZeroinitError: it cannot be written, or the size is none.
    """
    from pathlib import Path

    from zeroinit_cli.commands.generate import write_plan
    from zeroinit_cli.commands.location import Location
    from zeroinit_cli.options import parse_size

    sharded = max_shard_size is not None
    most_bytes = parse_size(str(max_shard_size), "max_shard_size") if sharded else None
    location = Location(path=Path(path), own_folder=sharded)
    return write_plan(plan, location, most_bytes, force=force).sha256


def generate(
    architecture: "str | Callable[[], nn.Module]",
    path: "str | PathLike[str]",
    *,
    lock: "str | PathLike[str] | bool" = True,
    example_inputs: "ExampleInputs | None" = None,
    dtype: "str | torch.dtype | None" = None,
    policy: str | None = None,
    overrides: Iterable[str] = (),
    max_shard_size: int | str | None = None,
    force: bool = False,
) -> str:
    """Write a checkpoint, its `.sha256` and its entry in a lock, as `zeroinit generate` does.

    Args:
        architecture: a SOURCE of the command line, or a function that builds a module. A lock
            names the function by where it is defined: `python:package.module:function`.
        path: the checkpoint; a folder, or a text that ends in a slash, for one with
            `model.safetensors` or shards in it.
        lock: where it is recorded: True for `zeroinit.lock` beside it, False for nowhere.
        example_inputs: what its forward takes, where the source does not know its own. The lock
            records their types and shapes, and their values do not count.
        dtype: type of the floating tensors, float32 if not given.
        policy: `default` or `paper`; one of your own has no name for a lock.
        overrides: `PATTERN=RULE` each; the last that matches a tensor wins.
        max_shard_size: the most bytes of tensors in a file, such as `"5GB"`.
        force: replace files with other bytes.

    Returns:
        the SHA-256, in hexadecimal, of the file's bytes; of shards, that of their list.

    Raises:
        ZeroinitError: any of its kinds; then nothing was written, or the checkpoint is whole and
            the message says what is missing beside it.
    """
    import os
    from pathlib import Path

    from zeroinit_cli.commands.generate import generate as run
    from zeroinit_cli.commands.location import Location
    from zeroinit_cli.options import SHARD_SIZE
    from zeroinit_cli.source import requested_options

    source = source_of(architecture, example_inputs)
    words: dict[str, str | None] = {"dtype": type_name(dtype), "policy": policy}
    words[SHARD_SIZE] = None if max_shard_size is None else str(max_shard_size)
    options = requested_options(source, words, overrides=listed(overrides))
    location = Location.named(os.fspath(path), own_folder=max_shard_size is not None)
    recorded = location.default_lock if lock is True else Path(lock) if lock else None
    return run(source, options, location, lock=recorded, force=force).sha256


def verify(
    path: "str | PathLike[str]" = ".",
    *,
    ignore_missing: bool = False,
    hash_only: bool = False,
    trust_code: bool = False,
) -> "list[Verified | Unanswered]":
    """Check a locked file, or every checkpoint of a folder's lock, as `zeroinit verify` does.

    Args:
        path: a folder with a lock, a lock, or a locked file.
        ignore_missing: a file that is not there fails nothing.
        hash_only: hold the files against the locked digests alone, without torch.
        trust_code: run the code that `python:` sources of the lock name.

    Returns:
        what was found of each: `findings` are empty where all holds; what could not be checked has
        an `error` in their place.

    Raises:
        LockError: there is no lock, no entry for a file, or a lock that cannot be trusted.
        InputError: a lock cannot be read.
    """
    from pathlib import Path

    from zeroinit_cli.commands.verify import verify_locked

    return verify_locked(
        [Path(path)], ignore_missing=ignore_missing, hash_only=hash_only, trust_code=trust_code
    )


def probe(
    architecture: "str | Callable[[], nn.Module]",
    *,
    example_inputs: "ExampleInputs | None" = None,
    policy: "str | Policy | None" = None,
    overrides: Iterable[str] = (),
    steps: int | None = None,
    learning_rate: float | None = None,
    device: str = "cpu",
) -> "tuple[Verdict, Probe]":
    """Ask whether a start will train, by a few steps from it and from torch's own.

    Args:
        architecture: a function that builds a module, or a SOURCE of the command line.
        example_inputs: what its forward takes, a batch; values on the meta device are made up.
        policy: of the start; that of the default if not given.
        overrides: `PATTERN=RULE` each; the last that matches a tensor wins.
        steps: of plain SGD; as many as `zeroinit probe` takes if not given.
        learning_rate: of them, likewise.
        device: torch's name of where it runs.

    Returns:
        the verdict, with `kind`, `text`, `reasons` and `hints`, and what was measured.

    Raises:
        ZeroinitError: it cannot be built, planned or run.
        Exception: whatever the function raises.
    """
    from zeroinit_cli.models.given import probed
    from zeroinit_cli.probing.judge import judge
    from zeroinit_cli.probing.run import probe_source, probe_subject, subject_of
    from zeroinit_cli.probing.setting import LEARNING_RATE, STEPS, Setting, check_setting
    from zeroinit_cli.source import requested_options

    rate = LEARNING_RATE if learning_rate is None else learning_rate
    setting = Setting(steps=steps or STEPS, learning_rate=rate, device=device)
    check_setting(setting)
    if isinstance(architecture, str):
        source = source_of(architecture, example_inputs)
        words, own = words_of(None, policy)
        asked = requested_options(source, words, overrides=listed(overrides))
        found = probe_source(source, replace(asked, policy=own or asked.policy), setting)
    else:
        factory, inputs = probed(architecture, example_inputs)
        options = options_of(None, policy, overrides)
        found = probe_subject(subject_of(factory, options, inputs), setting)
    return judge(found), found
