"""Where a checkpoint lies: one file, or a folder of its own for one file or for shards."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Self

from zeroinit_cli.errors import UsageError
from zeroinit_cli.filenames import MODEL, FileDigest
from zeroinit_cli.lock import LOCK_NAME, OWN_FOLDER, LockedShard, LockEntry, make_entry
from zeroinit_cli.lock.schema import plain_path
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source

if TYPE_CHECKING:
    from zeroinit_cli.store.shards import Shard


@dataclass(frozen=True, kw_only=True, slots=True)
class Location:
    """Where a checkpoint lies or is to lie: a single file is a folder's only one.

    Attributes:
        path: what a person named: the file, or the folder.
        own_folder: `path` is a folder, whose files have the names that loaders know.
    """

    path: Path
    own_folder: bool = False

    @classmethod
    def named(cls, text: str, *, own_folder: bool = False) -> Self:
        """Return the place that a text names: a folder if it is one, or ends in a slash.

        A Path would lose the slash.
        """
        # not Path.is_dir, which raises OSError for a name that is too long
        is_folder = text.endswith(("/", os.sep)) or os.path.isdir(text)  # noqa: PTH112
        return cls(path=Path(text), own_folder=is_folder or own_folder)

    @property
    def folder(self) -> Path:
        """The folder that holds all of its files."""
        return self.path if self.own_folder else self.path.parent

    @property
    def file(self) -> Path:
        """The checkpoint's file, where it is not split into several."""
        return self.folder / MODEL if self.own_folder else self.path

    @property
    def sha256sum_file(self) -> Path:
        """The list of the files' digests, which `sha256sum -c` reads."""
        return self.file.with_name(f"{self.file.name}.sha256")

    @property
    def default_lock(self) -> Path:
        """The lock in the same folder."""
        return self.folder / LOCK_NAME

    def split(self, plan: Plan, most_bytes: int | None) -> "tuple[Shard, ...]":
        """Cut a plan into the files that it becomes here; only a folder of its own has several."""
        from zeroinit_cli.store.shards import split

        if self.own_folder:
            return split(plan, most_bytes)
        [whole] = split(plan, None)
        return (replace(whole, name=self.path.name),)

    def path_in(self, lock: Path) -> str:
        """Return the path of `file` as a lock records it: relative to its folder, forward slashes.

        Raises:
            UsageError: the lock cannot name it.
        """
        target, folder = self.file.parent.resolve() / self.file.name, lock.parent.resolve()
        if not target.is_relative_to(folder):
            raise UsageError(
                "the checkpoint lies outside the lock's folder",
                where="--lock",
                expected=f"a path within {folder}",
                found=str(target),
                hint="use a lock in a folder above both, or --no-lock",
            )
        relative = PurePath(target.relative_to(folder)).as_posix()
        try:
            return plain_path(relative)
        except ValueError as error:
            unwritable = not relative.isprintable() or "\\" in relative
            raise UsageError(
                "a name that a lock cannot hold",
                where="--output",
                expected="printable characters without a backslash"
                if unwritable
                else "no letter and colon at its start, which Windows takes for a drive",
                found=repr(relative),
                hint="choose another name, or --no-lock",
            ) from error

    def paths_in(self, lock: Path) -> tuple[str, ...]:
        """List the paths that an entry of this checkpoint can have: its file's, its folder's."""
        path = self.path_in(lock)
        return (path, path.removesuffix(MODEL) or OWN_FOLDER) if self.own_folder else (path,)


def lock_entry(
    location: Location,
    lock: Path,
    source: Source,
    options: Options,
    plan: Plan,
    files: Sequence[FileDigest],
    beside: Sequence[FileDigest] = (),
) -> LockEntry:
    """Make the entry of a checkpoint for a lock: one file's, or one of shards."""
    from zeroinit_cli.store.shards import overall

    sha256, size = overall(files)
    sharded = len(files) > 1
    paths = location.paths_in(lock)
    prefix = paths[0].removesuffix(MODEL)
    return make_entry(
        path=paths[-1] if sharded else paths[0],
        source=source,
        folder=lock.parent,
        options=options,
        plan_digest=plan.digest(),
        sha256=sha256,
        size=size,
        tensors=len(plan.tensors),
        built_with=source.versions(),
        shards=[_locked(file, prefix) for file in files if sharded],
        beside=[_locked(file, prefix) for file in beside],
    )


def _locked(file: FileDigest, prefix: str) -> LockedShard:
    return LockedShard(path=f"{prefix}{file.name}", sha256=file.sha256, size=file.size)
