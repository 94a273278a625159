"""The two pictures that README opens with: python docs/images/draw.py.

Both are what `zeroinit inspect FILE --tensor conv1.weight --image` draws of ResNet-18's first
convolution: as `zeroinit generate` writes it, and as torchvision's constructor draws it by seed 0.
"""

import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from safetensors.torch import save_file

from zeroinit_cli.nets.torchvision import import_torchvision

FOLDER = Path(__file__).resolve().parent
TENSOR = "conv1.weight"


def draw(checkpoint: Path, picture: Path) -> None:
    """Draw the first convolution of a checkpoint."""
    _zeroinit("inspect", str(checkpoint), "--tensor", TENSOR, "--image", str(picture), "--force")


def main() -> None:
    """Write both checkpoints, and a picture of each."""
    with TemporaryDirectory() as folder:
        zero, random = Path(folder) / "zero.safetensors", Path(folder) / "random.safetensors"
        _zeroinit("generate", "resnet18", "-o", str(zero), "--no-lock", "--quiet")
        torch.manual_seed(0)
        save_file(import_torchvision().models.resnet18().state_dict(), random)
        draw(zero, FOLDER / "zero.png")
        draw(random, FOLDER / "random.png")


def _zeroinit(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "zeroinit_cli", *arguments], check=True)


if __name__ == "__main__":
    main()
