"""The whole way for the specs that are too large for a test: python -m tests.spec.large NAME...

Checks, plans and digests each; with --write, also generates it, loads it strictly into the module,
runs a forward and verifies. Prints times and the peak memory of each step's own process.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2] / "model_specs"
_LOAD = """
import sys, torch, zeroinit_cli
from safetensors.torch import load_file
from zeroinit_cli.spec.check import read_spec
path, length = sys.argv[1], int(sys.argv[2])
spec = read_spec(Path(path))
with torch.device("meta"):
    module = zeroinit_cli.build(path)
module.load_state_dict(load_file("init.safetensors"), strict=True, assign=True)
for owner in module.modules():  # what a checkpoint does not hold is made again
    for name, buffer in list(owner.named_buffers(recurse=False)):
        if buffer.is_meta:
            setattr(owner, name, torch.arange(buffer.shape[0]))
ids = spec.inferred.ids
shapes = [shape if not ids else (length,) for _, shape in spec.inputs]
inputs = [torch.zeros(1, *s, dtype=torch.int64 if ids else torch.float32) for s in shapes]
with torch.no_grad():
    output = module.eval()(*inputs)
assert torch.isfinite(output).all()
print("output", list(output.shape))
"""


def step(label: str, *command: str, folder: Path) -> None:
    """Run a process of its own, and print what it took."""
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *command], cwd=folder, stdout=subprocess.PIPE, text=True
    )
    out = process.stdout.read() if process.stdout else ""
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{label}: failed with status {status}")
    took, memory = time.monotonic() - began, usage.ru_maxrss / 1024
    last = out.strip().splitlines()[-1] if out.strip() else ""
    print(f"{label:9} {took:7.1f} s {memory:7.0f} MB  {last[:90]}", flush=True)


def main() -> None:
    """Run what was asked for."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="+")
    arguments.add_argument("--write", action="store_true")
    arguments.add_argument("--length", type=int, default=64, help="tokens in the forward")
    chosen = arguments.parse_args()
    for name in chosen.names:
        path = str(ROOT / f"{name}.yaml")
        print(name)
        with tempfile.TemporaryDirectory() as made:
            folder = Path(made)
            zeroinit = ("-m", "zeroinit_cli")
            step("check", *zeroinit, "spec", "check", path, folder=folder)
            step("plan", *zeroinit, "plan", path, folder=folder)
            step("digest", *zeroinit, "digest", path, folder=folder)
            if chosen.write:
                step(
                    "generate", *zeroinit, "generate", path, "-o", "init.safetensors", folder=folder
                )
                step("forward", "-c", _LOAD, path, str(chosen.length), folder=folder)
                step("verify", *zeroinit, "verify", folder=folder)


if __name__ == "__main__":
    main()
