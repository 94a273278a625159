"""A torchvision model as its constructor initialises it, at random: what everybody does today.

python -m benchmarks.children.torch_default MODEL PATH
"""

import hashlib
import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.children.timing import Figures, timed
from zeroinit_cli.nets.torchvision import import_torchvision


def measure(name: str, path: Path) -> Figures:
    """Build with random weights, save and hash, the file at `path`."""
    models = import_torchvision().models
    figures: Figures = {}
    with timed(figures, "initialise"):
        model = models.get_model(name, weights=None)
    with timed(figures, "save"):
        save_file(model.state_dict(), path, metadata={"format": "pt"})
    with timed(figures, "hash"), path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
