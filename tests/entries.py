"""Lock entries for tests that need no checkpoint."""

from zeroinit_cli.lock import LockEntry, make_entry
from zeroinit_cli.options import Options
from zeroinit_cli.sources import parse_source


def entry(path: str, *, sha256: str = "0" * 64, overrides: tuple[str, ...] = ()) -> LockEntry:
    """An entry of a checkpoint that does not exist."""
    return make_entry(
        path=path,
        source=parse_source("resnet18", ["num_classes=10", "ratios=(1, 2.5)"]),
        options=Options.from_words({"policy": "paper"}, overrides=overrides),
        plan_digest="sha256:" + "1" * 64,
        sha256=sha256,
        size=1,
        tensors=1,
        built_with={"torch": "2.13.0"},
    )
