"""PyPI's zero_init on a torchvision model, as its own README applies it.

python -m benchmarks.children.reference MODEL PATH
"""

import hashlib
import importlib
import json
import sys
from pathlib import Path

from safetensors.torch import save_file

from benchmarks.children.timing import Figures, timed
from zeroinit_cli.nets.torchvision import import_torchvision


def measure(name: str, path: Path) -> Figures:
    """Build, initialise, save and hash the model, the file at `path`."""
    models = import_torchvision().models
    # By name: whoever runs only the tests does not have it, and it ships no types.
    zero_init = importlib.import_module("zero_init")
    figures: Figures = {}
    with timed(figures, "build"):
        model = models.get_model(name, weights=None)
    with timed(figures, "initialise"):
        model.apply(zero_init.ZerO_Init)
    with timed(figures, "save"):
        save_file(model.state_dict(), path, metadata={"format": "pt"})
    with timed(figures, "hash"), path.open("rb") as file:
        hashlib.file_digest(file, "sha256")
    return figures


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]))))
