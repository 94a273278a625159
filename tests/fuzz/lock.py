"""Mutants of locks: each is read as it is written again, or refused in our words."""

import random
import tomllib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from tests.entries import entry
from tests.fuzz.mutations import mutated
from tests.fuzz.target import Target, check_message
from zeroinit_cli.errors import LockError
from zeroinit_cli.lock import LockEntry, parse_lock
from zeroinit_cli.lock.find import Locked
from zeroinit_cli.lock.write import render_lock

_WORDS = [
    *b"version checkpoint path source spec-sha256 arguments options scheme plan sha256".split(),
    *b"size tensors built-with shard dtype overrides policy num_classes".split(),
    *b"0 1 2 -1 1.0 1e400 nan inf true false 1979-05-27 0x10 0o7 0b1 1_000 [] {} [[]]".split(),
    *b"{a=1} {a=[1]}".split(),
    *(b"%d" % (1 << bits) for bits in (31, 63, 64)),
    *b'"" "x" "torchvision:resnet18" "timm:x" "a.yaml" "../a.yaml" "/a.yaml"'.split(),
    *b'"zero-2" "zero-1" "zero-3" "float32" "float8" "default" "paper"'.split(),
    *b'"end" "none" "layer" "paper"'.split(),
    *b'"*=zeros" "=zeros" "a=b" "[=ones" "sha256:"'.split(),
    *(b'"%s"' % path for path in (b"a", b".", b"..", b"../a", b"/a", b"a/../b", b"a//b", b"C:a")),
    *(
        b'"%s"' % path
        for path in (b"a\\\\b", b"\\u0000", b"\\u202e", b"\\u001b[2J", b"\x1b", b"./a")
    ),
    b'"' + b"0" * 64 + b'"',
    b'"sha256:' + b"1" * 64 + b'"',
    b'"' + b"a" * 5000 + b'"',
    b"a" + b".a" * 10,
    b"[[checkpoint]]",
    b"[[checkpoint.shard]]",
    b"<<<<<<< HEAD",
    b"'''",
    b'"""',
]


def seeds() -> list[bytes]:
    """Locks of none, one and three entries, with and without overrides, of a model and a spec."""
    one, two = entry("a"), entry("b/c", overrides=("*.x=zeros", "y=ones"))
    spec = one.model_dump(by_alias=True) | {"path": "d", "source": "../n.yaml", "arguments": {}}
    three = LockEntry.model_validate({**spec, "spec-sha256": "2" * 64})
    return [
        render_lock(entries).encode() for entries in ([], [one], [two], [three], [one, two, three])
    ]


def mutate(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A mutant of the text."""
    return mutated(data, others, chance, _WORDS)


def examine(data: bytes) -> str:
    """`refused` or `read`; what is read stays inside its folder, and is written as it was read.

    Raises:
        Exception: anything else is a finding.
    """
    try:
        lock = parse_lock(data, "zeroinit.lock")
    except LockError as error:
        check_message(error)
        return "refused"
    if tomllib.loads(data.decode("utf-8-sig"))["version"] != 1:
        raise ValueError("another version was read")
    for each in lock.checkpoint:
        _check_place(each)
        each.read_options()
    text = render_lock(lock.checkpoint)
    again = parse_lock(text.encode(), "zeroinit.lock").checkpoint
    if again != tuple(sorted(lock.checkpoint, key=lambda each: each.path)):
        raise ValueError("read otherwise when written again")
    if render_lock(again) != text:  # which also tells 1, 1.0 and true apart
        raise ValueError("written otherwise when read again")
    return "read"


def _check_place(each: LockEntry) -> None:
    path = PurePosixPath(each.path)
    if path.is_absolute() or ".." in path.parts or not each.path.isprintable() or not path.name:
        raise ValueError("a path that leads elsewhere")
    Locked(lock=Path("/nowhere/zeroinit.lock"), entry=each).check_links()


LOCK = Target(name="lock", suffix=".lock", seeds=seeds, mutate=mutate, examine=examine)
