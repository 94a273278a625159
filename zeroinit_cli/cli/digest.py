"""`zeroinit digest SOURCE`."""

from typing import Any

from zeroinit_cli.cli.console import out, out_json, shown_progress
from zeroinit_cli.cli.options import Asked, Jobs, Json, ShardSize, SourceText, check_jobs
from zeroinit_cli.filenames import sha256sum_list


def command(
    *,
    source: SourceText,
    asked: Asked,
    max_shard_size: ShardSize = None,
    jobs: Jobs = 1,
    json: Json = False,
) -> None:
    """Print the SHA-256 that generate would give, of each file; write nothing."""
    check_jobs(jobs)
    what, options = asked.read(source, max_shard_size=max_shard_size)

    from zeroinit_cli.models import plan_source
    from zeroinit_cli.store.shards import digest_shards, overall, split

    plan = plan_source(what, options)
    shards = split(plan, options.max_shard_size)
    with shown_progress(quiet=json) as progress:
        files = digest_shards(shards, jobs=jobs, advance=progress("hashing", plan.nbytes))
    sha256, size = overall(files)
    if json:
        document: dict[str, Any] = {"plan": plan.digest(), "sha256": sha256, "size": size}
        if len(files) > 1:
            document["files"] = [
                {"path": file.name, "sha256": file.sha256, "size": file.size} for file in files
            ]
        out_json(document)
    elif len(files) == 1:
        out(sha256)
    else:
        out(sha256sum_list((file.name, file.sha256) for file in files).decode().rstrip("\n"))
