"""Completion in a shell. It runs at every key press, so it imports neither torch nor numpy."""

import os
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path

from zeroinit_cli.filenames import CONFIG
from zeroinit_cli.sources.timm import known_names

_SPECS = (".yaml", ".yml")
_CONFIGURED = "transformers:"
_CHECKPOINTS = (".safetensors", ".safetensors.index.json")
_MOST_ENTRIES = 2000  # read of a folder, so that no key press hangs


def among(choices: Iterable[str]) -> Callable[[str], list[str]]:
    """Return a completer for one of some words."""
    known = list(choices)

    def complete(incomplete: str) -> list[str]:
        return [word for word in known if word.startswith(incomplete)]

    return complete


def known_models() -> list[str]:
    """List the model names of the torchvision that zeroinit is tested with, sorted.

    They stand in models.txt, because torch takes seconds to import. A test compares the file with
    torchvision.
    """
    from importlib.resources import files  # which --help can do without, for its speed

    return files(__package__).joinpath("models.txt").read_text("ascii").split()


def model(incomplete: str) -> list[str]:
    """Complete a model's name; those of timm after its prefix, of which `timm/` suits all shells.

    In bash a colon ends a word, so that only what follows it is completed.
    """
    if incomplete.startswith(("timm:", "timm/")):
        prefix, start = incomplete[: len("timm:")], incomplete[len("timm:") :]
        return [f"{prefix}{name}" for name in known_names() if name.startswith(start)]
    return [name for name in known_models() if name.startswith(incomplete)]


def configuration(incomplete: str) -> list[str]:
    """Complete the path of a configuration after its prefix."""
    start = incomplete.removeprefix(_CONFIGURED)
    if start == incomplete:
        return []
    return sorted(f"{_CONFIGURED}{path}" for path in _files(start, (CONFIG,)))


def spec(incomplete: str) -> list[str]:
    """Complete the path of a spec."""
    return sorted(_files(incomplete, _SPECS))


def source(incomplete: str) -> list[str]:
    """Complete SOURCE: a model's name, or the path of a spec or of a configuration."""
    return [*model(incomplete), *configuration(incomplete), *spec(incomplete)]


def side(incomplete: str) -> list[str]:
    """Complete a side of `diff`: a SOURCE, or the path of a checkpoint."""
    return [*source(incomplete), *sorted(_files(incomplete, _CHECKPOINTS))]


def _files(incomplete: str, suffixes: tuple[str, ...]) -> Iterator[str]:
    """Yield files with this beginning, and files in folders with this beginning.

    Hidden ones are completed only where the dot has been typed.
    """
    folder, _, start = incomplete.rpartition("/")
    prefix = f"{folder}/" if "/" in incomplete else ""
    for entry in _entries(Path(prefix or "."), start):
        if entry.name.lower().endswith(suffixes):
            yield prefix + entry.name
        elif _is_folder(entry):
            inner = _entries(Path(entry.path), "")
            names = (file.name for file in inner if file.name.lower().endswith(suffixes))
            yield from (f"{prefix}{entry.name}/{name}" for name in names)


def _entries(folder: Path, start: str) -> "list[os.DirEntry[str]]":
    try:
        with os.scandir(folder) as entries:
            return [
                entry
                for entry in islice(entries, _MOST_ENTRIES)
                if entry.name.startswith(start) and (start or not entry.name.startswith("."))
            ]
    except OSError:  # not there, or closed: nothing to complete
        return []


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    try:
        return entry.is_dir()
    except OSError:
        return False
