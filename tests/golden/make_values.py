"""Digests of Algorithm 1 for many shapes, restated without a line of the package.

Run once, by hand, when a scheme is born; no test run calls it:
    python -m tests.golden.make_values > tests/golden/values.json
"""

import hashlib
import json
from decimal import Decimal, getcontext

import numpy as np
import torch

SIZES = [*range(1, 66), *(2**k + d for k in (7, 8, 9, 10) for d in (-1, 0, 1))]
DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def constant(fan_out: int, policy: str) -> Decimal:
    """c = 2^(-m/2), or 2^(-(m-1)/2), to 60 digits."""
    getcontext().prec = 60
    m = 0
    while 2**m < fan_out:
        m += 1
    return Decimal(2) ** (Decimal(-m if policy == "default" else -(m - 1)) / 2)


def signs(size: int) -> np.ndarray:
    """The Sylvester matrix of the next power of two, by the Kronecker product."""
    matrix = np.array([[1]], np.int8)
    while len(matrix) < size:
        matrix = np.kron(np.array([[1, 1], [1, -1]], np.int8), matrix)
    return matrix


def twisted(sylvester: np.ndarray, fan_out: int, fan_in: int) -> np.ndarray:
    """The same, its columns under signs of quadratic residues, block by block; row 0 negated."""
    prime = fan_out + 1
    while prime % 4 != 3 or any(prime % divisor == 0 for divisor in range(2, prime)):
        prime += 1
    chi = -np.ones(prime, np.int8)
    chi[[x * x % prime for x in range(prime)]] = 1
    matrix = sylvester[:fan_out, :fan_in].copy()
    block = 2
    while block < fan_in:
        block *= 2
    for row in range(fan_out):
        start = row // block * block
        matrix[row] *= chi[(start + np.arange(fan_in)) % prime]
    matrix[0] *= -1
    return matrix


def nearest(value: Decimal, dtype: torch.dtype) -> torch.Tensor:
    """The number of a type that is nearest to an exact value, by trying the neighbours."""
    guess = torch.tensor(float(value), dtype=torch.float64).to(dtype)
    ends = [torch.tensor(end, dtype=dtype) for end in (torch.inf, -torch.inf)]
    candidates = [guess, *(torch.nextafter(guess, end) for end in ends)]
    return min(candidates, key=lambda candidate: abs(Decimal(candidate.item()) - value))


def digests() -> dict[str, dict[str, str]]:
    """For each type and policy, and each fan_out, one digest over all fan_in in turn."""
    sylvester = signs(max(SIZES))
    table: dict[str, dict[str, str]] = {}
    for dtype in DTYPES:
        for policy in ("default", "paper"):
            row = table.setdefault(f"{str(dtype).removeprefix('torch.')} {policy}", {})
            for fan_out in SIZES:
                c = nearest(constant(fan_out, policy), dtype)
                sha256 = hashlib.sha256()
                for fan_in in SIZES:
                    if fan_out <= fan_in:
                        matrix = torch.eye(fan_out, fan_in, dtype=dtype)
                    else:
                        expansion = sylvester[:fan_out, :fan_in]
                        if policy == "default":
                            expansion = twisted(sylvester, fan_out, fan_in)
                        matrix = torch.from_numpy(expansion).to(dtype) * c
                    sha256.update(matrix.contiguous().view(torch.uint8).numpy().tobytes())
                row[str(fan_out)] = sha256.hexdigest()
    return table


if __name__ == "__main__":
    print(json.dumps(digests(), indent=1))  # noqa: T201 - a script
