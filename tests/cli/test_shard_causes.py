"""What `verify` says has probably happened to a folder with shards, brought about as in life."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import huggingface_hub
import pytest
import safetensors.torch
import torch

import zeroinit_cli
from tests.cli.command import Command
from tests.cli.test_causes import causes
from tests.cli.test_folders import INDEX, SHARDS
from tests.cli.test_verify import edit

ONE, TWO, THREE = SHARDS
SIZE = ("--max-shard-size", "600KB")


def state() -> dict[str, torch.Tensor]:
    tensors = {}
    for name in SHARDS:
        tensors.update(safetensors.torch.load_file(f"net/{name}"))
    return {name: value.clone() for name, value in tensors.items()}


def save(tensors: dict[str, torch.Tensor], size: str = "600KB") -> None:
    """As `save_pretrained` does, whose index has other metadata than ours."""
    huggingface_hub.save_torch_state_dict(tensors, "net", max_shard_size=size)


def generate(zeroinit: Command, *options: str) -> None:
    for name in (*SHARDS, INDEX):
        Path(f"net/{name}").unlink()
    done = zeroinit("generate", "net.yaml", "-o", "net/", "--force", "--no-lock", *options)
    assert done.code == 0, done.err


def point_to(name: str, oid: str) -> None:
    size = Path(name).stat().st_size
    text = f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n"
    Path(name).write_text(text)


def check_out_without_lfs(_: Command) -> None:
    """Every shard is a pointer, as where Git LFS is not installed; the index is text."""
    sums = Path("net/model.safetensors.sha256").read_text().splitlines()
    for line in sums:
        digest, name = line.split("  ")
        if name != INDEX:
            point_to(f"net/{name}", digest)


def check_out_without_lfs_and_from_elsewhere(zeroinit: Command) -> None:
    check_out_without_lfs(zeroinit)
    point_to(f"net/{TWO}", "0" * 64)


def cut(_: Command) -> None:
    path = Path(f"net/{TWO}")
    path.write_bytes(path.read_bytes()[:-1000])


def lose_a_page(_: Command) -> None:
    Path(f"net/{ONE}").write_text("<!DOCTYPE html>\n<title>Sign in</title>\n")
    Path(f"net/{INDEX}").write_text("<html>\n")


def train(_: Command) -> None:
    torch.manual_seed(0)
    model = zeroinit_cli.build("net.yaml")
    model.load_state_dict(state())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _step in range(3):
        torch.nn.functional.cross_entropy(model(torch.randn(8, 100)), torch.arange(8)).backward()
        optimizer.step()
    save({name: value.contiguous() for name, value in model.state_dict().items()})


def train_and_save_whole(zeroinit: Command) -> None:
    train(zeroinit)
    tensors = state()
    for name in (*SHARDS, INDEX):
        Path(f"net/{name}").unlink()
    save(tensors, "5GB")


def wrap(_: Command) -> None:
    save({f"module.{name}": value for name, value in state().items()})


def convert(_: Command) -> None:
    save({name: (value + 0.5).half() for name, value in state().items()}, "300KB")


def write_again(_: Command) -> None:
    for name in SHARDS:
        tensors = safetensors.torch.load_file(f"net/{name}")
        safetensors.torch.save_file(
            {key: one.clone() for key, one in tensors.items()}, f"net/{name}"
        )


CASES: list[tuple[Callable[[Command], None], str, str]] = [
    (
        check_out_without_lfs,
        "lfs-pointer",
        f"{ONE} and 2 more: a Git LFS pointer in place of the file; it points to these very bytes",
    ),
    (
        check_out_without_lfs_and_from_elsewhere,
        "lfs-pointer",
        f"{ONE} and 1 more: a Git LFS pointer in place of the file; it points to these very bytes",
    ),
    (
        cut,
        "truncated",
        f"{TWO}: a copy or download that stopped after 480,784 of 481,784 bytes",
    ),
    (
        lose_a_page,
        "html",
        f"{ONE} and 1 more: another file under this name: it begins like a web page",
    ),
    (
        write_again,
        "other-writer",
        f"{ONE} and 2 more: written again by another tool: the same tensors and values, but "
        "metadata none instead of format=pt",
    ),
    (
        lambda zeroinit: generate(zeroinit, "--max-shard-size", "400KB"),
        "other-split",
        "split otherwise: all tensors are right, but 5 of 8 lie in other files than planned",
    ),
    (
        lambda zeroinit: generate(zeroinit),
        "other-split",
        "split otherwise: all tensors are right, but 8 of 8 lie in other files than planned",
    ),
    (
        train,
        "trained",
        "trained from here, or initialized by something else: 8 of 8 floating tensors differ",
    ),
    (
        train_and_save_whole,
        "trained",
        "trained from here, or initialized by something else: 8 of 8 floating tensors differ",
    ),
    (
        wrap,
        "wrapped",
        "saved from a module that wraps the model: every name begins with 'module.'",
    ),
    (convert, "other-architecture", "converted to other types: 0.bias, 0.weight, 2.bias"),
]
BY_DIGEST = {"lfs-pointer", "truncated", "html"}


@pytest.mark.parametrize(("happen", "kind", "text"), CASES)
def test_what_happened_to_the_files_is_guessed(
    zeroinit: Command, net: Path, happen: Callable[[Command], None], kind: str, text: str
) -> None:
    happen(zeroinit)
    [(found, said)] = causes(zeroinit, "net")
    assert found == kind
    assert said.startswith(text)
    assert f"\n  probably: {said}" in zeroinit("verify", "net").out
    assert causes(zeroinit, "net", "--source", "net.yaml", *SIZE) == [(kind, said)]
    by_digest = causes(zeroinit, "net", "--hash-only")
    assert by_digest == ([(kind, said)] if kind in BY_DIGEST else [])


def test_what_is_not_known_is_not_guessed(zeroinit: Command, net: Path) -> None:
    """A missing shard, an edited index, one other element: the findings say all there is."""
    whole = {path.name: path.read_bytes() for path in net.iterdir()}
    (net / TWO).unlink()
    assert causes(zeroinit, "net") == []
    (net / TWO).write_bytes(whole[TWO])
    table = json.loads(whole[INDEX])
    (net / INDEX).write_text(json.dumps(table))
    assert causes(zeroinit, "net") == []
    (net / INDEX).write_bytes(whole[INDEX])
    (net / TWO).write_bytes(whole[TWO][:-4] + b"\x01\x02\x03\x04")
    assert causes(zeroinit, "net") == []


def test_what_happened_to_the_lock_is_guessed(zeroinit: Command, net: Path) -> None:
    lock = net / "zeroinit.lock"
    sums = (net / "model.safetensors.sha256").read_text()
    digest, other = sums[:64], "0" * 64
    whole = hashlib.sha256(sums.encode()).hexdigest()
    edit(lock, digest, other)
    edit(lock, whole, hashlib.sha256(sums.replace(digest, other).encode()).hexdigest())
    assert causes(zeroinit, "net") == [
        (
            "lock-edited",
            "the lock was edited or merged wrongly: the shards have the bytes of the plan",
        )
    ]


def test_the_plan_of_now_is_no_measure_of_what_was_locked(zeroinit: Command, net: Path) -> None:
    """A spec that has changed is said; of the files, what can be told without it."""
    edit(net.parent / "net.yaml", "Linear: 10", "Linear: 11")
    assert causes(zeroinit, "net") == []
    check_out_without_lfs(zeroinit)
    assert [kind for kind, _ in causes(zeroinit, "net")] == ["lfs-pointer"]
