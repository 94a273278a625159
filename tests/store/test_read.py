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


Facts = tuple[str | None, str | None, str | None, str | None]


def refusal(path: Path) -> Facts:
    """Problem, place, what was expected and what was found, with FOLDER for the path."""
    with pytest.raises((CheckpointError, InputError)) as caught:
        read_checkpoint(path)
    error = caught.value
    assert error.where is not None
    where = error.where.replace(str(path), "FOLDER")
    expected = error.expected and error.expected.replace(str(path), "FOLDER")
    return error.problem, where, expected, error.found


@pytest.mark.parametrize(
    "name",
    ["../b.safetensors", "/etc/passwd", "sub/b.safetensors", "..", "", "a\\b", "C:b", "\x1b"],
)
def test_a_shard_elsewhere_is_refused(folder: Path, name: str) -> None:
    save_index(folder / INDEX, {"x": "a.safetensors", "z": name})
    assert refusal(folder) == (
        "a shard's name leads elsewhere",
        f"FOLDER/{INDEX}",
        "the plain name of a file beside the index",
        repr(name),
    )


def test_a_link_out_of_the_folder_is_refused(folder: Path) -> None:
    (folder / "b.safetensors").rename(folder.parent / "b.safetensors")
    (folder / "b.safetensors").symlink_to(folder.parent / "b.safetensors")
    assert refusal(folder) == (
        "a shard is a link that leads elsewhere",
        "FOLDER/b.safetensors",
        "a file in FOLDER",
        str(folder.parent / "b.safetensors"),
    )


def test_links_into_the_folder_of_the_index_itself_are_followed(folder: Path) -> None:
    """As the Hub's cache keeps them: snapshots of links into one folder of blobs."""
    snapshot = folder.parent / "snapshot"
    snapshot.mkdir()
    for name in ("a.safetensors", "b.safetensors", INDEX):
        (snapshot / name).symlink_to(folder / name)
    assert len(read_checkpoint(snapshot).tensors) == 3


MAP = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}
DISAGREEMENTS: list[tuple[dict[str, str], Facts]] = [
    (
        {**MAP, "w": "a.safetensors"},
        ("1 tensor of the index is in no shard", f"FOLDER/{INDEX}", None, "'w'"),
    ),
    (
        {"x": "a.safetensors", "z": "b.safetensors"},
        (
            "1 tensor is in a shard but not in the index",
            f"FOLDER/{INDEX}",
            None,
            "'y' in a.safetensors",
        ),
    ),
    (
        {**MAP, "y": "b.safetensors"},
        (
            "1 tensor is elsewhere than the index says",
            f"FOLDER/{INDEX}",
            None,
            "'y' in a.safetensors, not b.safetensors",
        ),
    ),
    (
        {**MAP, "z": "c.safetensors"},
        ("a shard is missing", f"FOLDER/{INDEX}", None, "no c.safetensors"),
    ),
]


@pytest.mark.parametrize(("weight_map", "facts"), DISAGREEMENTS)
def test_an_index_that_its_shards_do_not_bear_out_is_refused(
    folder: Path, weight_map: dict[str, str], facts: Facts
) -> None:
    save_index(folder / INDEX, weight_map)
    assert refusal(folder) == facts


def test_a_tensor_in_two_shards_is_refused(folder: Path) -> None:
    save(folder / "b.safetensors", {"z": ONE, "x": ONE})
    assert refusal(folder) == (
        "a tensor is in two shards",
        f"FOLDER/{INDEX}",
        None,
        "'x' in a.safetensors and b.safetensors",
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
    problem, where, expected, _ = refusal(folder)
    assert (problem, where) == ("malformed index", f"FOLDER/{INDEX}")
    assert expected


def test_a_folder_must_say_which_checkpoint_it_means(folder: Path) -> None:
    (folder / INDEX).unlink()
    assert refusal(folder) == (
        "2 files that could be meant",
        "FOLDER",
        None,
        "a.safetensors, b.safetensors",
    )
    (folder / "a.safetensors").unlink()
    assert len(read_checkpoint(folder).tensors) == 1
    (folder / "b.safetensors").unlink()
    problem = "no *.safetensors and no *.safetensors.index.json"
    assert refusal(folder) == (problem, "FOLDER", None, None)


def test_a_shard_that_is_a_pipe_does_not_hang(folder: Path) -> None:
    import os

    (folder / "b.safetensors").unlink()
    os.mkfifo(folder / "b.safetensors")
    assert refusal(folder) == ("not a regular file", "FOLDER/b.safetensors", None, None)


@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0"])
def test_a_file_that_changes_while_it_is_read_is_an_ordinary_error(
    folder: Path, change: Any
) -> None:
    checkpoint = read_checkpoint(folder)
    path = folder / "b.safetensors"
    path.write_bytes(change(path.read_bytes()))
    with DataReader(checkpoint) as reader, pytest.raises(CheckpointError) as caught:
        reader.read(checkpoint.tensors[2], 0, memoryview(bytearray(4)))
    assert caught.value.problem == "the file changed while it was read"
    assert caught.value.where == str(path)


def test_an_index_of_the_librarys_own_making_is_read(tmp_path: Path) -> None:
    """As huggingface_hub writes it: indented, sorted, metadata first."""
    save(tmp_path / "model-00001-of-00001.safetensors", {"x": ONE}, {"format": "pt"})
    index = {"metadata": {"total_size": 4}, "weight_map": {"x": "model-00001-of-00001.safetensors"}}
    (tmp_path / INDEX).write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")
    assert [each.info.name for each in read_checkpoint(tmp_path).tensors] == ["x"]


def test_an_index_is_known_by_what_is_in_it(folder: Path) -> None:
    """As diffusers calls that of its half precision; a prefix or another end is no other file."""
    for name in ("diffusion.safetensors.index.fp16.json", "model.json", "index"):
        (folder / INDEX).rename(folder / name)
        assert len(read_checkpoint(folder / name).files) == 2
        (folder / name).rename(folder / INDEX)
    (folder / INDEX).rename(folder / "diffusion.safetensors.index.fp16.json")
    assert len(read_checkpoint(folder).files) == 2


@pytest.mark.parametrize(
    ("weight_map", "oddity"),
    [
        ({**MAP, "w": "a.safetensors"}, "1 tensor of the index is in no shard: 'w'"),
        (
            {"x": "a.safetensors", "z": "b.safetensors"},
            "1 tensor is in a shard but not in the index: 'y' in a.safetensors",
        ),
        (
            {**MAP, "y": "b.safetensors"},
            "1 tensor is elsewhere than the index says: 'y' in a.safetensors, not b.safetensors",
        ),
    ],
)
def test_the_tolerant_read_what_is_there_all_the_same(
    folder: Path, weight_map: dict[str, str], oddity: str
) -> None:
    save_index(folder / INDEX, weight_map)
    found = read_checkpoint(folder, tolerant=True)
    assert [tensor.info.name for tensor in found.tensors] == ["x", "y", "z"]
    assert found.oddities == (f"{folder / INDEX}: {oddity}",)


def test_a_whole_checkpoint_beside_an_index_is_told_of(folder: Path) -> None:
    save(folder / INDEX.removesuffix(".index.json"), {"other": ONE})
    found = read_checkpoint(folder)
    assert (len(found.tensors), len(found.oddities)) == (3, 1)
    assert "transformers would load" in found.oddities[0]
