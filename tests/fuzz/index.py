"""Mutants of an index of shards, beside two shards that it may name: no claim of it is believed."""

import atexit
import json
import random
import shutil
import tempfile
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target, check_message
from tests.stored_files import save
from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.store.read import read_checkpoint

NAME = "model.safetensors.index.json"
_MAP = {"x": "a.safetensors", "y": "a.safetensors", "é": "b.safetensors"}
_WORDS = [
    *b"0 -1 1e2 1e400 NaN true null {} [] [0] weight_map metadata total_size x y a b".split(),
    *(b'"%s"' % word for word in (b"weight_map", b"metadata", b"x", b"y", "é".encode(), b"")),
    *(b'"%s"' % name for name in (b"a.safetensors", b"b.safetensors", b"c.safetensors")),
    *(b'"%s"' % name for name in (b"..", b".", b"../a.safetensors", b"/etc/passwd", b"C:a")),
    *(b'"%s"' % name for name in (b"link.safetensors", b"loop.safetensors", b"pipe.safetensors")),
    *(b'"%s"' % name for name in (b"sub", b"sub/a.safetensors", b"a\\\\b", b"/proc/self/mem")),
    *(b'"%s"' % name for name in (b"\\u0000", b"\\ud800", b"\\u202e", b"\\u001b[2J", b"\x1b")),
    b'"' + b"n" * 300 + b'"',
    b"9" * 5000,
]


def seeds() -> list[bytes]:
    """Sound indexes, as libraries write them and as they do not."""
    sound = {"metadata": {"total_size": 12}, "weight_map": _MAP}
    return [
        json.dumps(sound, indent=2, sort_keys=True).encode(),
        json.dumps({"weight_map": _MAP}, ensure_ascii=False).encode(),
        json.dumps({"weight_map": {"x": "a.safetensors", "y": "a.safetensors"}}).encode(),
        json.dumps({"weight_map": {"é": "b.safetensors"}, "metadata": {"a": [1.5]}}).encode(),
        b"{}",
    ]


def mutate(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A mutant of the text."""
    return mutated(data, others, chance, _WORDS)


@lru_cache(maxsize=1)
def place() -> Path:
    """A folder with two shards, a link out of it, a link to itself, a folder and a pipe."""
    import os

    memory = "/dev/shm" if Path("/dev/shm").is_dir() else None  # no disk is under attack
    top = Path(tempfile.mkdtemp(prefix="zeroinit-index-", dir=memory)).resolve()
    atexit.register(shutil.rmtree, top)
    folder = top / "inside"
    (folder / "sub").mkdir(parents=True)
    save(folder / "a.safetensors", {"x": ("U8", [1], b"1"), "y": ("U8", [0], b"")})
    save(folder / "b.safetensors", {"é": ("U8", [2], b"23")}, {"format": "pt"})
    for outside in (folder / "sub" / "a.safetensors", top / "a.safetensors"):
        save(outside, {"x": ("U8", [1], b"1"), "y": ("U8", [0], b"")})
    (folder / "link.safetensors").symlink_to("../a.safetensors")
    (folder / "loop.safetensors").symlink_to("loop.safetensors")
    os.mkfifo(folder / "pipe.safetensors")
    return folder


def examine(data: bytes) -> str:
    """`refused` or `read`; what is read is what the index says, from beside it.

    Raises:
        Exception: anything else is a finding.
    """
    folder = place()
    (folder / NAME).write_bytes(data)
    try:
        checkpoint = read_checkpoint(folder / NAME)
    except (CheckpointError, InputError) as error:
        check_message(error)
        return "refused"
    read = {each.info.name: checkpoint.files[each.file].path for each in checkpoint.tensors}
    said = json.loads(data)["weight_map"]
    if {name: path.name for name, path in read.items()} != said:
        raise ValueError("tensors other than the index says")
    for path in read.values():
        if path.parent != folder or path.resolve().parent != folder:
            raise ValueError("a file elsewhere was read")
    return "read"


INDEX = Target(name="index", suffix=".index.json", seeds=seeds, mutate=mutate, examine=examine)
