"""Derive a checkpoint's SHA-256 from its plan, with nothing but Python's standard library.

    zeroinit plan resnet18 --json | python docs/check.py - [init.safetensors | DIR | zeroinit.lock]

A second implementation of docs/format.md, which shares no code with zeroinit. It prints the SHA-256
that the checkpoint must have, of each file if it is in shards. Exit codes: 0, the plan has its
digest, and what is given, a file, a folder of shards or a lock, has that SHA-256; 1, something has
not; 2, the input cannot be used.
"""

import base64
import hashlib
import json
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from math import isqrt, prod
from pathlib import Path
from typing import Any, NamedTuple

SCHEME = "zero-2"
UNITS = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
WHOLE, INDEX = "model.safetensors", "model.safetensors.index.json"
FAMILY = re.compile(r"model(-[0-9]{5,}-of-[0-9]{5,})?\.safetensors(\.index\.json)?")
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
    half_exponent: int = 0  # every constant is multiplied by 2^(half_exponent / 2)

    def constant(self, half_exponent: int) -> tuple[bytes, bytes]:
        """The elements c = 2^(half_exponent / 2), rounded half to even, and -c."""
        half_exponent += self.half_exponent
        if self.dtype not in FLOATS:
            require(half_exponent == 0, f"{self.dtype} holds no fractions")
            return (1).to_bytes(self.itemsize, "little"), b""
        bits = self.root(1, half_exponent)
        sign = 1 << 8 * self.itemsize - 1
        plus, minus = (each.to_bytes(self.itemsize, "little") for each in (bits, bits | sign))
        return plus, minus

    def times(self, rule: Rule) -> "Stored":
        """The same, every constant multiplied by that of a rule."""
        return self._replace(half_exponent=self.half_exponent + rule["half_exponent"])

    def root(self, number: int, exponent: int) -> int:
        """The bits of sqrt(number * 2^exponent), rounded half to even."""
        mantissa, bias = FLOATS[self.dtype]
        leading = max((number.bit_length() - 1 + exponent) // 2, 1 - bias)
        require(leading <= bias, f"sqrt({number} * 2^{exponent}) is beyond {self.dtype}")
        shift = exponent - 2 * (leading - mantissa) + 2  # the last bit of the root is a half
        up, down = max(shift, 0), max(-shift, 0)
        root = isqrt(number << up >> down)
        tie = root % 2 == 1 and root * root << down == number << up
        significand = (root + 1) // 2 - (tie and root % 4 == 1)
        return (leading + bias - 1 << mantissa) + significand if number else 0


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


def constant(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """One number many times: the root of its square, which is rounded like any other."""
    numerator, denominator = rule["value"].as_integer_ratio()
    bits = stored.root(numerator**2, 2 - 2 * denominator.bit_length())
    bits |= (numerator < 0) << 8 * stored.itemsize - 1
    return repeated(bits.to_bytes(stored.itemsize, "little"), prod(shape))


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


def twisted(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Row i of `hadamard` under signs, a window of chi(k mod p) from its block on; 0 negated."""
    (plus, minus), prime = stored.constant(rule["half_exponent"]), rule["prime"]
    sign, nbytes = bytes(x ^ y for x, y in zip(plus, minus, strict=True)), shape[1] * len(plus)
    squares = {x * x % prime for x in range(prime)}
    flips = (bytes(len(plus)) if k % prime in squares else sign for k in range(prime + shape[1]))
    table = b"".join(flips)
    for i, row in enumerate(hadamard(rule, shape, stored)):
        start = (i - i % rule["block"]) % prime * len(plus)
        bits = int.from_bytes(row) ^ int.from_bytes(table[start : start + nbytes])
        yield (bits ^ int.from_bytes(sign * shape[1] * (i == 0))).to_bytes(nbytes)


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


def centred_taps(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Each row of a matrix at every tap, under signs relative to the centre's; that is doubled."""
    count, centre, exact = prod(shape[2:]), 0, Stored("F64", 8, {})
    for each in shape[2:]:
        centre = centre * each + each // 2
    exponent = rule["signs"]["half_exponent"] + sum(exponents(rule["of"])[:1])
    values = [stored.constant(exponent + 2 * (tap == centre)) for tap in range(count)]
    signs = rows(rule["signs"], (shape[0], count), exact)
    for row, of_taps in zip(rows(rule["of"], shape[:2], exact), signs, strict=True):
        negative = [of_taps[at] >> 7 for at in range(7, len(of_taps), 8)]  # the sign bits
        flips = [each ^ negative[centre] for each in negative]
        plus, minus = (
            b"".join(values[tap][flips[tap] ^ sign] for tap in range(count)) for sign in (0, 1)
        )
        found = [row[at : at + 8] for at in range(0, len(row), 8)]
        yield b"".join(
            (minus if each[7] >> 7 else plus) if any(each) else bytes(len(plus)) for each in found
        )


def block_means(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Each row a constant in one block of one column's taps, 0 elsewhere."""
    (height, width, *kernel), grid = shape, rule["grid"]
    plus, zero = stored.constant(rule["half_exponent"])[0], bytes(stored.itemsize)
    for i in range(height):
        block, inside = i // width, [True]
        for axis, count in enumerate(grid):
            own = block // prod(grid[axis + 1 :]) % count
            taps = [tap * count // kernel[axis] == own for tap in range(kernel[axis])]
            inside = [each and tap for each in inside for tap in taps]
        own_column = b"".join(plus if each else zero for each in inside)
        before, after = (count * len(own_column) for count in (i % width, width - 1 - i % width))
        yield bytes(before) + own_column + bytes(after)


def groups(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """The same rule again for each part of dimension 0."""
    for _ in range(rule["count"]):
        yield from blocks(rule["of"], (shape[0] // rule["count"], *shape[1:]), stored)


def split(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """Each part of dimension 0 by its own rule."""
    for part in rule["parts"]:
        yield from blocks(part["of"], (part["rows"], *shape[1:]), stored)


def interleaved(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """So many blocks, in each some rows of every part's own tensor, where those before end."""
    count, parts = rule["blocks"], rule["parts"]
    tensors = [rows(each["of"], (count * each["rows"], *shape[1:]), stored) for each in parts]
    for _ in range(count):
        for each, tensor in zip(parts, tensors, strict=True):
            yield from islice(tensor, each["rows"])


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


def exponents(rule: Rule) -> list[int]:
    """The half exponents that a rule names."""
    return [*map(int, re.findall(r'"half_exponent":(-?[0-9]+)', as_json(rule).decode()))]


def squares(of: Rule, shape: Shape, dim: int | None) -> tuple[int, list[int]]:
    """The sum of the squares of each slice: an exponent e and integers s, each sum s * 2^e."""
    exact = Stored("F64", 8, {})
    least = min(0, *exponents(of), 0)
    found = range(2 * least, 3)  # centred taps multiply two constants, and double that
    powers = {int.from_bytes(bits, "little"): e for e in found for bits in exact.constant(e)}
    counts: list[Counter[int]] = [Counter() for _ in range(1 if dim is None else shape[dim])]
    inner = prod(shape[(dim or 0) + 1 :])
    for i, row in enumerate(rows(of, shape, exact)):
        if not dim:
            counts[i if dim == 0 else 0].update(elements(row, exact))
        else:
            for j, count in enumerate(counts):
                for at in range(j * inner, (j + 1) * inner):
                    count.update(elements(row, exact)[at :: len(counts) * inner])
    sums = [sum(n << powers[x] - min(found) for x, n in each.items() if x) for each in counts]
    return min(found), sums


def norms(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """The norm of each slice of another tensor, exact until it is rounded."""
    exponent, sums = squares(rule["of"], tuple(rule["shape"]), rule["dim"])
    for each in sums:
        yield stored.root(each, exponent).to_bytes(stored.itemsize, "little")


def directions(rule: Rule, shape: Shape, stored: Stored) -> Bytes:
    """A tensor, but 1 in the first place of each slice that is 0."""
    dim, size, one = rule["dim"], stored.itemsize, stored.constant(0)[0]
    zero = [each == 0 for each in squares(rule["of"], shape, dim)[1]]
    inner = prod(shape[(dim or 0) + 1 :])
    for i, row in enumerate(rows(rule["of"], shape, stored)):
        out = bytearray(row)
        begun = [i] if dim == 0 else range(len(zero)) if i == 0 else []  # slices, by this row
        for j in begun:
            at = j * inner * size if dim else 0
            out[at : at + size] = one if zero[j] else out[at : at + size]
        yield bytes(out)


RULES: dict[str, tuple[Any, ...]] = {  # the layout of each rule, and its parameters
    "zeros": (lambda rule, shape, stored: repeated(bytes(stored.itemsize), prod(shape)),),
    "ones": (lambda rule, shape, stored: repeated(stored.constant(0)[0], prod(shape)),),
    "constant": (constant, "value"),
    "kept": (lambda rule, shape, stored: iter([stored.kept[rule["sha256"]]]), "sha256"),
    "identity": (identity,),
    "hadamard": (hadamard, "half_exponent"),
    "twisted": (twisted, "block", "half_exponent", "prime"),
    "mirrored": (mirrored, "of"),
    "scaled": (lambda r, shape, s: blocks(r["of"], shape, s.times(r)), "half_exponent", "of"),
    "viewed": (viewed, "of", "rows"),
    "taps": (taps, "of", "ranges"),
    "centred-taps": (centred_taps, "of", "signs"),
    "block-means": (block_means, "grid", "half_exponent"),
    "groups": (groups, "count", "of"),
    "split": (split, "parts"),
    "interleaved": (interleaved, "blocks", "parts"),
    "transposed": (transposed, "of"),
    "zero-row": (zero_row, "of", "row"),
    "norms": (norms, "dim", "of", "shape"),
    "directions": (directions, "dim", "of"),
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


def nbytes_of(tensors: list[Rule]) -> int:
    """Bytes of tensors."""
    return sum(prod(each["shape"]) * ITEMSIZE[each["dtype"]] for each in tensors)


def header_of(tensors: list[Rule]) -> bytes:
    """A file's bytes before its first tensor."""
    table: Rule = {"__metadata__": {"format": "pt"}}
    end = 0
    for each in tensors:
        start, end = end, end + nbytes_of([each])
        table[each["name"]] = {key: each[key] for key in ("dtype", "shape")}
        table[each["name"]]["data_offsets"] = [start, end]
    header = as_json(table)
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header


def derive(plan: Rule) -> str:
    """The SHA-256 of the plan's checkpoint: the header, then every tensor."""
    sha256 = hashlib.sha256(header_of(plan["tensors"]))
    for each in plan["tensors"]:
        stored = Stored(each["dtype"], ITEMSIZE[each["dtype"]], plan["kept"])
        left = prod(each["shape"]) * stored.itemsize
        for block in blocks(each["rule"], tuple(each["shape"]), stored):
            sha256.update(block)
            left -= len(block)
        require(left == 0, f"the rule of {each['name']} does not fit its shape")
    return sha256.hexdigest()


def cut(plan: Rule) -> list[list[Rule]]:
    """The tensors of each file: all in one, or filled shard by shard."""
    word = plan.get("options", {}).get("max-shard-size")
    if word is None:
        return [plan["tensors"]]
    number = word.rstrip("BKMGT")
    most, filled = int(number) * UNITS[word.removeprefix(number)], 0
    closed: list[list[Rule]] = []
    filling: list[Rule] = []
    for each in sorted(plan["tensors"], key=lambda each: each["position"]):
        nbytes = nbytes_of([each])
        if nbytes > most:
            closed.append([each])
            continue
        if filled + nbytes > most:
            closed.append(filling)
            filling, filled = [], 0
        filling.append(each)
        filled += nbytes
    closed += [filling] if filling or not closed else []
    return [sorted(s, key=lambda each: (TYPES.index(each["dtype"]), each["name"])) for s in closed]


def files_of(plan: Rule) -> list[Rule]:
    """Path, SHA-256 and size of each file of the checkpoint: one, or shards and their index."""
    every = cut(plan)
    names = [f"model-{i + 1:05}-of-{len(every):05}.safetensors" for i in range(len(every))]
    files = []
    for name, tensors in zip(names if len(every) > 1 else [WHOLE], every, strict=True):
        size = len(header_of(tensors)) + nbytes_of(tensors)
        files.append({"path": name, "sha256": derive({**plan, "tensors": tensors}), "size": size})
    if len(every) > 1:
        places = {each["name"]: n for n, shard in zip(names, every, strict=True) for each in shard}
        index = {"metadata": {"total_size": nbytes_of(plan["tensors"])}, "weight_map": places}
        text = json.dumps(index, indent=2, sort_keys=True).encode() + b"\n"
        files.append({"path": INDEX, "sha256": hashlib.sha256(text).hexdigest(), "size": len(text)})
    return files


def sums(files: list[Rule]) -> str:
    """The digests, a line for each file."""
    return "".join(f"{each['sha256']}  {each['path']}\n" for each in files)


def entries_hold(lock: Rule, plan: Rule, files: list[Rule]) -> bool:
    """Whether a lock has entries of the plan, and all of them say the same of the files."""
    size, (whole, *others) = plan.get("options", {}).get("max-shard-size"), files
    if others:
        sha256 = hashlib.sha256(sums(files).encode()).hexdigest()
        whole = {"sha256": sha256, "size": sum(each["size"] for each in files)}
    found = []
    for each in lock["checkpoint"]:
        if (each["plan"], each["options"].get("max-shard-size")) == (plan["digest"], size):
            folder = each["path"].removeprefix("./")
            shards = [{**file, "path": folder + file["path"]} for file in files if others]
            same = all(each[key] == whole[key] for key in ("sha256", "size"))
            found.append(same and each.get("shard", []) == shards)
    return bool(found) and all(found)


def differing(path: Path, plan: Rule, files: list[Rule]) -> list[str]:
    """What has other digests: a lock, files of a folder, or a file; or is one too many there."""
    if path.suffix == ".lock":
        holds = entries_hold(tomllib.loads(path.read_text()), plan, files)
        return [] if holds else [f"the digest of {path}"]
    paths = [path / each["path"] for each in files] if path.is_dir() else [path]
    wrong = []
    for each, expected in zip(paths, files, strict=True):
        with each.open("rb") as file:
            same = hashlib.file_digest(file, "sha256").hexdigest() == expected["sha256"]
        wrong += [] if same else [f"the digest of {each}"]
    others = sorted(set(path.iterdir()).difference(paths)) if path.is_dir() else []
    return wrong + [f"{each}, a part of another" for each in others if FAMILY.fullmatch(each.name)]


def main(plan: str, checkpoint: str = "") -> int:
    """Print the SHA-256 that the plan gives, and hold the checkpoint against it."""
    try:
        read, holds = read_plan(sys.stdin.buffer.read() if plan == "-" else Path(plan).read_bytes())
        files = files_of(read)
        wrong = ["the digest of the plan"] * (not holds)
        wrong += differing(Path(checkpoint), read, files) if checkpoint else []
    except (OSError, ArithmeticError, LookupError, TypeError, ValueError) as error:
        print(f"unusable: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    print(files[0]["sha256"] if len(files) == 1 else sums(files).rstrip("\n"))
    for each in wrong:
        print(f"differs: {each}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]) if len(sys.argv) in (2, 3) else __doc__)
