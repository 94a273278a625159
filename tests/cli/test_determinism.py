"""One SHA-256 for resnet18, wherever and however it is computed, and by whom."""

import random
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import scipy.linalg
import torch

from tests.cli.command import child
from tests.long import some_long
from zeroinit_cli.models import plan_source
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.options import Options
from zeroinit_cli.sources import parse_source
from zeroinit_cli.store.stream import plan_sha256

SOURCE = parse_source("resnet18")
ENVIRONMENTS = [
    {"PYTHONHASHSEED": "0", "TZ": "UTC", "LC_ALL": "C", "OMP_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "1", "TZ": "Asia/Kolkata", "LC_ALL": "C.UTF-8", "OMP_NUM_THREADS": "2"},
    {"PYTHONHASHSEED": "77", "TZ": "America/New_York", "LC_ALL": "POSIX", "COLUMNS": "40"},
]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """From plain torch and safetensors' own writer, the rules restated by name."""
    torchvision = import_torchvision()
    state = torchvision.models.resnet18().state_dict()
    for name, tensor in state.items():
        state[name] = restated(name, tensor)
    path = tmp_path_factory.mktemp("plain") / "x.safetensors"
    safetensors.torch.save_file(state, path, metadata={"format": "pt"})
    import hashlib

    return hashlib.sha256(path.read_bytes()).hexdigest()


def restated(name: str, tensor: torch.Tensor) -> torch.Tensor:
    out = torch.zeros_like(tensor)
    if name == "conv1.weight":
        out = twisted(147, 64).T.contiguous().reshape(tensor.shape)
    elif tensor.ndim == 4:
        c_out, c_in, height, width = tensor.shape
        signs = torch.ones(c_out, 1)
        if height * width > 1:
            signs = torch.sign(twisted(c_out, height * width))
            signs *= signs[:, height * width // 2, None].clone()
            signs *= 2 ** (-np.ceil(np.log2(height * width)) / 2)
            signs[:, height * width // 2] *= 2
        out = algorithm_1(c_out, c_in)[:, :, None] * signs[:, None]
        out = out.reshape(tensor.shape) + 0.0  # which makes -0 a 0
    elif name == "fc.weight":
        out = algorithm_1(*tensor.shape)
    elif name.endswith("bn2.weight"):
        out += 0.25
    elif name.endswith(("running_var", "weight")):
        out += 1
    return out.to(tensor.dtype)


def algorithm_1(fan_out: int, fan_in: int) -> torch.Tensor:
    if fan_out <= fan_in:
        return torch.eye(fan_out, fan_in, dtype=torch.float64)
    return twisted(fan_out, fan_in)


def twisted(fan_out: int, fan_in: int) -> torch.Tensor:
    """Blocks of Sylvester's matrix, each under column signs of squares; the first row negated."""
    prime = {64: 67, 128: 131, 147: 151, 256: 263, 512: 523, 1000: 1019}[fan_out]
    squares = {number * number % prime for number in range(prime)}
    block = scipy.linalg.hadamard(2 ** int(np.ceil(np.log2(fan_in))))[:, :fan_in]
    rows = []
    for first in range(0, fan_out, len(block)):
        signs = [1 if (first + column) % prime in squares else -1 for column in range(fan_in)]
        rows.append(block * signs)
    matrix = np.concatenate(rows)[:fan_out] / 2 ** (np.ceil(np.log2(fan_out)) / 2)
    matrix[0] *= -1
    return torch.from_numpy(matrix)


@pytest.mark.parametrize("number", some_long(range(3), lambda number: number > 0))
def test_no_environment_changes_a_byte(number: int, tmp_path: Path, expected: str) -> None:
    folder = tmp_path / f"folder {number}"
    folder.mkdir()
    done = child(
        "generate",
        "resnet18",
        "-o",
        "x",
        cwd=folder,
        env=ENVIRONMENTS[number],
        umask=(0o022, 0o077, 0o000)[number],
    )
    assert (done.returncode, done.stdout) == (0, f"{expected}  x\n"), done.stderr


def test_the_processs_seeds_types_and_threads_change_nothing(expected: str) -> None:
    threads = torch.get_num_threads()
    torch.manual_seed(123)
    np.random.seed(123)
    random.seed(123)
    states = torch.get_rng_state(), random.getstate()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        with torch.device("meta"):
            plan = plan_source(SOURCE, Options())
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)
    assert plan_sha256(plan) == expected
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
