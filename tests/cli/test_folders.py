"""`generate -o DIR/`: one file or shards, what is refused, replaced and cleared."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import safetensors.torch
import tomlkit
from huggingface_hub import load_torch_model

import zeroinit_cli
from tests.cli.command import Command
from zeroinit_cli import atomic
from zeroinit_cli.commands import exchange
from zeroinit_cli.lock import read as lock_reading
from zeroinit_cli.lock import read_lock

SUMS = "model.safetensors.sha256"
INDEX = "model.safetensors.index.json"
SHARDS = [f"model-{number:05d}-of-00003.safetensors" for number in (1, 2, 3)]
FILES = [*SHARDS, INDEX, SUMS, "zeroinit.lock"]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_it_leaves_shards_index_sums_and_lock_and_nothing_else(
    zeroinit: Command, net: Path
) -> None:
    assert names(net) == sorted(FILES)
    listed = subprocess.run(
        ["sha256sum", "-c", SUMS], cwd=net, capture_output=True, text=True, check=False
    )
    assert (listed.returncode, listed.stdout) == (
        0,
        "".join(f"{name}: OK\n" for name in [*SHARDS, INDEX]),
    )
    [entry] = tomlkit.parse((net / "zeroinit.lock").read_text()).unwrap()["checkpoint"]
    assert (entry["path"], entry["source"]) == ("./", "../net.yaml")
    assert entry["options"]["max-shard-size"] == "600KB"
    assert entry["sha256"] == hashlib.sha256((net / SUMS).read_bytes()).hexdigest()
    assert entry["shard"] == [
        {
            "path": name,
            "sha256": hashlib.sha256((net / name).read_bytes()).hexdigest(),
            "size": (net / name).stat().st_size,
        }
        for name in [*SHARDS, INDEX]
    ]
    assert entry["size"] == sum(shard["size"] for shard in entry["shard"])


def test_the_summary_lists_every_file(zeroinit: Command, spec: Path, tmp_path: Path) -> None:
    result = zeroinit("generate", "net.yaml", "-o", "net/", "--max-shard-size", "600KB")
    lines = (tmp_path / "net" / SUMS).read_text().replace("  ", "  net/")
    size = sum((tmp_path / "net" / name).stat().st_size for name in [*SHARDS, INDEX])
    assert (result.code, result.out) == (0, lines)
    assert result.err == (
        f"net written: 8 tensors, {size:,} bytes in 3 shards and their index, "
        "recorded in net/zeroinit.lock\n"
    )
    digest = zeroinit("digest", "net.yaml", "--max-shard-size", "600000", "--jobs", "2")
    assert digest.out == (tmp_path / "net" / SUMS).read_text()
    as_json = zeroinit("digest", "net.yaml", "--max-shard-size", "0.6MB", "--json").json
    again = zeroinit("generate", "net.yaml", "-o", "net", "--max-shard-size", "600 kb", "--json")
    assert again.json["already_there"]
    assert again.json["sha256"] == as_json["sha256"]
    assert again.json["files"] == [
        {**each, "path": f"net/{each['path']}"} for each in as_json["files"]
    ]


def test_the_folder_loads_with_the_hubs_loader(net: Path) -> None:
    model = zeroinit_cli.build(net.parent / "net.yaml")
    result = load_torch_model(model, net, strict=True)
    assert (result.missing_keys, result.unexpected_keys) == ([], [])  # type: ignore[attr-defined]  # untyped
    expected = zeroinit_cli.init_(zeroinit_cli.build(net.parent / "net.yaml"))
    for name, value in expected.state_dict().items():
        assert value.equal(model.state_dict()[name]), name


def test_a_folder_of_one_file_has_no_index_and_loads_too(
    zeroinit: Command, spec: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "one"
    for options in ((), ("--max-shard-size", "5GB")):
        result = zeroinit("generate", "net.yaml", "-o", "one/", *options)
        assert result.code == 0, result.err
        assert names(folder) == ["model.safetensors", SUMS, "zeroinit.lock"]
        [entry] = read_lock(folder / "zeroinit.lock").checkpoint
        assert (entry.path, entry.shard) == ("model.safetensors", ())
        assert zeroinit("verify", "one").code == 0
        held = zeroinit("verify", "one", "--source", "net.yaml", *options)
        assert held.out == "ok: one (the file has the bytes that the source gives)\n"
    single = zeroinit("generate", "net.yaml", "-o", "x.safetensors", "--no-lock")
    assert single.out[:64] == result.out[:64] == zeroinit("digest", "net.yaml").out.strip()
    model = zeroinit_cli.build(spec)
    load_torch_model(model, folder, strict=True)
    saved = safetensors.torch.load_file(folder / "model.safetensors")
    assert all(value.equal(saved[name]) for name, value in model.state_dict().items())


def test_the_lock_may_lie_above_the_folder(zeroinit: Command, spec: Path, tmp_path: Path) -> None:
    arguments = ("--max-shard-size", "600KB", "--lock", "zeroinit.lock")
    assert zeroinit("generate", "net.yaml", "-o", "sub/", *arguments).code == 0
    assert zeroinit("generate", "net.yaml", "-o", "a.safetensors").code == 0
    assert names(tmp_path / "sub") == sorted(set(FILES) - {"zeroinit.lock"})
    entries = read_lock(tmp_path / "zeroinit.lock").checkpoint
    assert [entry.path for entry in entries] == ["a.safetensors", "sub/"]
    assert [shard.path for shard in entries[1].shard] == [
        f"sub/{name}" for name in [*SHARDS, INDEX]
    ]
    result = zeroinit("verify", "--hash-only")
    assert (result.code, result.out) == (
        0,
        "ok: a.safetensors (the file has the locked digest)\n"
        "ok: sub (all 4 files have the locked digests)\n",
    )
    for path in ("sub", "sub/"):
        assert zeroinit("verify", path, "--hash-only").out.startswith("ok: sub (")


def test_what_is_missing_or_wrong_beside_is_mended_without_force(
    zeroinit: Command, net: Path
) -> None:
    expected = contents(net)
    before = (net / SHARDS[0]).stat()
    (net / SHARDS[1]).unlink()
    (net / INDEX).unlink()
    (net / SUMS).write_text("wrong")
    (net / "zeroinit.lock").unlink()
    result = zeroinit("generate", "net.yaml", "-o", "net", "--max-shard-size", "600KB")
    assert result.code == 0, result.err
    assert contents(net) == expected
    after = (net / SHARDS[0]).stat()
    assert (after.st_ino, after.st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_other_bytes_are_replaced_with_force_alone(zeroinit: Command, net: Path) -> None:
    expected = contents(net)
    (net / SHARDS[0]).write_bytes(b"mine")
    data = bytearray(expected[SHARDS[1]])
    data[-1] ^= 1
    (net / SHARDS[1]).write_bytes(data)
    (net / SHARDS[1]).chmod(0o600)
    there = contents(net)
    arguments = ("generate", "net.yaml", "-o", "net", "--max-shard-size", "600KB")
    result = zeroinit(*arguments)
    assert (result.code, result.err) == (
        2,
        "error: other files are there in net\n"
        "  expected: no files, or those of this source and these options\n"
        f"  found: {SHARDS[0]}, {SHARDS[1]}\n"
        "\n"
        "hint: --force replaces them\n",
    )
    assert contents(net) == there
    assert zeroinit(*arguments, "--force").code == 0
    assert contents(net) == expected
    assert (net / SHARDS[1]).stat().st_mode & 0o777 == 0o600
    assert zeroinit("verify", "net").code == 0


@pytest.mark.parametrize("size", ["900KB", "5GB", "100KB"])
def test_shards_of_an_earlier_run_go_with_force(zeroinit: Command, net: Path, size: str) -> None:
    arguments = ("generate", "net.yaml", "-o", "net/", "--max-shard-size", size)
    before = contents(net)
    result = zeroinit(*arguments)
    assert (result.code, result.err) == (
        2,
        "error: an earlier checkpoint is there in net\n"
        "  expected: no files, or those of this source and these options\n"
        f"  found: {', '.join(SHARDS)}{f', {INDEX}' * (size == '5GB')}\n"
        "\n"
        "hint: --force removes what the lock says of it\n",
    )
    assert contents(net) == before
    assert zeroinit(*arguments, "--force").code == 0
    [entry] = read_lock(net / "zeroinit.lock").checkpoint
    assert names(net) == sorted([*entry.files, SUMS, "zeroinit.lock"])
    assert zeroinit("verify", "net").code == 0
    again = ("generate", "net.yaml", "-o", "net/", "--max-shard-size", "600KB", "--force")
    assert zeroinit(*again).code == 0
    assert contents(net) == before


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_files_that_no_lock_records_are_named_and_left_alone(
    zeroinit: Command, spec: Path, tmp_path: Path, force: tuple[str, ...]
) -> None:
    folder = tmp_path / "net"
    folder.mkdir()
    for name in ("model.safetensors", "model-00007-of-00009.safetensors", "other.safetensors"):
        (folder / name).write_bytes(b"mine")
    result = zeroinit("generate", "net.yaml", "-o", "net/", "--max-shard-size", "600KB", *force)
    assert (result.code, result.err) == (
        2,
        "error: a loader would take files of another checkpoint for parts of this one in net\n"
        "  found: model-00007-of-00009.safetensors, model.safetensors\n"
        "\n"
        "hint: remove them; no lock says that they are ours to remove\n",
    )
    assert len(names(folder)) == 3


@pytest.mark.parametrize(
    ("size", "found"),
    [
        *((text, f"'{text}'") for text in ("", "GB", "5XB", "5G", "-5GB", "0", "0.0001KB", "1e9")),
        ("1.5", "'1.5'"),
        ("9" * 40, f"'{'9' * 40}'"),
        ("\N{FULLWIDTH DIGIT FIVE}GB", "'\N{FULLWIDTH DIGIT FIVE}GB'"),
    ],
)
def test_what_is_no_size_is_refused(zeroinit: Command, size: str, found: str) -> None:
    for command in ("generate", "digest", "plan"):
        output = ("-o", "x/") if command == "generate" else ()
        result = zeroinit(command, "resnet18", "--max-shard-size", size, *output)
        assert (result.code, result.err) == (
            2,
            "error: not a size in --max-shard-size\n"
            "  expected: a whole number of bytes, at least 1, or of KB, MB, GB, TB, such as 5GB\n"
            f"  found: {found}\n",
        )


def test_powers_of_1024_are_told_apart(zeroinit: Command) -> None:
    result = zeroinit("digest", "resnet18", "--max-shard-size", "5GiB")
    assert result.err.endswith(
        "\nhint: the units are powers of 1000; for those of 1024 give bytes\n"
    )


@pytest.mark.parametrize("jobs", ["0", "-1"])
def test_a_number_of_processes_that_can_do_nothing_is_refused(zeroinit: Command, jobs: str) -> None:
    for arguments in (("generate", "resnet18", "-o", "x"), ("digest", "resnet18"), ("verify",)):
        result = zeroinit(*arguments, "--jobs", jobs)
        assert (result.code, result.err) == (
            2,
            "error: too few processes in --jobs\n"
            "  expected: a whole number, at least 1\n"
            f"  found: {jobs}\n",
        )


def test_shards_need_a_folder(zeroinit: Command, tmp_path: Path) -> None:
    result = zeroinit("generate", "resnet18", "-o", "my net.safetensors", "--max-shard-size", "1MB")
    assert (result.code, result.err) == (
        2,
        "error: shards need a folder in --output\n"
        "  expected: a folder, or a name that ends in /\n"
        "  found: my net.safetensors\n"
        "\n"
        "hint: -o 'my net'/\n",
    )
    assert names(tmp_path) == []


def test_a_folder_that_was_made_goes_with_what_failed(zeroinit: Command, tmp_path: Path) -> None:
    for arguments in (("no_such_model",), ("resnet18", "--set", "zero=1")):
        assert zeroinit("generate", *arguments, "-o", "net/").code == 2
        assert names(tmp_path) == []
    assert zeroinit("generate", "resnet18", "-o", "no/such/").err == (
        "error: no such folder in no\n\nhint: mkdir -p no\n"
    )


def test_more_shards_than_a_lock_can_hold_are_refused_before_the_work(
    zeroinit: Command, spec: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock_reading, "MOST_LOCK_BYTES", 1500)
    arguments = ("generate", "net.yaml", "-o", "net/", "--max-shard-size")
    result = zeroinit(*arguments, "1KB")
    message = "error: too large for a lock in net/zeroinit.lock\n  expected: at most 1500 bytes\n"
    assert (result.code, result.err.startswith(message)) == (2, True), result.err
    assert names(tmp_path) == ["net.yaml"]
    assert zeroinit(*arguments, "1MB").code == 0


@pytest.mark.parametrize("lock", ["net/model.safetensors.index.json", f"net/{SUMS}"])
def test_the_lock_is_none_of_the_checkpoints_files(
    zeroinit: Command, tmp_path: Path, lock: str
) -> None:
    result = zeroinit("generate", "resnet18", "-o", "net/", "--lock", lock)
    assert (result.code, result.err) == (
        2,
        "error: the lock would replace the checkpoint or its .sha256 in --lock\n"
        "  expected: a path of its own, such as zeroinit.lock\n"
        f"  found: {lock}\n",
    )
    assert names(tmp_path) == []


@pytest.mark.parametrize("at", range(4))
@pytest.mark.parametrize("old", ["nothing", "other bytes", "another split"])
def test_stopped_between_any_two_moves_the_next_run_mends_it(
    zeroinit: Command,
    net: Path,
    monkeypatch: pytest.MonkeyPatch,
    at: int,
    old: str,
) -> None:
    """While files are exchanged there is no index, so no loader takes a mixture for a whole."""
    arguments = ("generate", "net.yaml", "-o", "net/", "--max-shard-size", "600KB")
    options = ("--policy", "paper") if old != "another split" else ()
    size = "600KB" if old != "another split" else "900KB"
    if old == "nothing":
        shutil.rmtree(net)
    else:
        other = ("generate", "net.yaml", "-o", "net/", "--max-shard-size", size, "--force")
        assert zeroinit(*other, *options).code == 0
    before = contents(net) if net.exists() else {}
    real, count = atomic.move, iter(range(100))

    def move(source: Path, target: Path) -> None:
        if next(count) == at:
            raise OSError(5, "pulled out")
        real(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(exchange, "move", move)
        result = zeroinit(*arguments, *(("--force",) if old != "nothing" else ()))
    assert result.code == 2
    untouched = (net / INDEX).exists()
    if untouched:
        assert contents(net) == before
    if net.exists():
        assert not [name for name in names(net) if name.startswith(".")]
    if old != "nothing":
        assert zeroinit("verify", "net", "--hash-only").code == (0 if untouched else 1)
        assert zeroinit(*arguments, "--force").code == 0
    else:
        assert zeroinit(*arguments).code == 0
    assert zeroinit("verify", "net").code == 0
    assert names(net) == sorted(FILES)


def test_a_file_that_cannot_be_written_is_named_by_its_own_place(tmp_path: Path) -> None:
    from tests.plans import plan, tensor
    from zeroinit_cli.errors import OutputError
    from zeroinit_cli.progress import no_advance
    from zeroinit_cli.store.shards import PlannedFile

    path = tmp_path / ".model.safetensors.zeroinit-stage" / SHARDS[0]
    with pytest.raises(OutputError) as caught:
        exchange._write(PlannedFile(path=path, plan=plan(tensor("a", (2,)))), no_advance)
    assert caught.value.where == str(tmp_path / SHARDS[0])


def test_the_plan_tells_positions_and_the_option(zeroinit: Command, spec: Path) -> None:
    document = zeroinit("plan", "net.yaml", "--max-shard-size", "1500MB", "--json").json
    assert document["options"]["max-shard-size"] == "1500MB"
    assert document["digest"] == zeroinit("plan", "net.yaml", "--json").json["digest"]
    order = sorted(document["tensors"], key=lambda each: each["position"])
    assert [each["name"] for each in order] == list(zeroinit_cli.build(spec).state_dict())
    assert json.dumps(document)


INTERRUPTED = """
import os, sys
from zeroinit_cli.commands import exchange
from zeroinit_cli.__main__ import main
from zeroinit_cli.atomic import move

left = [int(sys.argv.pop(1))]

def interrupting(source, target):
    move(source, target)
    if source.name.startswith("model-00002") and left:
        os.kill(os.getpid(), left.pop())

exchange.move = interrupting
main()
"""


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=[pytest.mark.long])],
)
def test_interrupted_between_two_moves_all_files_are_exchanged_first(
    zeroinit: Command, net: Path, tmp_path: Path, number: int, code: int
) -> None:
    """Ctrl-C leaves the old files or the new ones; only a kill can leave some of both."""
    words = ("generate", "net.yaml", "-o", "net/", "--max-shard-size", "600KB", "--force")
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, str(int(number)), *words, "--policy", "paper"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    name = signal.Signals(number).name
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr == f"interrupted by {name}; no file is left half written\n"
    paper = zeroinit("digest", "net.yaml", "--max-shard-size", "600KB", "--policy", "paper").out
    found = [
        f"{hashlib.sha256((net / each).read_bytes()).hexdigest()}  {each}\n" for each in FILES[:4]
    ]
    assert "".join(found) == paper
    assert zeroinit(*words, "--policy", "paper").code == 0
    assert zeroinit("verify", "net").code == 0
    assert names(net) == sorted(FILES)
