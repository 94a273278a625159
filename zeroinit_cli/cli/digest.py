"""`zeroinit digest SOURCE`."""

from zeroinit_cli.cli.arguments import (
    DTypeName,
    ExpansionName,
    Json,
    Overrides,
    PresetName,
    ResidualName,
    ScaleName,
    Settings,
    SourceText,
    read_request,
)
from zeroinit_cli.cli.console import out, out_json, shown_progress


def command(
    source: SourceText,
    settings: Settings = None,
    dtype: DTypeName = None,
    expansion: ExpansionName = None,
    residual: ResidualName = None,
    scale: ScaleName = None,
    preset: PresetName = None,
    override: Overrides = None,
    json: Json = False,
) -> None:
    """Print the SHA-256 that generate would give; write nothing."""
    words = {"dtype": dtype, "expansion": expansion, "residual": residual, "scale": scale}
    what, options = read_request(source, settings, words, preset, override)

    from zeroinit_cli.architectures import plan_source
    from zeroinit_cli.checkpoint.stream import plan_sha256
    from zeroinit_cli.checkpoint.writer import plan_size

    plan = plan_source(what, options)
    with shown_progress(quiet=json) as progress:
        sha256 = plan_sha256(plan, advance=progress("hashing", plan.nbytes))
    if json:
        out_json({"plan": plan.digest(), "sha256": sha256, "size": plan_size(plan)})
    else:
        out(sha256)
