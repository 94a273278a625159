"""The checkpoint that a path means: a file, an index of shards, or the one of them in a folder."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from zeroinit_cli.errors import CheckpointError, InputError
from zeroinit_cli.filenames import SUFFIX
from zeroinit_cli.files import read_part
from zeroinit_cli.store.index import parse_index
from zeroinit_cli.store.safetensors import PREFIX_BYTES
from zeroinit_cli.text import listed

_MOST_NAMED = 3


def in_folder(folder: Path) -> tuple[Path, tuple[str, ...]]:
    """Find a folder's one index, or its one checkpoint, and what is odd about the choice.

    Raises:
        InputError: the folder cannot be read.
        CheckpointError: it holds none, or several.
    """
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError("cannot read the folder", where=str(folder), found=reason) from error
    for found in (
        [name for name in names if _is_called_index(name)],
        [name for name in names if name.endswith(SUFFIX)],
    ):
        if len(found) == 1:
            return folder / found[0], tuple(_strays(folder, found[0], names))
        if found:
            raise CheckpointError(
                f"{len(found)} files that could be meant",
                where=str(folder),
                found=listed(found, _MOST_NAMED),
                hint="name one of them",
            )
    raise CheckpointError(f"no *{SUFFIX} and no *{SUFFIX}.index.json", where=str(folder))


def _strays(folder: Path, chosen: str, names: Sequence[str]) -> Iterator[str]:
    """Yield a warning of a whole checkpoint beside its own index, which loaders prefer."""
    whole = f"{chosen.partition(SUFFIX)[0]}{SUFFIX}"
    if chosen != whole and whole in names:
        yield (
            f"{folder / whole}: lies beside {chosen}, which is shown; transformers would load "
            f"{whole} alone"
        )


def is_index(path: Path) -> bool:
    """Tell whether a file is an index of shards, or is called like one and should be.

    Raises:
        InputError: it cannot be read.
    """
    if _is_called_index(path.name):
        return True
    opening = read_part(path, 0, PREFIX_BYTES + 1)
    if opening[PREFIX_BYTES:] == b"{" and not opening[PREFIX_BYTES - 1]:  # a checkpoint's length
        return False
    if not opening.lstrip().startswith(b"{"):
        return False
    with suppress(CheckpointError):
        parse_index(path)
        return True
    return path.suffix == ".json"


def _is_called_index(name: str) -> bool:
    """Tell whether a name is that of an index, such as `model.safetensors.index.fp16.json`."""
    return f"{SUFFIX}.index." in name and name.endswith(".json")
