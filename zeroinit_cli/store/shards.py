"""A plan cut into the files of a folder: which tensors are in which shard, and their index.

The cut is that of `huggingface_hub.split_torch_state_dict_into_shards` over the checkpoint's
tensors, each of which has bytes of its own; the index is written as transformers writes it.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from zeroinit_cli.filenames import INDEX, FileDigest, file_names, sha256sum_digest
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.progress import Advance
from zeroinit_cli.store.jobs import in_order
from zeroinit_cli.store.stream import plan_sha256, plan_size


@dataclass(frozen=True, kw_only=True, slots=True)
class Shard:
    """One safetensors file of a checkpoint.

    Attributes:
        name: of the file.
        plan: of the tensors that it holds.
        size: bytes of the file.
    """

    name: str
    plan: Plan
    size: int


@dataclass(frozen=True, kw_only=True, slots=True)
class PlannedFile:
    """A plan, and the path of the file that has, or is to get, its bytes."""

    path: Path
    plan: Plan


def split(plan: Plan, most_bytes: int | None) -> tuple[Shard, ...]:
    """Cut a plan into files, at least one.

    Args:
        plan: the whole.
        most_bytes: of tensors in a file; a tensor that has more gets a file of its own. None for
            one file.
    """
    groups = [plan.tensors] if most_bytes is None else _fill(plan.tensors, most_bytes)
    names = file_names(len(groups))
    if len(groups) == 1:
        return (Shard(name=names[0], plan=plan, size=plan_size(plan)),)
    parts = (_subplan(plan, group) for group in groups)
    return tuple(
        Shard(name=name, plan=part, size=plan_size(part))
        for name, part in zip(names, parts, strict=False)
    )


def index_bytes(shards: Sequence[Shard]) -> bytes:
    """Write `model.safetensors.index.json`: where each tensor is, and the bytes of all."""
    weight_map = {tensor.info.name: shard.name for shard in shards for tensor in shard.plan.tensors}
    total = sum(shard.plan.nbytes for shard in shards)
    # json.dumps with an indentation is ten times slower: it then leaves its encoder in C
    entries = (
        f"    {json.dumps(name)}: {json.dumps(weight_map[name])}" for name in sorted(weight_map)
    )
    head = f'{{\n  "metadata": {{\n    "total_size": {total}\n  }},\n  "weight_map": {{\n'
    return (head + ",\n".join(entries) + "\n  }\n}\n").encode()


def with_index(shards: Sequence[Shard], digests: dict[str, str]) -> tuple[FileDigest, ...]:
    """List the files of these shards with their digests, and the index if there are several."""
    files = [
        FileDigest(name=shard.name, sha256=digests[shard.name], size=shard.size) for shard in shards
    ]
    if len(shards) > 1:
        data = index_bytes(shards)
        sha256 = hashlib.sha256(data).hexdigest()
        files.append(FileDigest(name=INDEX, sha256=sha256, size=len(data)))
    return tuple(files)


def overall(files: Sequence[FileDigest]) -> tuple[str, int]:
    """Return the SHA-256 and the size of a checkpoint: of its one file, or of all its files."""
    if len(files) == 1:
        return files[0].sha256, files[0].size
    digest = sha256sum_digest((file.name, file.sha256) for file in files)
    return digest, sum(file.size for file in files)


def digest_shards(
    shards: Sequence[Shard], *, jobs: int = 1, advance: Advance
) -> tuple[FileDigest, ...]:
    """Compute the digests of the shards' files and, last, of the index; none is written."""
    digests = in_order(_digest, [shard.plan for shard in shards], jobs=jobs, advance=advance)
    return with_index(shards, dict(zip((shard.name for shard in shards), digests, strict=True)))


def _fill(tensors: Sequence[PlannedTensor], most_bytes: int) -> list[list[PlannedTensor]]:
    """Group tensors greedily, in the order of the state dict."""
    groups: list[list[PlannedTensor]] = []
    current: list[PlannedTensor] = []
    filled = 0
    for tensor in sorted(tensors, key=lambda tensor: tensor.position):
        nbytes = tensor.info.nbytes
        if nbytes > most_bytes:
            groups.append([tensor])  # a file of its own, before the one that is being filled
            continue
        if filled + nbytes > most_bytes:
            groups.append(current)
            current, filled = [], 0
        current.append(tensor)
        filled += nbytes
    return [*groups, current] if current or not groups else groups


def _subplan(plan: Plan, tensors: Iterable[PlannedTensor]) -> Plan:
    """Make a plan of these tensors and the values that they keep."""
    chosen = tuple(tensors)
    wanted = {sha256 for tensor in chosen for sha256 in tensor.rule.kept_digests()}
    kept = {sha256: plan.kept[sha256] for sha256 in sorted(wanted)}
    return replace(plan, tensors=chosen, kept=kept, warnings=(), adds=())


def _digest(plan: Plan, advance: Advance) -> str:
    return plan_sha256(plan, advance=advance)
