"""zeroinit.lock: what each checkpoint was made from, and the digests that prove it.

The file is written anew from its entries, so that the same entries give the same bytes in any
order of runs. Version policy: a `version` other than ours is refused whole; within a version, an
unknown key is refused, so that nothing is ignored that another release meant.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

import tomlkit
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
    model_validator,
)
from tomlkit.exceptions import TOMLKitError

from zeroinit_cli.errors import LockError, ZeroinitError
from zeroinit_cli.files.reading import opened, read_exactly
from zeroinit_cli.files.replacing import guarded, replacing, write_all
from zeroinit_cli.options import Options
from zeroinit_cli.plans import SCHEME
from zeroinit_cli.source import Source, Value, check_value, is_spec_path, parse_source

LOCK_NAME = "zeroinit.lock"
MOST_LOCK_BYTES = 16_000_000
"""A lock larger than this is no lock: some 30,000 checkpoints."""
VERSION = 1
_HEADER = "Written by zeroinit; check with: zeroinit verify"
_HEX = re.compile(r"[0-9a-f]{64}")


def _relative(text: str) -> str:
    path = PurePosixPath(text)
    if (
        not text
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in text
        or re.match(r"[A-Za-z]:", text)
        or str(path) != text.removesuffix("/")
        or not text.isprintable()
    ):
        raise ValueError("must be a plain relative path that stays within the lock's folder")
    return text


def _is_plain(text: str) -> bool:
    """Whether a spec's path is relative, wherever it leads, and the same on every system."""
    absolute = PurePosixPath(text).is_absolute() or re.match(r"[A-Za-z]:", text)
    return not absolute and "\\" not in text and text.isprintable()


def _digest(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ValueError("must be 64 hexadecimal digits, lower case")
    return text


def _plan_digest(text: str) -> str:
    if not text.startswith("sha256:"):
        raise ValueError("must start with sha256:")
    _digest(text.removeprefix("sha256:"))
    return text


RelativePath = Annotated[StrictStr, AfterValidator(_relative)]
Digest = Annotated[StrictStr, AfterValidator(_digest)]
PlanDigest = Annotated[StrictStr, AfterValidator(_plan_digest)]
Size = Annotated[StrictInt, Field(ge=0, lt=2**63)]
Scalar = StrictBool | StrictInt | StrictFloat | StrictStr


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class LockedOptions(_Strict):
    """The options that change bytes, in the command line's words."""

    dtype: StrictStr
    expansion: StrictStr
    overrides: tuple[StrictStr, ...] = ()
    residual: StrictStr
    scale: StrictStr


class LockedShard(_Strict):
    """One file of a sharded checkpoint, or its index."""

    path: RelativePath
    sha256: Digest
    size: Size


class LockEntry(_Strict):
    """One checkpoint: where it is, what it was made from, and its digests."""

    path: RelativePath
    source: StrictStr
    spec_sha256: Digest | None = Field(default=None, alias="spec-sha256")
    arguments: dict[StrictStr, Scalar | list[Scalar]] = {}
    options: LockedOptions
    scheme: StrictStr
    plan: PlanDigest
    sha256: Digest
    size: Size
    tensors: Size
    built_with: dict[StrictStr, StrictStr] = Field(alias="built-with")
    shard: tuple[LockedShard, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.scheme != SCHEME:
            raise ValueError(f"scheme {self.scheme!r} is not {SCHEME!r}, which this zeroinit makes")
        if self.shard:
            raise ValueError("sharded checkpoints are not known to this zeroinit")
        if is_spec_path(self.source) != (self.spec_sha256 is not None):
            raise ValueError("a spec has a spec-sha256, a model's name has none")
        try:
            if self.spec_sha256 is None:
                self.read_source()
            elif self.arguments or not _is_plain(self.source):
                raise ValueError("a spec is a relative path without arguments")
            self.read_options()
        except ZeroinitError as error:
            raise ValueError(f"{error.problem} ({error.found or error.where})") from error
        return self

    def read_source(self, folder: Path | None = None) -> Source:
        """The source and its arguments, as `generate` was given them; a spec is read anew.

        Args:
            folder: of the lock, which a spec's path is relative to; the current one by default.

        Raises:
            SpecError: the spec has mistakes.
            InputError: the spec cannot be read.
        """
        source = parse_source(self.source, folder=folder)
        if source.spec is not None:
            return source
        return Source(
            name=source.name,
            arguments={
                key: check_value(key, tuple(value) if isinstance(value, list) else value)
                for key, value in sorted(self.arguments.items())
            },
        )

    def read_options(self) -> Options:
        """The options, as `generate` was given them."""
        words = self.options.model_dump(exclude={"overrides"})
        return Options.from_words(words, overrides=self.options.overrides)


class Lock(_Strict):
    """A whole lock file."""

    version: Literal[1]
    checkpoint: tuple[LockEntry, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        paths = [entry.path for entry in self.checkpoint]
        twice = sorted({path for path in paths if paths.count(path) > 1})
        if twice:
            raise ValueError(f"{twice[0]!r} is locked twice")
        return self


def make_entry(
    *,
    path: str,
    source: Source,
    options: Options,
    plan_digest: str,
    sha256: str,
    size: int,
    tensors: int,
    built_with: Mapping[str, str],
    folder: Path | None = None,
) -> LockEntry:
    """The entry of a checkpoint that was just written, for the lock of a folder."""
    return LockEntry(
        path=path,
        source=source.recorded_in(folder or Path()),
        spec_sha256=source.spec.digest() if source.spec is not None else None,
        arguments={key: _listed(value) for key, value in source.arguments.items()},
        options=LockedOptions(
            **options.to_words(),
            overrides=tuple(str(override) for override in options.overrides),
        ),
        scheme=SCHEME,
        plan=plan_digest,
        sha256=sha256,
        size=size,
        tensors=tensors,
        built_with=dict(built_with),
    )


def _listed(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value


def read_lock(path: Path) -> Lock:
    """A lock from disk, every field validated.

    Raises:
        InputError: the file cannot be read.
        LockError: it is no lock, or one that this version does not know.
    """
    with opened(path) as (file, size):
        if size > MOST_LOCK_BYTES:
            raise LockError(
                "too large for a lock",
                where=str(path),
                expected=f"at most {MOST_LOCK_BYTES} bytes",
                found=f"{size} bytes",
            )
        data = bytearray(size)
        del data[read_exactly(file, memoryview(data)) :]
    return parse_lock(bytes(data), str(path))


def parse_lock(data: bytes, where: str) -> Lock:
    """A lock from its bytes, every field validated; all that is wrong is said at once.

    Raises:
        LockError: it is no lock, or one that this version does not know.
    """
    try:
        table = tomlkit.parse(data.decode()).unwrap()
    except (TOMLKitError, ValueError, RecursionError) as error:
        raise LockError(
            "not a TOML file", where=where, found=" ".join(str(error).split()), hint=_MEND
        ) from error
    version = table.get("version")
    if type(version) is not int or version != VERSION:
        raise LockError(
            "unknown lock version",
            where=f"{where}: version",
            expected=str(VERSION),
            found=repr(version),
            hint="a newer zeroinit may have written it",
        )
    try:
        return Lock.model_validate(table)
    except ValidationError as error:
        faults = sorted(_fault(table, fault) for fault in error.errors(include_url=False))
        raise LockError(
            f"{len(faults)} invalid field{'s' * (len(faults) > 1)}",
            where=where,
            found="\n    ".join(["", *faults]) if len(faults) > 1 else faults[0],
            hint=_MEND,
        ) from error


_MEND = "restore the lock from version control, or write it anew with zeroinit generate --force"


def _fault(table: Mapping[str, Any], fault: Any) -> str:
    place = ".".join(str(part) for part in fault["loc"]) or "the file"
    message = fault["msg"].removeprefix("Value error, ")
    return f"{place}: {message[0].lower()}{message[1:]}"


def render_lock(entries: Iterable[LockEntry]) -> str:
    """The lock's text: entries sorted by path, keys in the order that people read them."""
    document = tomlkit.document()
    document.add(tomlkit.comment(_HEADER))
    document.add("version", tomlkit.item(VERSION))
    tables = tomlkit.aot()
    for entry in sorted(entries, key=lambda entry: entry.path):
        tables.append(_render_entry(entry))
    document.add("checkpoint", tables)
    return tomlkit.dumps(document)


def _render_entry(entry: LockEntry) -> Any:
    table = tomlkit.table()
    fields = entry.model_dump(by_alias=True, exclude={"shard"})
    if not entry.options.overrides:
        del fields["options"]["overrides"]
    for key, value in fields.items():
        if (key == "arguments" and not value) or value is None:
            continue
        table.add(key, _inline(value) if isinstance(value, dict) else value)
    return table


def _inline(values: Mapping[str, Any]) -> Any:
    table = tomlkit.inline_table()
    for key, value in sorted(values.items()):
        table.append(key, list(value) if isinstance(value, tuple) else value)
    return table


def update_lock(
    path: Path, entry: LockEntry, waiting: Callable[[str], None] = lambda message: None
) -> None:
    """Put one entry into a lock, in place of the one with its path; the others stay.

    The lock is read again under the guard, so that two runs at once lose neither entry.

    Raises:
        LockError: what is there is no lock.
        InputError: it cannot be read.
        OutputError: it cannot be written.
    """
    with guarded(path, waiting=waiting):
        entries = read_lock(path).checkpoint if path.exists() else ()
        kept = [other for other in entries if other.path != entry.path]
        text = render_lock([*kept, entry])
        with replacing(path) as file:
            write_all(file, text.encode())
