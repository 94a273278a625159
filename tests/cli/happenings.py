"""What happens to a checkpoint's file in life, and what `verify` then says."""

import gzip
import json
import lzma
import re
from collections.abc import Callable
from pathlib import Path

import safetensors.torch
import torch

import zeroinit_cli
from tests.cli.command import NAME
from tests.cli.test_verify import flip
from zeroinit_cli.store.safetensors import PREFIX_BYTES

PATH = Path(NAME)


def tensors() -> dict[str, torch.Tensor]:
    loaded = safetensors.torch.load_file(NAME)
    return {name: value.clone() for name, value in loaded.items()}  # not of the file to be written


def save(state: dict[str, torch.Tensor], **metadata: str) -> None:
    safetensors.torch.save_file(state, NAME, metadata=metadata or None)


def header_bytes() -> int:
    return PREFIX_BYTES + int.from_bytes(PATH.read_bytes()[:PREFIX_BYTES], "little")


def train(steps: int) -> dict[str, torch.Tensor]:
    """The state after some steps of an optimizer; after none, of a forward in training mode."""
    torch.manual_seed(0)
    model = zeroinit_cli.build("net.yaml")
    model.load_state_dict(tensors())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(max(steps, 1)):
        loss = torch.nn.functional.cross_entropy(model(torch.randn(8, 3, 8, 8)), torch.arange(8))
        loss.backward()
        if steps:
            optimizer.step()
    return {name: value.contiguous() for name, value in model.state_dict().items()}


def cut() -> None:
    PATH.write_bytes(PATH.read_bytes()[:-1000])


def cut_within_the_header() -> None:
    PATH.write_bytes(PATH.read_bytes()[:100])


def append() -> None:
    with PATH.open("ab") as file:
        file.write(b"\n")


def flip_one_bit() -> None:
    flip(PATH, header_bytes() + 4 * 300, 0x10)


def flip_a_bit_of_the_header() -> None:
    flip(PATH, header_bytes() - 40, 0x01)


def lose_the_end() -> None:
    data = PATH.read_bytes()
    PATH.write_bytes(data[: header_bytes() + 800] + bytes(len(data) - header_bytes() - 800))


def write_without_metadata() -> None:
    save(tensors())


def write_in_another_order() -> None:
    data, start = PATH.read_bytes(), header_bytes()
    table = json.loads(data[PREFIX_BYTES:start])
    entries = sorted(table.items(), reverse=True)  # the data stays, the header's keys do not
    text = json.dumps(dict(entries)).encode()
    PATH.write_bytes(len(text).to_bytes(PREFIX_BYTES, "little") + text + data[start:])


def wrap() -> None:
    save({f"module.{name}": value for name, value in tensors().items()}, format="pt")


def train_one_step() -> None:
    save(train(1), format="pt")


def initialize_otherwise() -> None:
    torch.manual_seed(0)
    save(dict(zeroinit_cli.build("net.yaml").state_dict()), format="pt")


def only_run() -> None:
    save(train(0), format="pt")


def pointer(oid: str) -> None:
    size = PATH.stat().st_size
    PATH.write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {size}\n")


def pointer_to_it() -> None:
    found = re.search('(?m)^sha256 = "(.*)"$', Path("zeroinit.lock").read_text())
    assert found is not None
    pointer(found[1])


def save_a_page() -> None:
    PATH.write_text("<!DOCTYPE html>\n<title>Sign in</title>\n")


def pickle() -> None:
    torch.save(tensors(), NAME)


def squeeze() -> None:
    PATH.write_bytes(gzip.compress(PATH.read_bytes()))


def save_an_error() -> None:
    """As a hub answers for a file that it does not have."""
    PATH.write_text('{"error":"Repository not found"}')


def save_an_error_as_text() -> None:
    PATH.write_text("Entry not found")


def squeeze_otherwise() -> None:
    PATH.write_bytes(lzma.compress(PATH.read_bytes()))


def squeeze_as_zstd() -> None:
    """The magic number of RFC 8878; Python has no compressor before 3.14."""
    PATH.write_bytes(b"\x28\xb5\x2f\xfd\x64" + PATH.read_bytes())


def save_a_pointer_with_other_line_ends() -> None:
    pointer_to_it()
    PATH.write_bytes(b"\xef\xbb\xbf" + PATH.read_bytes().replace(b"\n", b"\r\n"))


def save_as_keras() -> None:
    """The signature of the HDF5 File Format Specification, then version 0 of its superblock."""
    PATH.write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(8) + PATH.read_bytes())


def export() -> None:
    """A ModelProto as torch.onnx writes it: ir_version, producer_name and producer_version."""
    PATH.write_bytes(b"\x08\x08\x12\x07pytorch\x1a\x052.9.1:\x80\x01" + PATH.read_bytes())


def save_an_error_of_a_store() -> None:
    PATH.write_text('<?xml version="1.0"?>\n<Error><Message>Access Denied</Message></Error>')


def convert_to_gguf() -> None:
    PATH.write_bytes(b"GGUF\x03\0\0\0" + PATH.read_bytes())


def convert_by_hand() -> None:
    """What `.half()` gives: the constants are rounded as ours are, but for 2^(-m/2), once more."""
    save({name: _shifted(value) for name, value in tensors().items()}, format="pt")


def _shifted(value: torch.Tensor) -> torch.Tensor:
    return (value + 0.5).half() if value.is_floating_point() else value


FILES: list[tuple[Callable[[], None], str, str]] = [
    (cut, "truncated", "a copy or download that stopped after SIZE of LOCKED bytes"),
    (
        cut_within_the_header,
        "truncated",
        "a copy or download that stopped after 100 of LOCKED bytes",
    ),
    (append, "appended", "1 byte appended by something; all before them are right"),
    (flip_one_bit, "bit-rot", "bit rot: 1 bit of the file is flipped, in tensor '4.weight'"),
    (flip_a_bit_of_the_header, "bit-rot", "bit rot: 1 bit of the file is flipped, in the header"),
    (
        lose_the_end,
        "unwritten",
        "a download or write that stopped in a file whose size was set before: "
        "from byte POSITION on all is 0",
    ),
    (
        write_without_metadata,
        "other-writer",
        "written again by another tool: the same tensors and values, but metadata none instead of "
        "format=pt",
    ),
    (
        write_in_another_order,
        "other-writer",
        "written again by another tool: the same tensors and values, but a header with other bytes",
    ),
    (
        wrap,
        "wrapped",
        "saved from a module that wraps the model: every name begins with 'module.'",
    ),
    (
        train_one_step,
        "trained",
        "trained from here, or initialized by something else: 8 of 8 floating tensors differ; its "
        "batch norms have counted 1",
    ),
    (
        initialize_otherwise,
        "trained",
        "trained from here, or initialized by something else: 6 of 8 floating tensors differ",
    ),
    (
        only_run,
        "statistics",
        "run in training mode without a step of an optimizer: only statistics of batch norms "
        "differ; its batch norms have counted 1",
    ),
    (
        pointer_to_it,
        "lfs-pointer",
        "a Git LFS pointer in place of the file; it points to these very bytes",
    ),
    (
        lambda: pointer("0" * 64),
        "lfs-pointer",
        "a Git LFS pointer in place of the file; it points to other bytes",
    ),
    (
        save_a_page,
        "html",
        "another file under this name: it begins like a web page",
    ),
    (
        pickle,
        "pickle",
        "another file under this name: it begins like a zip archive, such as torch.save writes",
    ),
    (squeeze, "compressed", "another file under this name: it begins like a gzip archive"),
    (squeeze_otherwise, "compressed", "another file under this name: it begins like an xz archive"),
    (squeeze_as_zstd, "compressed", "another file under this name: it begins like a zstd archive"),
    (
        save_a_pointer_with_other_line_ends,
        "lfs-pointer",
        "a Git LFS pointer in place of the file; it points to these very bytes",
    ),
    (
        save_as_keras,
        "hdf5",
        "another file under this name: it begins like an HDF5 file, such as Keras writes",
    ),
    (export, "onnx", "another file under this name: it begins like an ONNX model"),
    (
        save_an_error_of_a_store,
        "html",
        "another file under this name: it begins like XML, such as the error of a store",
    ),
    (
        convert_to_gguf,
        "gguf",
        "another file under this name: it begins like a GGUF file, which llama.cpp reads",
    ),
    (
        save_an_error,
        "json",
        "another file under this name: it begins like JSON, such as the error that a server sends",
    ),
    (
        save_an_error_as_text,
        "text",
        "another file under this name: it begins like plain text, such as the error that a server "
        "sends",
    ),
    (PATH.touch, "empty", "a copy or download that never began: the file is empty"),
    (convert_by_hand, "other-architecture", "converted to other types: 0.bias, 0.weight, 1.bias"),
]
