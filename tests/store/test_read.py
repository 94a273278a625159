"""Sharded folders: what fits is read, and no index leads anywhere else."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.stored_files import save, save_index
from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.store.read import DataReader, read_checkpoint

ONE = ("F32", [1], b"\0\0\x80\x3f")
ZERO = ("F32", [1], bytes(4))
INDEX = "model.safetensors.index.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two shards and their index."""
    folder = tmp_path / "folder"
    folder.mkdir()
    save(folder / "a.safetensors", {"x": ONE, "y": ZERO}, {"format": "pt"})
    save(folder / "b.safetensors", {"z": ONE}, {"format": "pt"})
    weight_map = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
    save_index(folder / INDEX, weight_map, metadata={"total_size": 12})
    return folder


@pytest.mark.parametrize("name", ["", INDEX])
def test_shards_are_read_by_folder_and_by_index(folder: Path, name: str) -> None:
    checkpoint = read_checkpoint(folder / name)
    assert [tensor.info.name for tensor in checkpoint.tensors] == ["x", "y", "z"]
    assert (checkpoint.nbytes, checkpoint.metadata) == (12, {"format": "pt"})
    assert checkpoint.index_metadata == {"total_size": "12"}
    data = bytearray(4)
    with DataReader(checkpoint) as reader:
        for tensor, expected in zip(checkpoint.tensors, (ONE, ZERO, ONE), strict=True):
            reader.read(tensor, 0, memoryview(data))
            assert bytes(data) == expected[2]


def refusal(path: Path) -> str:
    with pytest.raises((CheckpointError, InputError)) as caught:
        read_checkpoint(path)
    return str(caught.value).replace(str(path), "FOLDER")


@pytest.mark.parametrize(
    "name",
    ["../b.safetensors", "/etc/passwd", "sub/b.safetensors", "..", "", "a\\b", "C:b", "\x1b"],
)
def test_a_shard_elsewhere_is_refused(folder: Path, name: str) -> None:
    save_index(folder / INDEX, {"x": "a.safetensors", "z": name})
    assert refusal(folder) == (
        f"error: a shard's name leads elsewhere in FOLDER/{INDEX}\n"
        "  expected: the plain name of a file beside the index\n"
        f"  found: {name!r}"
    )


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "b.safetensors").rename(folder.parent / "b.safetensors")
    (folder / "b.safetensors").symlink_to(folder.parent / "b.safetensors")
    assert refusal(folder) == (
        "error: a shard is a link that leads elsewhere in FOLDER/b.safetensors\n"
        "  expected: a file in FOLDER\n"
        f"  found: {folder.parent / 'b.safetensors'}"
    )


def test_links_into_the_folder_of_the_index_itself_are_followed(folder: Path) -> None:
    """As the Hub's cache keeps them: snapshots of links into one folder of blobs."""
    snapshot = folder.parent / "snapshot"
    snapshot.mkdir()
    for name in ("a.safetensors", "b.safetensors", INDEX):
        (snapshot / name).symlink_to(folder / name)
    assert len(read_checkpoint(snapshot).tensors) == 3


MAP = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
DISAGREEMENTS: list[tuple[dict[str, str], str]] = [
    (
        {**MAP, "w": "a.safetensors"},
        f"error: 1 tensor of the index is in no shard in FOLDER/{INDEX}\n  found: 'w'",
    ),
    (
        {"x": "a.safetensors", "z": "b.safetensors"},
        f"error: 1 tensor is in a shard but not in the index in FOLDER/{INDEX}\n"
        "  found: 'y' in a.safetensors",
    ),
    (
        {**MAP, "y": "b.safetensors"},
        "error: a tensor is in another shard than the index says in "
        f"FOLDER/{INDEX}: tensor 'y'\n  expected: b.safetensors\n  found: a.safetensors",
    ),
    (
        {**MAP, "z": "c.safetensors"},
        f"error: a shard is missing in FOLDER/{INDEX}\n  found: no c.safetensors",
    ),
]


@pytest.mark.parametrize(("weight_map", "message"), DISAGREEMENTS)
def test_an_index_that_its_shards_do_not_bear_out_is_refused(
    folder: Path, weight_map: dict[str, str], message: str
) -> None:
    save_index(folder / INDEX, weight_map)
    assert refusal(folder) == message


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    save(folder / "b.safetensors", {"z": ONE, "x": ONE})
    assert refusal(folder) == (
        f"error: a tensor is in two shards in FOLDER/{INDEX}\n"
        "  found: 'x' in a.safetensors and b.safetensors"
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"weight_map": {}}',
        '{"weight_map": []}',
        '{"weight_map": {"x": 1}}',
        '{"weight_map": {"x": "a", "x": "b"}}',
        '{"weight_map": {"x": "\\ud800"}}',
        '{"weight_map": {"x": "a"}, "metadata": 1}',
        '{"weight_map": ' + "9" * 5000 + "}",
    ],
    ids=range(11),
)
def test_a_malformed_index_is_ordinary_bad_input(folder: Path, text: str) -> None:
    (folder / INDEX).write_text(text)
    assert refusal(folder).startswith(f"error: malformed index in FOLDER/{INDEX}\n  expected: ")


def test_a_folder_must_say_which_checkpoint_it_means(folder: Path) -> None:
    (folder / INDEX).unlink()
    assert refusal(folder) == (
        "error: 2 files that could be meant in FOLDER\n  found: a.safetensors, b.safetensors\n\n"
        "hint: name one of them"
    )
    (folder / "a.safetensors").unlink()
    assert len(read_checkpoint(folder).tensors) == 1
    (folder / "b.safetensors").unlink()
    assert refusal(folder) == ("error: no *.safetensors and no *.safetensors.index.json in FOLDER")


def test_a_shard_that_is_a_pipe_does_not_hang(folder: Path) -> None:
    import os

    (folder / "b.safetensors").unlink()
    os.mkfifo(folder / "b.safetensors")
    assert refusal(folder) == "error: not a regular file in FOLDER/b.safetensors"


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_file_that_changes_while_it_is_read_is_an_ordinary_error(
    folder: Path, change: Any
) -> None:
    checkpoint = read_checkpoint(folder)
    path = folder / "b.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with DataReader(checkpoint) as reader, pytest.raises(CheckpointError) as caught:
        reader.read(checkpoint.tensors[2], 0, memoryview(bytearray(4)))
    assert str(caught.value) == f"error: the file changed while it was read in {path}"


def test_an_index_of_the_librarys_own_making_is_read(tmp_path: Path) -> None:
    """As huggingface_hub writes it: indented, sorted, metadata first."""
    save(tmp_path / "model-00001-of-00001.safetensors", {"x": ONE}, {"format": "pt"})
    index = {"metadata": {"total_size": 4}, "weight_map": {"x": "model-00001-of-00001.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    assert [each.info.name for each in read_checkpoint(tmp_path).tensors] == ["x"]
