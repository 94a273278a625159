"""Wrong turns that a text can take: bytes, words, numbers, lines and layout, by a seed."""

import random
import re
from collections.abc import Sequence

_TEXT = r"""
    0 -1 1 2 3 7 16 512 1024 65536 16777216 16777217 4294967296 9223372036854775807
    99999999999999999999999999 -0 0x10 0o17 010 1_000 1e3 1e309 1e-400 .5 -.inf .nan 0.1 1.5
    true false yes no on null ~ none same valid '' "x" [] {} [1] [1,2] [0] [[1]] {a: 1} - ? : ,
    | > & * ! % @ ` # --- ... << *a &a !!str !!python/object:os.system !x ReLU Linear Conv2d
    Relu linear BatchNorm2d LayerNorm Embedding MaxPool2d Flatten Unflatten Upsample
    ConvTranspose2d GroupNorm PReLU GLU Softmax PixelShuffle TransformerEncoderLayer residual
    parallel repeat sequential branches layers shortcut count join dim cat add mul name zeroinit
    input model torchvision arguments mlp cnn resnet vit gpt encoder init policy dtype overrides
    pattern rule hidden_features out_features in_features out_channels kernel_size stride
    padding groups bias num_classes num_heads num_kv_heads head_dim hidden_dim num_layers
    max_seq_len vocab_size norm positions rotary learned GroupNorm Bottleneck resnet18
"""
SPEC_WORDS = [word.encode() for word in _TEXT.split()]
"""What mutants of specs are made with; the other readers have words of their own."""
_BYTES = (
    b"\x00",
    b"\xff",
    b"\xc3\x28",
    b"\xef\xbb\xbf",
    b"\r",
    b"\r\n",
    b"\t",
    b"\x85",
    b"\x1b[0m",
)
_DIGITS = re.compile(rb"[0-9]+")
_TOKEN = re.compile(rb"[A-Za-z_0-9.\-]+|[^\sA-Za-z_0-9]")


def mutated(
    data: bytes,
    others: Sequence[bytes],
    chance: random.Random,
    words: Sequence[bytes] = SPEC_WORDS,
) -> bytes:
    """One to four mutations, each of one of the kinds below.

    Args:
        data: what to mutate.
        others: what else lines and ends can come from.
        chance: decides everything.
        words: what a word may become.
    """
    kinds = (_token, _number, _line, _lines, _indent, _byte, _splice, _nest, _repeat)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        if chance.random() < 0.25:
            data = _word(data, words, chance)
        else:
            data = chance.choice(kinds)(data, others, chance)
    return data[:200_000]


def _word(data: bytes, words: Sequence[bytes], chance: random.Random) -> bytes:
    """Another word in place of one."""
    found = list(_TOKEN.finditer(data))
    if not found:
        return chance.choice(words)
    place = chance.choice(found)
    return data[: place.start()] + chance.choice(words) + data[place.end() :]


def _number(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A number becomes one of its neighbours, of the same digits or not."""
    found = list(_DIGITS.finditer(data))
    if not found:
        return data
    place = chance.choice(found)
    number = int(place[0][:19])
    near = (number + 1, number - 1, 2 * number, number // 2, -number, 2**64 - number, 10 * number)
    return data[: place.start()] + b"%d" % chance.choice(near) + data[place.end() :]


def _token(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Two words change places."""
    found = list(_TOKEN.finditer(data))
    if len(found) < 2:
        return data
    one, other = sorted(chance.sample(found, 2), key=lambda match: match.start())
    middle = data[one.end() : other.start()]
    return data[: one.start()] + other[0] + middle + one[0] + data[other.end() :]


def _line(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A line goes, comes twice, or comes from another text."""
    lines = data.split(b"\n")
    place = chance.randrange(len(lines))
    match chance.randrange(3):
        case 0:
            del lines[place]
        case 1:
            lines.insert(place, lines[place])
        case _:
            lines.insert(place, chance.choice(chance.choice(others).split(b"\n")))
    return b"\n".join(lines)


def _lines(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Some lines move elsewhere."""
    lines = data.split(b"\n")
    start = chance.randrange(len(lines))
    block = lines[start : start + chance.randint(1, 6)]
    del lines[start : start + len(block)]
    place = chance.randint(0, len(lines))
    return b"\n".join(lines[:place] + block + lines[place:])


def _indent(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A line moves to the left or right."""
    lines = data.split(b"\n")
    place = chance.randrange(len(lines))
    more = chance.choice((b" ", b"  ", b"\t", b"- "))
    lines[place] = more + lines[place] if chance.random() < 0.6 else lines[place].lstrip()
    return b"\n".join(lines)


def _byte(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A byte changes, goes, or is joined by others."""
    place = chance.randint(0, max(len(data) - 1, 0))
    new = chance.choice((bytes([chance.randrange(256)]), b"", chance.choice(_BYTES)))
    return data[:place] + new + data[place + chance.randint(0, 1) :]


def _splice(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """The beginning of one text and the end of another."""
    other = chance.choice(others)
    return data[: chance.randint(0, len(data))] + other[chance.randint(0, len(other)) :]


def _nest(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """Brackets and the like, many of them."""
    place = chance.randint(0, len(data))
    what = chance.choice((b"[", b"{", b"- ", b"{a: ", b"[[", b"? ", b"&a [", b"*a, ", b"'", b"\n "))
    return data[:place] + what * chance.choice((1, 5, 99, 101, 2000)) + data[place:]


def _repeat(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """A part of it again, many times."""
    start = chance.randint(0, len(data))
    part = data[start : start + chance.randint(1, 200)]
    return data[:start] + part * chance.choice((2, 10, 100)) + data[start:]
