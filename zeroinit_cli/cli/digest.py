"""`zeroinit digest SOURCE`."""

from typing import Any

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Jobs,
    Json,
    Overrides,
    PresetName,
    ResidualName,
    ScaleName,
    Settings,
    ShardSize,
    SourceText,
    check_jobs,
    read_request,
)
from zeroinit_cli.cli.console import out, out_json, shown_progress
from zeroinit_cli.filenames import sums


def command(
    source: SourceText,
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    max_shard_size: ShardSize = None,
    jobs: Jobs = 1,
    json: Json = False,
) -> None:
    """Print the SHA-256 that generate would give, of each file; write nothing."""
    check_jobs(jobs)
    words = {
        "dtype": dtype,
        "expansion": expansion,
        "max-shard-size": max_shard_size,
        "residual": residual,
        "scale": scale,
    }
    what, options = read_request(source, settings, words, preset, override)

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
                {"path": each.name, "sha256": each.sha256, "size": each.size} for each in files
            ]
        out_json(document)
    elif len(files) == 1:
        out(sha256)
    else:
        out(sums((each.name, each.sha256) for each in files).decode().rstrip("\n"))
