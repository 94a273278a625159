"""What a lock says of a folder's checkpoint: one file's entry, or one of shards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from zeroinit_cli.filenames import MODEL
from zeroinit_cli.lock import OWN_FOLDER, LockedShard, LockEntry, make_entry, read_lock
from zeroinit_cli.lock.write import check_room
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.source import Source
from zeroinit_cli.store.shards import FileDigest, Shard, overall, with_index

_UNKNOWN = "0" * 64  # a digest that takes as much room as any


@dataclass(frozen=True, kw_only=True, slots=True)
class FolderPlace:
    """Where a lock records the checkpoint of a folder.

    Attributes:
        lock: its path.
        prefix: what leads from its folder to the checkpoint's files; empty, or ending in a slash.
    """

    lock: Path
    prefix: str

    @property
    def paths(self) -> tuple[str, str]:
        """The paths that an entry of the folder can have: with shards, and without."""
        return self.prefix or OWN_FOLDER, f"{self.prefix}{MODEL}"

    def files(self) -> frozenset[str]:
        """Names of files in the folder that the lock has of an earlier run."""
        entries = read_lock(self.lock).checkpoint if self.lock.exists() else ()
        return frozenset(
            path.removeprefix(self.prefix)
            for entry in entries
            if entry.path in self.paths
            for path in entry.files
        )

    def entry(
        self,
        source: Source,
        options: Options,
        plan: Plan,
        files: Sequence[FileDigest],
        built_with: Mapping[str, str],
    ) -> LockEntry:
        """The entry of these files."""
        sha256, size = overall(files)
        sharded = len(files) > 1
        return make_entry(
            path=self.paths[0] if sharded else self.paths[1],
            source=source,
            folder=self.lock.parent,
            options=options,
            plan_digest=plan.digest(),
            sha256=sha256,
            size=size,
            tensors=len(plan.tensors),
            built_with=built_with,
            shards=[
                LockedShard(path=f"{self.prefix}{each.name}", sha256=each.sha256, size=each.size)
                for each in files
                if sharded
            ],
        )

    def check_room(
        self,
        source: Source,
        options: Options,
        plan: Plan,
        shards: Sequence[Shard],
        built_with: Mapping[str, str],
    ) -> None:
        """Refuse more shards than a lock can hold, before they are written.

        Raises:
            LockError: the lock would be too large.
        """
        files = with_index(shards, dict.fromkeys((shard.name for shard in shards), _UNKNOWN))
        entry = self.entry(source, options, plan, files, built_with)
        check_room(self.lock, entry, instead_of=self.paths)
