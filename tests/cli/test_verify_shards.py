"""`verify` of a folder with shards: whatever happens to a file or the index is found and named."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.command import Command
from tests.cli.test_folders import INDEX, SHARDS
from tests.cli.test_imports import COMMAND, imported

ONE, TWO, THREE = SHARDS
LOADED = "not of this checkpoint, but a loader may take it for a part"


def swap(folder: Path) -> None:
    (folder / ONE).rename(folder / "x")
    (folder / TWO).rename(folder / ONE)
    (folder / "x").rename(folder / TWO)


def flip(folder: Path) -> None:
    data = bytearray((folder / TWO).read_bytes())
    data[-1] ^= 0x80
    (folder / TWO).write_bytes(data)


def edit(change: Callable[[dict[str, dict[str, object]]], None]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        table = json.loads((folder / INDEX).read_text())
        change(table)
        (folder / INDEX).write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")

    return apply


def drop(table: dict[str, dict[str, object]]) -> None:
    del table["weight_map"]["0.bias"]
    table["weight_map"]["more"] = ONE


def copied(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / THREE).read_bytes())


CASES: list[tuple[str, Callable[[Path], object], str, list[str]]] = [
    ("missing", lambda folder: (folder / TWO).unlink(), "missing", [f"{TWO}: no such file"]),
    (
        "index missing",
        lambda folder: (folder / INDEX).unlink(),
        "missing",
        [f"{INDEX}: no such file"],
    ),
    (
        "renamed",
        lambda folder: (folder / TWO).rename(folder / "two.safetensors"),
        "missing",
        [f"{TWO}: no such file; two.safetensors has its bytes"],
    ),
    (
        "swapped",
        swap,
        "changed",
        [f"{ONE}: it has the bytes of {TWO}", f"{TWO}: it has the bytes of {ONE}"],
    ),
    (
        "extra",
        copied("model-00004-of-00004.safetensors"),
        "changed",
        [f"model-00004-of-00004.safetensors: {LOADED}"],
    ),
    (
        "a whole one beside",
        copied("model.safetensors"),
        "changed",
        [f"model.safetensors: {LOADED}"],
    ),
    (
        "tensor moved",
        edit(lambda table: table["weight_map"].update({"0.bias": THREE})),
        "changed",
        [f"{INDEX}: tensor '0.bias': expected in {ONE}, found in '{THREE}'"],
    ),
    (
        "tensor dropped",
        edit(drop),
        "changed",
        [f"{INDEX}: tensor '0.bias': missing", f"{INDEX}: tensor 'more': not planned"],
    ),
    (
        "total size",
        edit(lambda table: table["metadata"].update(total_size=7)),
        "changed",
        [f"{INDEX}: metadata: expected {{'total_size': 1096040}}, found {{'total_size': 7}}"],
    ),
    (
        "written otherwise",
        lambda folder: (folder / INDEX).write_text(
            json.dumps(json.loads((folder / INDEX).read_text()))
        ),
        "changed",
        [f"{INDEX}: the same entries, but written otherwise"],
    ),
    (
        "no JSON",
        lambda folder: (folder / INDEX).write_text("[]"),
        "changed",
        [f"{INDEX}: malformed index: expected weight_map: tensor name -> shard's file name"],
    ),
]


@pytest.mark.parametrize(
    ("happen", "outcome", "lines"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_what_happens_to_a_folder_is_found_and_named(
    zeroinit: Command,
    net: Path,
    happen: Callable[[Path], object],
    outcome: str,
    lines: list[str],
) -> None:
    happen(net)
    told = "".join(f"  {outcome}: {line}\n" for line in lines)
    result = zeroinit("verify", "net", "--jobs", "1")
    assert (result.code, result.out) == (1, f"{outcome}: net\n{told}")
    held = zeroinit("verify", "net", "--source", "net.yaml", "--max-shard-size", "600KB")
    assert (held.code, held.out) == (result.code, result.out)
    hashed = zeroinit("verify", "net", "--hash-only")
    assert hashed.code == 1
    assert hashed.out.startswith(f"{outcome}: net\n  {outcome}: {lines[0].partition(':')[0]}: ")


def test_a_whole_folder_holds_in_every_way(zeroinit: Command, net: Path) -> None:
    every = "the source gives the locked plan, the plan gives the locked bytes, "
    for path in ("net", f"net/{TWO}", f"net/{INDEX}", "net/zeroinit.lock"):
        assert zeroinit("verify", path).out == f"ok: net ({every}all 4 files have them)\n"
    assert zeroinit("verify", "net", "--jobs", "2").code == 0
    hashed = zeroinit("verify", "net", "--hash-only")
    assert hashed.out == "ok: net (all 4 files have the locked digests)\n"
    held = zeroinit("verify", "net", "--source", "net.yaml", "--max-shard-size", "600KB")
    assert held.out == "ok: net (all 4 files have the bytes that the source gives)\n"


def test_hash_only_needs_no_torch_and_no_numpy(net: Path) -> None:
    assert imported("verify", "net", "--hash-only", cwd=net.parent) <= COMMAND


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_a_flipped_bit_is_found_in_its_tensor(zeroinit: Command, net: Path, jobs: str) -> None:
    flip(net)
    result = zeroinit("verify", "net", "--jobs", jobs)
    assert (result.code, result.out) == (
        1,
        "changed: net\n"
        f"  changed: {TWO}: tensor '2.weight': 1 of 120000 elements differ, first at [399, 299]: "
        "expected 0.044194173, found -0.044194173\n"
        f"  probably: {TWO}: bit rot: 1 bit of the file is flipped, in tensor '2.weight'\n"
        "    hint: copy the file again; if it happens again, check the disk and the memory\n",
    )


def test_missing_files_can_be_ignored_one_by_one(zeroinit: Command, net: Path) -> None:
    for name in SHARDS:
        (net / name).unlink()
    result = zeroinit("verify", "net", "--ignore-missing")
    assert (result.code, result.out) == (
        0,
        "ok: net (the source gives the locked plan, the plan gives the locked bytes, "
        "1 of 4 files have them)\n",
    )
    hashed = zeroinit("verify", "net", "--ignore-missing", "--hash-only")
    assert (hashed.code, hashed.out) == (0, "ok: net (1 of 4 files have the locked digests)\n")


def test_a_spec_that_has_changed_drifts(zeroinit: Command, net: Path) -> None:
    path = net.parent / "net.yaml"
    path.write_text(path.read_text().replace("Linear: 10]", "Linear: 11]"))
    result = zeroinit("verify", "net")
    assert result.code == 1
    assert result.out.startswith(
        "drifted, unreproduced: net\n  drifted: the spec ../net.yaml has changed: locked "
    )
    lines = result.out.splitlines()
    assert any(line.startswith(f"  unreproduced: {THREE}: size: locked ") for line in lines), (
        result.out
    )
    assert not any(line.startswith("  changed") for line in lines)


def edited(net: Path, old: str, new: str) -> None:
    lock = net / "zeroinit.lock"
    text = lock.read_text()
    assert old in text
    lock.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            'path = "./"',
            'path = "other/"',
            f"the shards must be {ONE} to {THREE} and {INDEX}",
        ),
        ('path = "./"', 'path = "a"', "a folder has shards, and a file has none"),
        (ONE, "model-00001-of-00002.safetensors", f"the shards must be {ONE} to {THREE} and"),
        (ONE, f"../{ONE}", "must be a plain relative path that stays within the lock's folder"),
        (
            ', max-shard-size = "600KB"',
            "",
            "shards are of a max-shard-size, which is not among the options",
        ),
        ("600KB", "lots", "not a size ('lots') in --max-shard-size"),
        ("600KB", "600000", "max-shard-size is written 600KB in a lock"),
        ("600KB", "0.6 MB", "max-shard-size is written 600KB in a lock"),
        ("size = 600", "size = 700", "size is not the sum of the shards' sizes"),
    ],
)
def test_a_lock_whose_shards_do_not_fit_together_is_refused(
    zeroinit: Command, net: Path, old: str, new: str, message: str
) -> None:
    if old.startswith("size"):
        text = (net / "zeroinit.lock").read_text()
        size = text.split('0001-of-00003.safetensors"\n')[1].split("size = ")[1].split("\n")[0]
        old, new = f"size = {size}", f"size = {int(size) + 1}"
    edited(net, old, new)
    result = zeroinit("verify", "net", "--hash-only")
    assert (result.code, result.out) == (2, "")
    assert message in result.err, result.err


def test_a_digest_in_the_lock_cannot_be_changed_alone(zeroinit: Command, net: Path) -> None:
    lock = net / "zeroinit.lock"
    lines = lock.read_text().splitlines(keepends=True)
    digests = [at for at, line in enumerate(lines) if line.startswith("sha256 = ")]
    for at in digests:
        changed = [*lines]
        changed[at] = f'sha256 = "{"0" * 64}"\n'
        lock.write_text("".join(changed))
        result = zeroinit("verify", "net", "--hash-only")
        assert result.code == 2
        assert "checkpoint.0: sha256 is not that of the shards' list" in result.err


def test_a_shard_that_is_a_link_out_of_the_folder_is_refused(zeroinit: Command, net: Path) -> None:
    outside = net.parent / "outside"
    (net / ONE).rename(outside)
    (net / ONE).symlink_to(outside)
    result = zeroinit("verify", "net")
    assert result.code == 2
    assert "a checkpoint's path leaves the lock's folder" in result.err
    assert zeroinit("verify", "net", "--hash-only").code == 0


def test_shards_against_a_source_are_in_a_folder(zeroinit: Command, net: Path) -> None:
    result = zeroinit("verify", f"net/{ONE}", "--source", "net.yaml", "--max-shard-size", "600KB")
    assert (result.code, result.err) == (
        2,
        "error: shards are in a folder in --max-shard-size\n"
        "  expected: the folder that holds them\n"
        f"  found: net/{ONE}\n",
    )
