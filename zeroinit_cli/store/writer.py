"""Write a plan as a checkpoint: one pass, hashed on the way, zeros left as holes."""

import os
from pathlib import Path
from typing import IO

from zeroinit_cli.atomic import guarded, replacing, write_all
from zeroinit_cli.filenames import sum_line
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.progress import Advance, no_advance
from zeroinit_cli.store.flushing import EarlyFlush
from zeroinit_cli.store.hashing import BackgroundSha256, Block, block_nbytes
from zeroinit_cli.store.stream import data_blocks, plan_header


def plan_size(plan: Plan) -> int:
    """Bytes of the plan's file."""
    return len(plan_header(plan)) + plan.nbytes


def write_checkpoint(plan: Plan, path: Path, advance: Advance = no_advance) -> str:
    """Put the plan's file at `path`, whole or not at all; the caller holds `guarded(path)`.

    Returns:
        the SHA-256 of its bytes, in hexadecimal.

    Raises:
        OutputError: it cannot be written.
    """
    header = plan_header(plan)
    with replacing(path) as file, EarlyFlush(file) as flush, BackgroundSha256() as sha256:
        sha256.update(header)
        write_all(file, header)
        for block in data_blocks(plan, sha256.buffer):
            sha256.update(block)
            flush.wrote(_write_block(file, block))
            advance(block_nbytes(block))
        file.truncate(len(header) + plan.nbytes)  # a hole at the end has no bytes of its own
        return sha256.hexdigest()


def write_sidecar(path: Path, sha256: str) -> None:
    """Put `<path>.sha256` beside a checkpoint: one line that `sha256sum -c` accepts.

    Raises:
        OutputError: it cannot be written.
    """
    sidecar = sidecar_path(path)
    with guarded(sidecar), replacing(sidecar) as file:
        write_all(file, sum_line(path.name, sha256))


def sidecar_path(path: Path) -> Path:
    """The checksum file that belongs to a checkpoint."""
    return path.with_name(f"{path.name}.sha256")


def _write_block(file: IO[bytes], block: Block) -> int:
    """Bytes that reached the file; none for a hole."""
    if isinstance(block, int):
        file.seek(block, os.SEEK_CUR)
        return 0
    write_all(file, block.data)
    return block.nbytes
