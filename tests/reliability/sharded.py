"""Change a folder with shards, its lock and its sums in every way, and count what is accepted."""

import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from tests.reliability import folder_mutants, index_mutants, mutants
from tests.reliability.folder_mutants import Change, Files, in_each
from tests.reliability.rows import Row, check_control, some
from tests.reliability.shard_locks import folder_lock_rows, sums_rows
from tests.reliability.small import (
    FOLDER,
    OPTIONS,
    SHARD_SIZE,
    SIZES,
    SUMS,
    Judge,
    command,
    judges,
    planned_once,
)
from zeroinit_cli.filenames import INDEX

_PLACES = ("`verify`",)
"""Who looks at kinds of files; the others read the bytes that a path leads to, links too."""


def folder_classes(
    files: Files,
    generated: Callable[..., Files] = lambda *options: {},
) -> dict[str, Iterable[Change]]:
    """Ways to change a folder with shards.

    Args:
        files: of the folder.
        generated: gives what other options write.
    """
    return {
        "each byte of a shard's header, each bit": in_each(files, mutants.header_bytes),
        "each byte of the index, each bit": _index_alone(files, _every_bit),
        "5,000 random bits of the shards' data": folder_mutants.data_bits(files, 5_000),
        "each shorter length of a shard or the index": in_each(files, *2 * [mutants.truncations]),
        "more at the end of a shard or the index": in_each(files, *2 * [mutants.appends]),
        "each byte of a shard's header twice, or left out": in_each(files, mutants.insertions),
        "each byte of the index twice, or left out": _index_alone(files, _twice_or_left_out),
        "shards or the index missing, one or several": folder_mutants.missing(files),
        "two of the shards and the index swapped": folder_mutants.swapped(files),
        "a shard or the index a copy of another": folder_mutants.copied(files),
        "two tensors of a shard swapped, data or names": _within(files),
        "the data of two tensors swapped between shards": folder_mutants.data_across(files),
        "the names of two tensors swapped between shards": folder_mutants.names_across(files),
        "a tensor moved into another shard, soundly": folder_mutants.moved_across(files),
        "a tensor in two shards": folder_mutants.twice(files),
        "a shard's header that means the same": in_each(files, mutants.rewritten_headers),
        "another shape or type of as many bytes in a shard": in_each(files, mutants.reshaped),
        "an index that means the same": index_mutants.indexes_alike(files),
        "an index with other entries": index_mutants.indexes_otherwise(files),
        "the same tensors split by another size": _other_splits(files, generated),
        "a whole model.safetensors instead of the shards": _whole(files, generated),
        "shards of other options, all or one": _other_options(files, generated),
        "other files of the family beside the shards": _beside(files, generated),
    }


STRANGE = "a link, a folder or a pipe instead of a shard or the index"


def _index_alone(files: Files, change: folder_mutants.Mutants) -> Iterator[Change]:
    return ({INDEX: other} for other in change(files[INDEX]))


def _every_bit(data: bytes) -> Iterator[bytes]:
    return mutants.every_bit(data, len(data))


def _twice_or_left_out(data: bytes) -> Iterator[bytes]:
    return mutants.twice_or_left_out(data, len(data))


def _within(files: Files) -> Iterator[Change]:
    for change in (mutants.swapped_data, mutants.swapped_names, mutants.moved):
        yield from in_each(files, change)


def _instead(files: Files, others: Files) -> Change:
    return {**dict.fromkeys(files), **others}


def _other_splits(files: Files, generated: Callable[..., Files]) -> Iterator[Change]:
    """Alone in the folder, and beside those that should be there."""
    for size in SIZES:
        others = generated("--max-shard-size", size)
        yield _instead(files, others)
        yield others


def _whole(files: Files, generated: Callable[..., Files]) -> Iterator[Change]:
    """All other files gone, or some of them, or none."""
    yield generated()
    for gone in folder_mutants.missing(files):
        yield {**gone, **generated()}


def _other_options(files: Files, generated: Callable[..., Files]) -> Iterator[Change]:
    for options in OPTIONS:
        others = generated("--max-shard-size", SHARD_SIZE, *options)
        if others == files:
            continue  # options that say nothing of this net
        yield _instead(files, others)
        yield from (
            {name: others[name]} for name in files if others.get(name, files[name]) != files[name]
        )


def _beside(files: Files, generated: Callable[..., Files]) -> Iterator[Change]:
    [whole] = generated().values()
    yield from folder_mutants.beside(files, whole)


@lru_cache
def _generated(*options: str) -> Files:
    """What a run with other options writes, in a folder that is gone again."""
    code = command("generate", "net.yaml", "-o", "other/", "--no-lock", *options)
    if code:
        raise RuntimeError(f"generate ended with {code}")
    files = {path.name: path.read_bytes() for path in Path("other").iterdir() if path.name != SUMS}
    shutil.rmtree("other")
    return files


def folder_rows(files: Files, *, quick: bool) -> Iterator[Row]:
    """Every mutant of the folder before every judge."""
    judging = judges(folder=FOLDER)
    for name, changes in folder_classes(files, _generated).items():
        yield _judged(files, Row(name=name), some(changes, quick), judging)
    strange = folder_mutants.strange_files(files)
    # --hash-only answers by digest alone, also where a link leads to
    by_place = {name: judging[name] for name in _PLACES}
    yield _judged(files, Row(name=STRANGE), some(strange, quick), by_place)


def _judged(files: Files, row: Row, changes: list[Change], judging: Mapping[str, Judge]) -> Row:
    for change in changes:
        assert any(files.get(name) != content for name, content in change.items())
        with folder_mutants.changed(Path(FOLDER), files, change):
            row.tried += 1
            row.ask(judging)
    return row


def all_folder_rows(files: Files, *, quick: bool = False) -> Iterator[Row]:
    """The whole matrix, in the folder above that of the shards, which every judge accepts.

    Raises:
        RuntimeError: one does not, before or after.
    """
    judging = judges(folder=FOLDER)
    with planned_once():
        check_control(judging)
        yield from folder_rows(files, quick=quick)
        yield from folder_lock_rows(quick=quick)
        if shutil.which("sha256sum"):
            yield from sums_rows(quick=quick)
        check_control(judging)
