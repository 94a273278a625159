"""The files of the corpus, told in Python: python -m tests.attacks.corpus writes them anew.

One file a case in headers/, indexes/, locks/ and specs/. Most are wrong; those whose name ends in
-sound are only odd. What the command says of each, to the letter, stands beside it in a .txt, which
a person has to read after it was written anew.
"""

import json
from pathlib import Path
from typing import Any

from tests.entries import entry
from zeroinit_cli.lock.write import render_lock

HERE = Path(__file__).parent
SUFFIXES = {
    "headers": ".safetensors",
    "indexes": ".safetensors.index.json",
    "locks": ".lock",
    "specs": ".yaml",
}
_DEEP = 20_000  # levels, of which Python's stack holds a twentieth
_ESCAPE = "\x1b]0;owned\x07\x1b[2J"
_BIDI = "\u202egnp.\u202ctxt"  # shown as if it ended otherwise
_FORGED = "x\nok: all is well"
_SURROGATE = '"\\ud800"'


def tensor(shape: Any = (2,), start: Any = 0, end: Any = 8, dtype: Any = "F32", **more: Any) -> Any:
    """An entry of a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end], **more}


def sealed(text: bytes, data: bytes = bytes(8), *, length: int | None = None) -> bytes:
    """A file: the length of the header, as announced, the header, the data."""
    announced = len(text) if length is None else length
    return announced.to_bytes(8, "little") + text + data


def written(table: Any, data: bytes = bytes(8)) -> bytes:
    """A file whose header is this table."""
    return sealed(json.dumps(table, ensure_ascii=False).encode(), data)


def raw(old: str, new: str) -> bytes:
    """A sound file, but for something that JSON's writer would not write."""
    text = json.dumps({"a": tensor()})
    assert old in text
    return sealed(text.replace(old, new, 1).encode())


SOUND = json.dumps({"a": tensor()}).encode()
PAIR = {"a": tensor(), "b": tensor(start=8, end=16)}

HEADERS: dict[str, bytes] = {
    # the length before the header
    "length-none": b"",
    "length-cut": b"\x10\0\0\0\0\0\0",
    "length-0": sealed(b"", b""),
    "length-0-with-data": sealed(b""),
    "length-1": sealed(b"{", b""),
    "length-beyond-the-file": sealed(SOUND, b"", length=len(SOUND) + 1),
    "length-2-to-the-63": sealed(SOUND, length=1 << 63),
    "length-2-to-the-64-less-1": sealed(SOUND, length=(1 << 64) - 1),
    "length-odd-sound": written({"__metadata__": {"odd": "1"}}, b""),
    "length-into-the-data": sealed(SOUND, length=len(SOUND) + 4),
    "length-short-by-one": sealed(SOUND, length=len(SOUND) - 1),
    # what is no JSON object
    "text-another-format-zip": b"PK\x03\x04" + bytes(60),
    "text-another-format-gguf": b"GGUF\x03\0\0\0" + bytes(60),
    "text-array": sealed(b"[]", b""),
    "text-string": sealed(b'"a"', b""),
    "text-leading-space": sealed(b" " + SOUND),
    "text-byte-order-mark": sealed(b"\xef\xbb\xbf" + SOUND),
    "text-utf-16": sealed(SOUND.decode().encode("utf-16-le")),
    "text-not-utf-8": raw('"a"', '"a').replace(b'"a', b'"a\xff"', 1),
    "text-overlong-utf-8": raw('"a"', '"a').replace(b'"a', b'"a\xc0\xaf"', 1),
    "text-trailing-nul": sealed(SOUND + b"\0\0"),
    "text-trailing-object": sealed(SOUND + b"{}"),
    "text-trailing-spaces-sound": sealed(SOUND + b" \t\r\n"),
    "text-comment": sealed(b"{/**/}", b""),
    "text-nan": raw("[2]", "[NaN]"),
    "text-infinity": raw("[2]", "[-Infinity]"),
    "text-raw-line-feed-in-a-name": raw('"a"', '"a\n"'),
    "nested-arrays": sealed(b'{"a":' + b"[" * _DEEP + b"]" * _DEEP + b"}"),
    "nested-objects": sealed(b'{"a":' * _DEEP + b"1" + b"}" * _DEEP),
    "nested-in-an-unknown-field": written({"a": tensor(x=[[[[[[[[[[1]]]]]]]]]])}),
    # keys twice
    "twice-a-tensor": sealed(b'{"a":%s,"a":%s}' % ((json.dumps(tensor()).encode(),) * 2)),
    "twice-a-tensor-escaped": sealed(b'{"a":%s,"\\u0061":1}' % json.dumps(tensor()).encode()),
    "twice-a-field": raw('"shape"', '"shape": [], "shape"'),
    "twice-metadata": raw('"a"', '"__metadata__": {}, "__metadata__": {}, "a"'),
    "twice-in-metadata": raw('"a"', '"__metadata__": {"a": "1", "a": "2"}, "a"'),
    # metadata
    "metadata-null": written({"__metadata__": None}, b""),
    "metadata-array": written({"__metadata__": []}, b""),
    "metadata-number": written({"__metadata__": {"a": 1}}, b""),
    "metadata-nested": written({"__metadata__": {"a": {"b": "c"}}}, b""),
    "metadata-a-tensor": written({"__metadata__": tensor()}),
    "metadata-lone-surrogate": sealed(b'{"__metadata__":{"a":%s}}' % _SURROGATE.encode(), b""),
    "metadata-escapes-sound": written({"__metadata__": {_ESCAPE: _BIDI + _FORGED}}, b""),
    # entries
    "entry-array": written({"a": ["F32", [2], [0, 8]]}),
    "entry-null": written({"a": None}),
    "entry-empty": written({"a": {}}),
    "entry-without-dtype": written({"a": {"shape": [2], "data_offsets": [0, 8]}}),
    "entry-unknown-field": written({"a": tensor(strides=[1])}),
    "entry-unknown-field-of-escapes": written({"a": tensor(**{_ESCAPE: 1})}),
    "dtype-unknown": written({"a": tensor(dtype="F128")}),
    "dtype-lower-case": written({"a": tensor(dtype="f32")}),
    "dtype-number": written({"a": tensor(dtype=32)}),
    "dtype-object": written({"a": tensor(dtype={"F32": None})}),
    "dtype-long": written({"a": tensor(dtype="F" * 10_000)}),
    "dtype-escapes": written({"a": tensor(dtype=_ESCAPE)}),
    "dtype-packed-uneven": written({"a": tensor((3,), 0, 2, "F4")}, bytes(2)),
    "dtype-packed-sound": written({"a": tensor((4,), 0, 2, "F4")}, b"\x10\x32"),
    # shapes
    "shape-negative": written({"a": tensor([-2])}),
    "shape-minus-zero": raw("[2]", "[-0]").replace(b"[0, 8]", b"[0, 0]")[:-8],
    "shape-float": written({"a": tensor([2.0])}),
    "shape-exponent": raw("[2]", "[2e0]"),
    "shape-bool": written({"a": tensor([True, 2])}),
    "shape-string": written({"a": tensor(["2"])}),
    "shape-null": written({"a": tensor(None)}),
    "shape-object": written({"a": tensor({"0": 2})}),
    "shape-nested": written({"a": tensor([[2]])}),
    "shape-2-to-the-64": written({"a": tensor([1 << 64])}),
    "shape-huge-number": written({"a": tensor([int("9" * 300)])}),
    "shape-5000-digits": raw("[2]", f"[{'9' * 5000}]"),
    "shape-product-overflows": written({"a": tensor([1 << 32, 1 << 32])}),
    "shape-product-overflows-to-0": written({"a": tensor([1 << 63, 2, 0], 0, 0)}, b""),
    "shape-product-wraps-to-fit": written({"a": tensor([(1 << 62) + 1, 4, 1], 0, 16)}, bytes(16)),
    "shape-bits-overflow": written({"a": tensor([1 << 61], 0, 0, "F64")}, b""),
    "shape-terabytes": written({"a": tensor([1 << 40], 0, 1 << 42)}),
    "shape-of-1000-ones-sound": written({"a": tensor([1] * 1000 + [2])}),
    "shape-zero-size-sound": written({"a": tensor([0, 5], 0, 0), "b": tensor([], 0, 4)}, bytes(4)),
    "shape-zero-of-quintillions-sound": written({"a": tensor([0, 1 << 63], 0, 0)}, b""),
    # offsets
    "offsets-overlapping": written({"a": tensor(), "b": tensor(start=4, end=12)}, bytes(12)),
    "offsets-the-same": written({"a": tensor(), "b": tensor()}),
    "offsets-reversed": written({"a": tensor(start=8, end=0)}),
    "offsets-a-hole": written({"a": tensor(), "b": tensor(start=12, end=20)}, bytes(20)),
    "offsets-a-hole-at-the-start": written({"a": tensor(start=4, end=12)}, bytes(12)),
    "offsets-a-hole-at-the-end": written({"a": tensor()}, bytes(12)),
    "offsets-beyond-the-file": written({"a": tensor(), "b": tensor(start=8, end=16)}),
    "offsets-2-to-the-64": written({"a": tensor(start=1 << 64, end=(1 << 64) + 8)}),
    "offsets-2-to-the-64-less-8": written({"a": tensor(start=(1 << 64) - 16, end=(1 << 64) - 8)}),
    "offsets-negative": written({"a": tensor(start=-8, end=0)}),
    "offsets-minus-zero": raw("[0, 8]", "[-0, 8]"),
    "offsets-float": written({"a": tensor(start=0.0, end=8.0)}),
    "offsets-bool": written({"a": tensor((1,), False, True, "U8")}, b"1"),
    "offsets-three": raw("[0, 8]", "[0, 8, 8]"),
    "offsets-one": raw("[0, 8]", "[8]"),
    "offsets-null": raw("[0, 8]", "null"),
    "offsets-zero-size-inside": written({"a": tensor(), "b": tensor([0], 4, 4)}),
    "offsets-zero-size-at-the-end-sound": written({"a": tensor(), "b": tensor([0], 8, 8)}),
    # names
    "name-empty-sound": written({"": tensor()}),
    "name-terminal-escapes-sound": written({_ESCAPE: tensor()}),
    "name-bidi-override-sound": written({_BIDI: tensor()}),
    "name-forges-a-line-sound": written({_FORGED: tensor()}),
    "name-nul-sound": raw('"a"', '"\\u0000"'),
    "name-markup-sound": written({"[bold red]x[/]": tensor()}),
    "name-path-sound": written({"../../etc/passwd": tensor()}),
    "name-lone-surrogate": raw('"a"', _SURROGATE),
    "name-terminal-escapes-wrong": written({_ESCAPE: tensor([3])}),
    "name-bidi-override-wrong": written({_BIDI: tensor([3])}),
    "name-forges-a-line-wrong": written({_FORGED: tensor([3])}),
    "name-of-20000-letters-wrong": written({"n" * 20_000: tensor([3])}),
    # the data
    "data-cut": written(PAIR, bytes(15)),
    "data-none": written(PAIR, b""),
    "data-appended": written(PAIR, bytes(17)),
}

MAP = {"x": "a.safetensors", "y": "a.safetensors", "z": "b.safetensors"}


def index(weight_map: Any, **more: Any) -> bytes:
    """An index of shards."""
    return json.dumps({**more, "weight_map": weight_map}).encode()


def shard(name: str) -> bytes:
    """An index whose last tensor is in a shard of this name."""
    return index({**MAP, "z": name})


INDEXES: dict[str, bytes] = {
    "shard-above": shard("../outside.safetensors"),
    "shard-above-by-turns": shard("sub/../../outside.safetensors"),
    "shard-absolute": shard("/etc/passwd"),
    "shard-in-a-folder": shard("sub/b.safetensors"),
    "shard-windows-path": shard("..\\outside.safetensors"),
    "shard-windows-drive": shard("C:b.safetensors"),
    "shard-windows-stream": shard("b.safetensors:other"),
    "shard-dot": shard("."),
    "shard-dots": shard(".."),
    "shard-empty": shard(""),
    "shard-nul": shard("b\0.safetensors"),
    "shard-escapes": shard(_ESCAPE),
    "shard-bidi-override": shard(_BIDI),
    "shard-lone-surrogate": shard("\ud800"),
    "shard-name-too-long": shard("n" * 300),
    "shard-link-out": shard("link.safetensors"),
    "shard-link-to-itself": shard("loop.safetensors"),
    "shard-link-to-a-device": shard("zero.safetensors"),
    "shard-folder": shard("sub"),
    "shard-pipe": shard("pipe.safetensors"),
    "shard-missing": shard("c.safetensors"),
    "shard-the-index-itself": shard("x.safetensors.index.json"),
    "shard-unsound": shard("unsound.safetensors"),
    "map-missing": b"{}",
    "map-empty": index({}),
    "map-array": index([]),
    "map-null": index(None),
    "map-of-numbers": index({"x": 1}),
    "map-twice-a-tensor": b'{"weight_map": {"x": "a.safetensors", "x": "b.safetensors"}}',
    "map-twice": b'{"weight_map": {}, "weight_map": {"x": "a.safetensors"}}',
    "map-of-a-tensor-that-is-nowhere": index({**MAP, "w": "a.safetensors"}),
    "map-without-a-tensor": index({"x": "a.safetensors", "z": "b.safetensors"}),
    "map-of-another-shard": index({**MAP, "y": "b.safetensors"}),
    "map-name-escapes": index({**MAP, _ESCAPE: "a.safetensors"}),
    "tensor-in-two-shards": index({**MAP, "x": "same.safetensors"}),
    "metadata-array": index(MAP, metadata=[]),
    "metadata-lies-sound": index(MAP, metadata={"total_size": 10**30, _ESCAPE: [_BIDI]}),
    "text-empty": b"",
    "text-array": b"[]",
    "text-nested": b"[" * _DEEP,
    "text-nested-metadata": b'{"metadata": {"a": ' + b"[" * _DEEP + b"]" * _DEEP + b"}}",
    "text-not-utf-8": b'{"weight_map": {"x": "\xff"}}',
    "text-trailing": index(MAP) + b"x",
    "text-nan": b'{"metadata": {"a": NaN}, "weight_map": {"x": "a.safetensors"}}',
    "text-5000-digits": b'{"weight_map": ' + b"9" * 5000 + b"}",
}

_ONES = '"a=ones",'
_LOCK = render_lock([entry("a")])


def lock(old: str, new: str) -> bytes:
    """A sound lock, but for one thing."""
    assert old in _LOCK
    return _LOCK.replace(old, new, 1).encode()


def locked(path: str) -> bytes:
    """A lock of a checkpoint at this path, as TOML writes it."""
    return lock('path = "a"', f"path = {json.dumps(path)}")


def sourced(path: str) -> bytes:
    """A lock of a checkpoint that was made from this spec."""
    text = lock('"torchvision:resnet18"', json.dumps(path)).decode()
    head, arguments, tail = text.partition("arguments = ")
    assert arguments
    return f'{head}spec-sha256 = "{"0" * 64}"\n{tail.partition(chr(10))[2]}'.encode()


LOCKS: dict[str, bytes] = {
    "path-above": locked("../a"),
    "path-above-by-turns": locked("sub/../../a"),
    "path-absolute": locked("/etc/passwd"),
    "path-windows-drive": locked("C:\\a"),
    "path-windows-share": locked("\\\\server\\a"),
    "path-backslash": locked("sub\\..\\..\\a"),
    "path-empty": locked(""),
    "path-dot": locked("."),
    "path-twice-a-slash": locked("sub//a"),
    "path-nul": locked("a\0"),
    "path-escapes": locked(_ESCAPE),
    "path-bidi-override": locked(_BIDI),
    "path-forges-a-line": locked(_FORGED),
    "path-number": lock('path = "a"', "path = 1"),
    "path-twice": _LOCK.encode() + b"\n[[checkpoint]]" + _LOCK.encode().split(b"checkpoint]]")[1],
    "path-a-link-out": locked("link"),
    "path-a-link-to-itself": locked("loop"),
    "path-a-link-to-a-device": locked("zero"),
    "path-through-a-link-out": locked("folder-link/a"),
    "path-a-pipe": locked("pipe"),
    "path-a-folder": locked("sub"),
    "path-through-a-file": locked("file/a"),
    "path-too-long": locked("n" * 300),
    "source-unknown-prefix": lock("torchvision:", "os:"),
    "source-shell": lock("torchvision:resnet18", "$(reboot)"),
    "source-absolute-spec": sourced("/etc/x.yaml"),
    "source-windows-spec": sourced("C:\\x.yaml"),
    "source-windows-share": sourced("\\\\server\\x.yaml"),
    "source-spec-escapes": sourced(_ESCAPE + ".yaml"),
    "source-spec-without-digest": lock("torchvision:resnet18", "../x.yaml"),
    "arguments-object": lock("num_classes = 10", "num_classes = {a = 1}"),
    "arguments-nan": lock("num_classes = 10", "num_classes = nan"),
    "arguments-huge": lock("num_classes = 10", f"num_classes = {'9' * 4000}"),
    "arguments-date": lock("num_classes = 10", "num_classes = 1979-05-27T07:32:00Z"),
    "options-unknown": lock("float32", "float31"),
    "options-more": lock('dtype = "float32"', 'dtype = "float32", seed = 1'),
    "overrides-unknown-rule": lock("policy =", 'overrides = ["*=exec"], policy ='),
    "overrides-no-pattern": lock("policy =", 'overrides = ["=zeros"], policy ='),
    "overrides-1001": lock("policy =", f"overrides = [{_ONES * 1001}], policy ="),
    "overrides-long-pattern": lock("policy =", f"overrides = ['{'*a' * 600}=ones'], policy ="),
    "scheme-unknown": lock("zero-2", "zero-1"),
    "plan-without-its-algorithm": lock("sha256:1", "1"),
    "digest-upper-case": lock('sha256 = "0000', 'sha256 = "ABCD'),
    "digest-short": lock('sha256 = "0000', 'sha256 = "'),
    "size-negative": lock("size = 1", "size = -1"),
    "size-2-to-the-63": lock("size = 1", f"size = {1 << 63}"),
    "size-float": lock("size = 1", "size = 1.0"),
    "size-bool": lock("size = 1", "size = true"),
    "shards-unknown": lock("tensors = 1", "tensors = 1\nshard = [{path = '../a'}]"),
    "key-unknown": lock("tensors = 1", "tensors = 1\nexecute = 'reboot'"),
    "key-twice": lock("tensors = 1", "tensors = 1\ntensors = 1"),
    "key-of-many-parts": lock("tensors = 1", f"a{'.a' * 1000} = 1"),
    "version-2": lock("version = 1", "version = 2"),
    "version-text": lock("version = 1", 'version = "1"'),
    "version-none": lock("version = 1", ""),
    "text-empty": b"",
    "text-not-utf-8": b'version = "\xff"',
    "text-nul": b"version = 1\0",
    "text-nested-arrays": b"a = " + b"[" * _DEEP,
    "text-nested-tables": b"a = " + b"{a = " * _DEEP,
    "text-5000-digits": b"version = " + b"9" * 5000,
    "text-not-merged": lock("size = 1", "<<<<<<< HEAD\nsize = 1\n=======\nsize = 2\n>>>>>>> x"),
    "text-json": b'{"version": 1}',
}

_HEAD = "zeroinit: 1\ninput: [4]\n"


def spec(layers: str, head: str = _HEAD) -> bytes:
    """A spec of these layers."""
    return f"{head}layers: {layers}\n".encode()


SPECS: dict[str, bytes] = {
    "aliases-billion-laughs": "\n".join(
        [
            "zeroinit: 1",
            "input: [4]",
            "layers: &a0 [ReLU, ReLU]",
            *(f"x{n}: &a{n + 1} [{', '.join([f'*a{n}'] * 9)}]" for n in range(9)),
        ]
    ).encode(),
    # one mistake that is reached in 11,111 ways, and half as many mistakes as there are bytes
    "aliases-to-a-mistake": "\n".join(
        [
            "zeroinit: 1",
            "input: [4]",
            "layers:",
            "- sequential: &a0 none",
            *(
                f"- sequential: &a{n + 1} [{', '.join([f'sequential: *a{n}'] * 10)}]"
                for n in range(4)
            ),
        ]
    ).encode(),
    "mistakes-by-the-thousand": spec(f"[{', '.join(['sequential: [' + 'a,' * 1900 + ']'] * 25)}]"),
    "aliases-in-a-circle": b"zeroinit: 1\ninput: [4]\nlayers: &a [*a]\n",
    "nested-flow": spec("[" * 5000),
    "nested-block": b"layers:\n" + b"".join(b" " * n + b"-\n" for n in range(200)),
    "repeat-quintillions": spec("[repeat: {count: 1000000000000000000, layers: [ReLU]}]"),
    "repeat-of-repeats": spec(
        "[" + "repeat: {count: 1000, layers: [" * 8 + "ReLU" + "]}" * 8 + "]"
    ),
    "layer-of-terabytes": spec("[Linear: 1000000000000]"),
    "number-of-5000-digits": spec(f"[Linear: {'9' * 5000}]"),
    "number-negative": spec("[Linear: -1]"),
    "tag-python": spec("[!!python/object/apply:os.system ['reboot']]"),
    "tag-binary": spec("[!!binary cmVib290]"),
    "key-twice": spec("[ReLU]", f"{_HEAD}zeroinit: 1\n"),
    "key-merged-sound": spec("[{<<: {Linear: 1}}]"),
    "documents-two": b"zeroinit: 1\n---\nzeroinit: 1\n",
    "text-not-utf-8": b"zeroinit: 1\nname: \xff\n",
    "text-escapes": spec("[ReLU]", f"{_HEAD}name: \x1b[2J\n"),
    "text-escapes-in-a-name": spec(f"[{json.dumps(_ESCAPE)}]"),
    "text-bidi-override-in-a-name": spec(f"['{_BIDI}']"),
    "text-forges-a-line": spec(f"[{json.dumps(_FORGED)}]"),
    "text-nul": b"zeroinit: 1\0\n",
    "text-tabs": b"zeroinit: 1\ninput: [4]\nlayers:\n\t- ReLU\n",
}

CASES = {"headers": HEADERS, "indexes": INDEXES, "locks": LOCKS, "specs": SPECS}


def main() -> None:
    """Write every file of the corpus and what is said of it; remove what is no case any more."""
    from tests.attacks.answers import answer

    for kind, cases in CASES.items():
        folder = HERE / kind
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            if path.name.partition(".")[0] not in cases:
                path.unlink()
        for name, data in cases.items():
            (folder / f"{name}{SUFFIXES[kind]}").write_bytes(data)
            (folder / f"{name}.txt").write_text(answer(kind, data))


if __name__ == "__main__":
    main()
