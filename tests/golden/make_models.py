"""Digests of the checkpoints of torchvision's models, restated without the package's rules.

Run once, by hand, when a scheme is born; no test run calls it:
    python -m tests.golden.make_models > tests/golden/models.json

Every model that `tests.golden.restated` knows is written from there by `safetensors.torch`, and
the package must agree to the last bit: if it does not, nothing is printed but the tensors that
differ. A model that is not known there has its digest from the package, so that a later change
of it is seen all the same.
"""

import hashlib
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from tests.golden.restated import Choice, family_of, restate
from zeroinit_cli.atomic import guarded
from zeroinit_cli.models import plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.policies import PAPER
from zeroinit_cli.sources import parse_source
from zeroinit_cli.sources.torchvision import model_names
from zeroinit_cli.store.stream import plan_sha256
from zeroinit_cli.store.write import write_checkpoint


@dataclass(frozen=True, kw_only=True, slots=True)
class OptionSet:
    """The same options in the restatement's words and in the package's, and whose models."""

    choice: Choice
    options: Options
    models: tuple[str, ...] = ()  # none: all

    def names(self) -> list[str]:
        return sorted(self.models) or model_names()


OPTION_SETS = {
    "default": OptionSet(choice=Choice(), options=Options()),
    "paper": OptionSet(  # families that close their branches in different ways
        choice=Choice(policy="paper"),
        options=Options(policy=PAPER),
        models=(
            "convnext_tiny",
            "efficientnet_v2_s",
            "maxvit_t",
            "mobilenet_v2",
            "mobilenet_v3_small",
            "mvit_v2_s",
            "r2plus1d_18",
            "regnet_y_400mf",
            "resnet18",
            "resnext50_32x4d",
            "swin_v2_t",
            "vit_b_32",
        ),
    ),
}


def saved_sha256(tensors: dict[str, Tensor], path: Path) -> str:
    """SHA-256 of the file that safetensors writes, which is deleted again."""
    save_file(tensors, path, metadata={"format": "pt"})
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    path.unlink()
    return sha256


def differing(tensors: dict[str, Tensor], plan: Plan, path: Path) -> list[str]:
    """The tensors that the restatement and the package do not have in common."""
    with guarded(path):
        write_checkpoint(plan, path)
    theirs = load_file(path)
    path.unlink()

    def differs(name: str) -> bool:
        if name not in tensors or name not in theirs:
            return True
        ours = tensors[name].reshape(-1).view(torch.uint8)
        return not torch.equal(ours, theirs[name].reshape(-1).view(torch.uint8))

    return sorted(filter(differs, tensors.keys() | theirs.keys()))


def digests(option_set: OptionSet, folder: Path) -> tuple[dict[str, object], list[str]]:
    """The entry of an option set, and where the package disagrees."""
    path = folder / "init.safetensors"
    sha256: dict[str, str] = {}
    restated, disagreements = [], []
    for name in option_set.names():
        print(name, file=sys.stderr)  # noqa: T201 - a script of some minutes
        plan = plan_source(parse_source(name), option_set.options)
        sha256[name] = plan_sha256(plan)
        if family_of(name) is None:
            continue
        tensors = restate(name, option_set.choice)
        restated.append(name)
        if saved_sha256(tensors, path) != sha256[name]:
            disagreements.append(f"{name}: {differing(tensors, plan, path) or 'the header'}")
    return {"restated": restated, "sha256": sha256}, disagreements


def main() -> None:
    with TemporaryDirectory() as folder:
        found = {title: digests(each, Path(folder)) for title, each in OPTION_SETS.items()}
    if wrong := [f"{title}: {line}" for title, (_, lines) in found.items() for line in lines]:
        sys.exit("\n".join(["The package disagrees with the restatement.", *wrong]))
    print(json.dumps({title: entry for title, (entry, _) in found.items()}, indent=1))  # noqa: T201


if __name__ == "__main__":
    main()
