"""config.json, which anybody may have written: read within bounds, and refused where it leads out.

It is read before any large library is imported.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from zeroinit_cli.errors import InputError, SourceError, pasted, shown
from zeroinit_cli.filenames import CONFIG
from zeroinit_cli.files import is_there, opened, outside, read_exactly
from zeroinit_cli.source import Asked

TYPES = ("dtype", "torch_dtype")
"""The keys of the type that weights are stored in; the second is the older name."""
MOST_BYTES = 1 << 20
_MOST = 2**40
_MOST_COUNT = 2**24  # of labels, positions, tokens: there may be a list of them
_MOST_PARTS = 1_024  # of layers, experts, stages: each is built
_COUNTS = re.compile(r"(^|_)(num|n|max|size|sizes|length|positions|labels|vocab)(_|$)")
_PARTS = re.compile(r"layers?(_|$)|(^|_)depths?$|blocks?(_|$)|experts?(_|$)|stages?(_|$)")
_OF_CODE = ("auto_map", "custom_pipelines", "trust_remote_code")
_OF_PLACES = ("backbone", "architecture", "implementation", "kernel")
_PLACE = re.compile(r"[/\\:]|^\.")


def meant_by(text: str) -> bool:
    """Tell whether a text is the path of a configuration, or of a folder that has one."""
    path = Path(text)
    try:
        return path.name == CONFIG or (path / CONFIG).is_file()
    except (OSError, ValueError):  # no name that a file can have
        return False


def read_configuration(asked: Asked) -> tuple[Path, dict[str, Any], str]:
    """Read config.json, and refuse what it must not say.

    Args:
        asked: the folder or the file.

    Returns:
        its path, what it says, and the SHA-256 of its bytes.

    Raises:
        SourceError: it is no configuration, or asks for what is not in it.
        InputError: it cannot be read.
    """
    import hashlib  # which --help can do without, for its speed

    from zeroinit_cli.store.strict_json import parse_json

    path = _path_of(asked)
    where = path.as_posix()
    with opened(path) as (file, size):
        if size > MOST_BYTES:
            raise SourceError(
                "too large for a configuration",
                where=where,
                expected=f"at most {MOST_BYTES} bytes",
                found=f"{size} bytes",
            )
        data = bytearray(size)
        del data[read_exactly(file, memoryview(data)) :]
    try:
        config = parse_json(bytes(data))
    except ValueError as error:
        raise SourceError("not a JSON file", where=where, found=str(error)) from error
    if not isinstance(config, dict):
        raise SourceError("not a configuration", where=where, expected="an object of JSON")
    named = "class" in asked.arguments
    for place, key, value in entries(config):
        _check(key, value, f"{where}: {place}", named=named)
    for key, value in asked.arguments.items():
        _check(key, value, f"--set {key}", named=named)
    return path, config, hashlib.sha256(data).hexdigest()


def _path_of(asked: Asked) -> Path:
    path = asked.path
    there = is_there(path)
    if not there and not asked.name.endswith(CONFIG):
        raise InputError(
            "no such folder",
            where=str(path),
            expected=f"a folder with {CONFIG}, or the path of one",
            hint=f"nothing is downloaded: save the {CONFIG} of a model of the Hub into a folder",
        )
    if there and path.is_dir():
        path = path / CONFIG
        if not is_there(path):
            raise InputError(f"no {CONFIG}", where=pasted(path.parent))
    if asked.lock is not None and _leads_out(path, asked.lock):
        raise SourceError(
            "a configuration's path leaves the lock's folder by a link",
            where=str(path),
            hint="copy what it leads to",
        )
    return path


def _leads_out(path: Path, folder: Path) -> bool:
    """Tell whether a path seems to stay within a lock's folder, but a link takes it elsewhere."""
    seems = os.path.normpath(path.absolute())
    within = Path(seems).is_relative_to(os.path.normpath(folder.absolute()))
    return within and outside(path, folder) is not None


def _check(key: str, value: Any, where: str, *, named: bool) -> None:
    """Refuse code from elsewhere, other places, quantized weights, and endless sizes.

    Args:
        key: of the configuration.
        value: that it has.
        where: it stands.
        named: the user says which of transformers' own classes is built.
    """
    if key in _OF_CODE and value and not named:
        raise SourceError(
            f"{key}, which asks for code of another place",
            where=where,
            expected="a class of transformers itself; no other code is run",
            hint="--set class=NAME builds transformers' own class of that name, and runs none "
            "of it",
        )
    if key == "quantization_config" and value:
        raise SourceError(
            "a quantized model, which has no start",
            where=where,
            hint=f"remove {key}: what is initialised is the model before",
        )
    if key == "use_pretrained_backbone" and value:
        raise SourceError(
            "pretrained weights of another place",
            where=where,
            expected="false: nothing is downloaded",
            hint="set it to false; ZerO starts the backbone too",
        )
    names_place = isinstance(value, str) and any(word in key for word in _OF_PLACES)
    if names_place and _PLACE.search(value):
        raise SourceError(
            "what another place holds",
            where=where,
            expected="a name that transformers or timm knows; nothing is downloaded, and no other "
            "file is read",
            found=shown(value),
        )
    check_number(key, value, where)


def check_number(key: str, value: Any, where: str) -> None:
    """Refuse a number that would take any time or memory.

    Args:
        key: that it is the value of: layers are bounded more narrowly than tokens.
        value: a number, several, or something else.
        where: it stands.

    Raises:
        SourceError: it is beyond measure.
    """
    most = _MOST_PARTS if _PARTS.search(key) else _MOST_COUNT if _COUNTS.search(key) else _MOST
    for number in value if isinstance(value, list | tuple) else (value,):
        if isinstance(number, int) and number > most:
            raise SourceError(
                "a number beyond measure",
                where=where,
                expected=f"at most {most}",
                found=shown(number),
            )


def entries(config: Any, path: str = "") -> Iterator[tuple[str, str, Any]]:
    """Yield every value of an object and of those in it: its path, its key, itself."""
    waiting = [(path, config)]
    while waiting:
        path, value = waiting.pop()
        pairs = value.items() if isinstance(value, dict) else ()
        for key, each in pairs:
            inner = f"{path}.{key}" if path else key
            yield inner, key, each
            waiting.append((inner, each))
        if isinstance(value, list):
            waiting += ((f"{path}[{number}]", each) for number, each in enumerate(value))


def without(value: Any, keys: tuple[str, ...]) -> Any:
    """Return a configuration without some keys, wherever they stand."""
    if isinstance(value, list):
        return [without(each, keys) for each in value]
    if not isinstance(value, dict):
        return value
    return {key: without(each, keys) for key, each in value.items() if key not in keys}
