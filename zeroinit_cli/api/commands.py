"""What the command does, from Python: generate, verify, probe."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from os import PathLike
from typing import TYPE_CHECKING

from zeroinit_cli.api.given import listed, options_of, source_of, type_name, words_of

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zeroinit_cli.api.given import ExampleInputs
    from zeroinit_cli.commands.findings import Unanswered, Verified
    from zeroinit_cli.policies import Policy
    from zeroinit_cli.probing.judge import Verdict
    from zeroinit_cli.probing.report import Probe


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
