"""The schema of a lock: where each checkpoint is, what it was made from, and its digests."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    PlainValidator,
    StrictInt,
    StrictStr,
    model_validator,
)

from zeroinit_cli.arguments import Scalar, Value, check_value, parse_inputs
from zeroinit_cli.errors import ZeroinitError
from zeroinit_cli.filenames import CONFIG, FileDigest, file_names, sha256sum_digest
from zeroinit_cli.options import SHARD_SIZE, Options
from zeroinit_cli.plans.plan import SCHEME
from zeroinit_cli.source import Asked, Source
from zeroinit_cli.sources import READ_FROM_FILE, kind_of, read_source
from zeroinit_cli.sources.python import Python
from zeroinit_cli.sources.spec import is_spec_path
from zeroinit_cli.sources.transformers import Transformers

LOCK_NAME = "zeroinit.lock"
OPENING = b"# Written by zeroinit"
"""What the first line of every lock begins with, in this version and in later ones."""
LOCK_VERSION = 1
OWN_FOLDER = "./"
"""The path of a sharded checkpoint that lies in the lock's own folder."""
_LEAST_FILES = 3  # two shards and their index
_HEX = re.compile(r"[0-9a-f]{64}")


def plain_path(text: str) -> str:
    """Check the path of a checkpoint: plain, and the same on every system.

    Raises:
        ValueError: it could lead out of the lock's folder, or has more than one form.
    """
    path = PurePosixPath(text)
    if (
        not path.parts
        or path.is_absolute()
        or ".." in path.parts
        or "\\" in text
        or re.match(r"[A-Za-z]:", text)
        or str(path) != text
        or not text.isprintable()
    ):
        raise ValueError("must be a plain relative path that stays within the lock's folder")
    return text


def entry_path(text: str) -> str:
    """Check the path of an entry: a file, or a folder with a slash at its end, `./` for the lock's.

    Raises:
        ValueError: it could lead out of the lock's folder, or has more than one form.
    """
    if text != OWN_FOLDER:
        plain_path(text.removesuffix("/"))
    return text


def _is_plain(text: str) -> bool:
    """Tell whether a spec's path is relative, wherever it leads, and the same on every system."""
    absolute = PurePosixPath(text).is_absolute() or re.match(r"[A-Za-z]:", text)
    return not absolute and "\\" not in text and text.isprintable()


def _check_digest(text: str) -> str:
    if not _HEX.fullmatch(text):
        raise ValueError("must be 64 hexadecimal digits, lower case")
    return text


def _check_plan_digest(text: str) -> str:
    if not text.startswith("sha256:"):
        raise ValueError("must start with sha256:")
    _check_digest(text.removeprefix("sha256:"))
    return text


def _check_argument(value: object) -> Any:
    for part in value if isinstance(value, list) else [value]:
        if not isinstance(part, int | float | str):  # bool is an int
            raise ValueError("must be a number, true, false, a string, or an array of these")
    return value


RelativePath = Annotated[StrictStr, AfterValidator(plain_path)]
EntryPath = Annotated[StrictStr, AfterValidator(entry_path)]
Digest = Annotated[StrictStr, AfterValidator(_check_digest)]
PlanDigest = Annotated[StrictStr, AfterValidator(_check_plan_digest)]
Count = Annotated[StrictInt, Field(ge=0, lt=2**63)]
LockedArgument = Annotated[Scalar | list[Scalar], PlainValidator(_check_argument)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class LockedOptions(_Strict):
    """The options that change bytes, in the command line's words."""

    dtype: StrictStr
    max_shard_size: StrictStr | None = Field(default=None, alias=SHARD_SIZE)
    overrides: tuple[StrictStr, ...] = ()
    policy: StrictStr


class LockedShard(_Strict):
    """One file of a sharded checkpoint, or its index."""

    path: RelativePath
    sha256: Digest
    size: Count


class LockEntry(_Strict):
    """One checkpoint: where it is, what it was made from, and its digests.

    If it is sharded, `sha256` is that of the list of its files' digests as `sha256sum` prints it.
    """

    path: EntryPath
    source: StrictStr
    spec_sha256: Digest | None = Field(default=None, alias="spec-sha256")
    config_sha256: Digest | None = Field(default=None, alias="config-sha256")
    import_from: StrictStr | None = Field(default=None, alias="import-from")
    arguments: dict[StrictStr, LockedArgument] = {}
    inputs: tuple[StrictStr, ...] = ()
    options: LockedOptions
    scheme: StrictStr
    plan: PlanDigest
    sha256: Digest
    size: Count
    tensors: Count
    built_with: dict[StrictStr, StrictStr] = Field(alias="built-with")
    shard: tuple[LockedShard, ...] = ()
    beside: tuple[LockedShard, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        self._check_shards()
        if is_spec_path(self.source) != (self.spec_sha256 is not None):
            raise ValueError("a spec has a spec-sha256, a model's name has none")
        try:
            kind, name = kind_of(self.source)
            if kind not in READ_FROM_FILE:
                self.read_source(trust_code=True)  # which only checks its form
            elif not _is_plain(name) or (kind is not Transformers and self.arguments):
                raise ValueError("a spec is a relative path without arguments")
            parse_inputs(self.inputs)
            words = self.read_options().to_words()
        except ZeroinitError as error:
            found = f" ({error.found})" if error.found else ""
            raise ValueError(f"{error.problem}{found} in {error.where}") from error
        self._check_fields_of(kind)
        if self.options.max_shard_size != words.get(SHARD_SIZE):
            raise ValueError(f"{SHARD_SIZE} is written {words[SHARD_SIZE]} in a lock")
        return self

    def _check_fields_of(self, kind: type[Source]) -> None:
        """Check that what belongs to some kinds of sources alone is there for them."""
        if kind is Transformers and self.config_sha256 is None:
            raise ValueError("a configuration has a config-sha256")
        if self.config_sha256 is not None and kind not in READ_FROM_FILE:
            raise ValueError("a model's name has no config-sha256")
        if (kind is Python) != (self.import_from is not None):
            raise ValueError("code, and nothing else, has the folder to import-from")
        if [file.path for file in self.beside] not in ([], [f"{self.prefix}{CONFIG}"]):
            raise ValueError(f"beside a checkpoint is {self.prefix}{CONFIG}, or nothing")
        if self.import_from is not None and not _is_plain(self.import_from):
            raise ValueError("import-from is a relative path")

    def _check_shards(self) -> None:
        """Check that a sharded checkpoint's files are those of its folder, and add up to it."""
        if self.path.endswith("/") != bool(self.shard):
            raise ValueError("a folder has shards, and a file has none")
        if not self.shard:
            return
        if self.options.max_shard_size is None:
            raise ValueError(f"shards are of a {SHARD_SIZE}, which is not among the options")
        names = file_names(max(len(self.shard), _LEAST_FILES) - 1)
        if [shard.path for shard in self.shard] != [f"{self.prefix}{name}" for name in names]:
            raise ValueError(f"the shards must be {names[0]} to {names[-2]} and {names[-1]}")
        digests = ((name, shard.sha256) for name, shard in zip(names, self.shard, strict=True))
        if sha256sum_digest(digests) != self.sha256:
            raise ValueError("sha256 is not that of the shards' list")
        if sum(shard.size for shard in self.shard) != self.size:
            raise ValueError("size is not the sum of the shards' sizes")

    @property
    def prefix(self) -> str:
        """The path from the lock's folder to that of the checkpoint's files."""
        if not self.path.endswith("/"):
            return self.path.removesuffix(PurePosixPath(self.path).name)
        return "" if self.path == OWN_FOLDER else self.path

    @property
    def files(self) -> tuple[str, ...]:
        """The paths of all files of the checkpoint, and of those beside it."""
        checkpoint = tuple(shard.path for shard in self.shard) or (self.path,)
        return (*checkpoint, *(file.path for file in self.beside))

    def named_files(self) -> tuple[FileDigest, ...]:
        """List the checkpoint's files, and those beside it, by their names in its folder."""
        checkpoint = [(file.path, file.sha256, file.size) for file in self.shard]
        beside = [(file.path, file.sha256, file.size) for file in self.beside]
        return tuple(
            FileDigest(name=path.removeprefix(self.prefix), sha256=sha256, size=size)
            for path, sha256, size in (
                *(checkpoint or [(self.path, self.sha256, self.size)]),
                *beside,
            )
        )

    def read_source(self, folder: Path | None = None, *, trust_code: bool = False) -> Source:
        """Read the source and its arguments, as `generate` was given them; a file is read again.

        Args:
            folder: of the lock, which a path is relative to; the current one by default.
            trust_code: the code that it names may run. Nothing is imported by this call.

        Raises:
            SpecError: the spec has mistakes.
            InputError: the spec cannot be read.
        """
        kind, name = kind_of(self.source)
        arguments = {
            key: check_value(key, tuple(value) if isinstance(value, list) else value)
            for key, value in sorted(self.arguments.items())
        }
        home = folder if self.import_from is None else (folder or Path()) / self.import_from
        asked = Asked(
            text=self.source,
            name=name,
            arguments=arguments,
            inputs=parse_inputs(self.inputs),
            folder=home,
            trusted=trust_code,
            lock=folder,
        )
        return read_source(kind, asked)

    def source_digests(self) -> dict[str, str]:
        """Return the SHA-256 of what the source was read from, by field."""
        found = {"spec-sha256": self.spec_sha256, "config-sha256": self.config_sha256}
        return {key: sha256 for key, sha256 in found.items() if sha256 is not None}

    def read_options(self) -> Options:
        """Read the options, as `generate` was given them."""
        words = self.options.model_dump(exclude={"overrides"}, by_alias=True)
        return Options.from_words(words, overrides=self.options.overrides)


class Lock(_Strict):
    """A whole lock file."""

    version: Literal[1]
    checkpoint: tuple[LockEntry, ...] = ()

    @model_validator(mode="after")
    def _check(self) -> Self:
        counts = Counter(path for entry in self.checkpoint for path in {entry.path, *entry.files})
        twice = sorted(path for path, count in counts.items() if count > 1)
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
    shards: Sequence[LockedShard] = (),
    beside: Sequence[LockedShard] = (),
) -> LockEntry:
    """Make the entry of a checkpoint that was just written, for the lock of a folder."""
    return LockEntry(
        path=path,
        source=source.recorded_in(folder or Path()),
        **source.digests(),
        import_from=source.recorded_folder(folder or Path()),
        arguments={key: _as_array(value) for key, value in source.arguments.items()},
        inputs=tuple(map(str, source.inputs)),
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
        shard=tuple(shards),
        beside=tuple(beside),
    )


def _as_array(value: Value) -> Any:
    return list(value) if isinstance(value, tuple) else value
