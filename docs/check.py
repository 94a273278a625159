"""Derive a checkpoint's SHA-256 from its plan, with nothing but Python's standard library.

    zeroinit plan resnet18 --json | python docs/check.py - [init.safetensors]

A second implementation of docs/format.md, which shares no code with zeroinit. It prints the SHA-256
that the checkpoint must have. Exit codes: 0, the plan has its digest and the checkpoint, if one is
given, has that SHA-256; 1, something has not; 2, the input cannot be used.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from math import isqrt, prod
from pathlib import Path
from typing import Any, NamedTuple

SCHEME = "zero-1"
RUN_BYTES, BAND_BYTES = 1 << 20, 1 << 26  # of equal elements, and of columns to be made rows
# the types that a plan can hold, in the order of a file
TYPES = ("U64", "I64", "F64", "F32", "U32", "I32", "BF16", "F16", "U16", "I16", "I8", "U8", "BOOL")
ITEMSIZE = dict(zip(TYPES, (8, 8, 8, 4, 4, 4, 2, 2, 2, 2, 1, 1, 1), strict=True))
FLOATS = {"F64": (52, 1023), "F32": (23, 127), "F16": (10, 15), "BF16": (7, 127)}
FIELDS = ("dtype", "name", "rule", "shape", "tied_to")
Rule = dict[str, Any]
Shape = tuple[int, ...]
Bytes = Iterator[bytes]


class Stored(NamedTuple):
    """How a tensor's elements are stored, and the kept values of its plan."""

    dtype: str
    itemsize: int
    kept: dict[str, bytes]

    def constant(self, half_exponent: int) -> tuple[bytes, bytes]:
        """The elements c = 2^(half_exponent / 2), rounded half to even, and -c."""
        if self.dtype not in FLOATS:
            require(half_exponent == 0, f"{self.dtype} holds no fractions")
            return (1).to_bytes(self.itemsize, "little"), b""
        mantissa, bias = FLOATS[self.dtype]
        exponent = max(half_exponent // 2, 1 - bias)
        require(exponent <= bias, f"2^({half_exponent}/2) is beyond {self.dtype}")
        power = half_exponent - 2 * (exponent - mantissa)  # c is sqrt(2^power) units in its place
        significand = (isqrt(1 << power + 2) + 1) // 2 if power > -2 else 0
        bits = (exponent + bias - 1 << mantissa) + significand
        sign = 1 << 8 * self.itemsize - 1
        plus, minus = (each.to_bytes(self.itemsize, "little") for each in (bits, bits | sign))
        return plus, minus


def require(holds: bool, otherwise: str) -> None:
    """Raise if the input is not what the format says."""
    if not holds:
        raise ValueError(otherwise)


def blocks(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """The bytes of a tensor by a rule, in C order, in blocks of any length."""
    layout, *parameters = RULES[rule["rule"]]
    require({*rule} == {"rule", *parameters}, f"{rule['rule']} has other parameters: {parameters}")
    return layout(rule, shape, stored) if prod(shape) else iter(())


def rows(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """The same bytes, in one block for each index of dimension 0."""
    nbytes, data = prod(shape[1:]) * stored.itemsize, b""
    for block in blocks(rule, shape, stored):
        data += block
        ends = range(nbytes, len(data) + 1, nbytes)
        yield from (data[end - nbytes : end] for end in ends)
        data = data[len(ends) * nbytes :]


def repeated(element: bytes, count: int) -> Bytes:
    """One element many times, a run of them at once."""
    most = RUN_BYTES // len(element)
    yield from (element * min(most, count - done) for done in range(0, count, most))


def identity(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Row i has its only 1 in column i."""
    (height, width), size, one = shape, stored.itemsize, stored.constant(0)[0]
    for i in range(height):
        yield (bytes(min(i, width) * size) + one + bytes(width * size))[: width * size]


def hadamard(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Row i, its length doubled for each bit b of j: the second half is negated if i has b."""
    (height, width), (plus, minus) = shape, stored.constant(rule["half_exponent"])
    for i in range(height):
        row, negated = plus, minus
        for bit in range((width - 1).bit_length()):
            again, other = (negated, row) if i >> bit & 1 else (row, negated)
            row, negated = row + again, negated + other
        yield row[: width * stored.itemsize]


def paley(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Row i is a window of the table chi(-k mod p), k = 0, 1, ..., that starts at -i mod p."""
    (height, width), prime, size = shape, rule["prime"], stored.itemsize
    plus, minus = stored.constant(rule["half_exponent"])
    squares = {x * x % prime for x in range(prime)}
    table = b"".join(plus if -k % prime in squares else minus for k in range(prime + width))
    for i in range(height):
        start = -i % prime * size
        yield table[start : start + width * size]


def elements(data: bytes | bytearray, stored: Stored) -> Any:
    """The data as elements that can be moved, but not read as numbers."""
    return memoryview(data).cast({1: "B", 2: "H", 4: "I", 8: "Q"}[stored.itemsize])  # type: ignore[call-overload]


def mirrored(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Each row from its end to its beginning."""
    for row in rows(rule["of"], shape, stored):
        yield elements(row, stored)[::-1].tobytes()


def viewed(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """A matrix of so many rows, in whatever shape it is stored."""
    return blocks(rule["of"], (rule["rows"], prod(shape) // rule["rows"]), stored)


def taps(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """The matrix at each tap of the kernel, 0 at the other positions."""
    kernel, positions = shape[2:], [0]
    for (first, last), size in zip(rule["ranges"], kernel, strict=True):
        require(0 <= first <= last <= size, "taps outside the kernel")
        positions = [at * size + tap for at in positions for tap in range(first, last)]
    for row in rows(rule["of"], shape[:2], stored):
        out = bytearray(len(row) * prod(kernel))
        for position in positions:
            elements(out, stored)[position :: prod(kernel)] = elements(row, stored)
        yield bytes(out)


def groups(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """The same rule again for each part of dimension 0."""
    for _ in range(rule["count"]):
        yield from blocks(rule["of"], (shape[0] // rule["count"], *shape[1:]), stored)


def split(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Each part of dimension 0 by its own rule."""
    for part in rule["parts"]:
        yield from blocks(part["of"], (part["rows"], *shape[1:]), stored)


def transposed(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """What the rule has at (i, j, ...) is stored at (j, i, ...): some columns j at a time."""
    width, height, *rest = shape
    depth = prod(rest)
    most = max(BAND_BYTES // (height * depth * stored.itemsize), 1)
    for left in range(0, width, most):
        right = min(left + most, width)
        out = bytearray((right - left) * height * depth * stored.itemsize)
        for i, row in enumerate(rows(rule["of"], (height, width, *rest), stored)):
            columns = elements(row, stored)[left * depth : right * depth]
            for at in range(depth):
                elements(out, stored)[i * depth + at :: height * depth] = columns[at::depth]
        yield bytes(out)


def zero_row(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """A matrix, but for one row of zeros."""
    for i, row in enumerate(rows(rule["of"], shape, stored)):
        yield bytes(len(row)) if i == rule["row"] else row


RULES: dict[str, tuple[Any, ...]] = {  # the layout of each rule, and its parameters
    "zeros": (lambda rule, shape, stored: repeated(bytes(stored.itemsize), prod(shape)),),
    "ones": (lambda rule, shape, stored: repeated(stored.constant(0)[0], prod(shape)),),
    "kept": (lambda rule, shape, stored: iter([stored.kept[rule["sha256"]]]), "sha256"),
    "identity": (identity,),
    "hadamard": (hadamard, "half_exponent"),
    "paley": (paley, "half_exponent", "prime"),
    "mirrored": (mirrored, "of"),
    "viewed": (viewed, "of", "rows"),
    "taps": (taps, "of", "ranges"),
    "groups": (groups, "count", "of"),
    "split": (split, "parts"),
    "transposed": (transposed, "of"),
    "zero-row": (zero_row, "of", "row"),
}


def as_json(data: Rule, *, sort: bool = False) -> bytes:
    """UTF-8 JSON without spaces."""
    return json.dumps(data, sort_keys=sort, separators=(",", ":"), ensure_ascii=False).encode()


def read_plan(text: bytes) -> tuple[Rule, bool]:
    """The plan, its order checked, and whether its digests hold."""
    plan: Rule = json.loads(text)
    require(plan["scheme"] == SCHEME, f"scheme {plan['scheme']!r} is not {SCHEME!r}")
    order = [(TYPES.index(tensor["dtype"]), tensor["name"]) for tensor in plan["tensors"]]
    require(order == sorted(set(order)), "tensors twice or not in file order")
    plain = [{field: tensor[field] for field in FIELDS} for tensor in plan["tensors"]]
    canonical = as_json({"scheme": SCHEME, "tensors": plain}, sort=True)
    plan["kept"] = {key: base64.b64decode(value) for key, value in plan["kept"].items()}
    digests = {plan["digest"]: canonical, **{f"sha256:{k}": v for k, v in plan["kept"].items()}}
    return plan, all(f"sha256:{hashlib.sha256(v).hexdigest()}" == k for k, v in digests.items())


def derive(plan: Rule) -> str:
    """The SHA-256 of the plan's checkpoint: the header, then every tensor."""
    table: Rule = {"__metadata__": {"format": "pt"}}
    end = 0
    for each in plan["tensors"]:
        start, end = end, end + prod(each["shape"]) * ITEMSIZE[each["dtype"]]
        table[each["name"]] = {key: each[key] for key in ("dtype", "shape")}
        table[each["name"]]["data_offsets"] = [start, end]
    header = as_json(table)
    header += b" " * (-len(header) % 8)
    sha256 = hashlib.sha256(len(header).to_bytes(8, "little") + header)
    for each in plan["tensors"]:
        stored = Stored(each["dtype"], ITEMSIZE[each["dtype"]], plan["kept"])
        left = prod(each["shape"]) * stored.itemsize
        for block in blocks(each["rule"], tuple(each["shape"]), stored):
            sha256.update(block)
            left -= len(block)
        require(left == 0, f"the rule of {each['name']} does not fit its shape")
    return sha256.hexdigest()


def main(plan: str, checkpoint: str = "") -> int:
    """Print the SHA-256 that the plan gives, and hold the checkpoint against it."""
    try:
        read, holds = read_plan(sys.stdin.buffer.read() if plan == "-" else Path(plan).read_bytes())
        found = derived = derive(read)
        if checkpoint:
            with Path(checkpoint).open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        print(f"unusable: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(derived)
    wrong = ["the plan"] * (not holds) + [checkpoint] * (found != derived)
    for each in wrong:
        print(f"differs: the digest of {each}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) in (2, 3) else __doc__)
