"""Shards and their index are what huggingface_hub makes of the same tensors."""

import errno
import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import safetensors.torch
import torch
from huggingface_hub import split_torch_state_dict_into_shards
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import nn

from tests.plans import kept, plan, tensor
from zeroinit_cli.commands import exchange
from zeroinit_cli.commands.exchange import write_files
from zeroinit_cli.commands.location import Location
from zeroinit_cli.errors import OutputError
from zeroinit_cli.filenames import INDEX
from zeroinit_cli.models import plan_source
from zeroinit_cli.models.given import plan_given
from zeroinit_cli.options import Options
from zeroinit_cli.plans.layouts import Split
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.plans.rules import Hadamard, Zeros
from zeroinit_cli.progress import no_advance
from zeroinit_cli.sources import parse_source
from zeroinit_cli.store.read import read_checkpoint
from zeroinit_cli.store.shards import Shard, digest_shards, index_bytes, overall, split
from zeroinit_cli.store.stream import plan_sha256

MODEL_SPECS = Path(__file__).parents[2] / "model_specs"


def names(shards: tuple[Shard, ...]) -> dict[str, list[str]]:
    """The tensors of each shard in the state dict's order, as the library lists them."""
    return {
        shard.name: [
            each.info.name for each in sorted(shard.plan.tensors, key=lambda each: each.position)
        ]
        for shard in shards
    }


def check_as_the_library(
    shards: tuple[Shard, ...], state: dict[str, torch.Tensor], most: int | str
) -> None:
    """Hold a split against the library's: files, tensors, and the index in transformers' form."""
    expected = split_torch_state_dict_into_shards(state, max_shard_size=most)
    assert names(shards) == expected.filename_to_tensors
    assert (len(shards) > 1) == expected.is_sharded
    if expected.is_sharded:
        index = {"metadata": expected.metadata, "weight_map": expected.tensor_to_filename}
        assert index_bytes(shards) == (json.dumps(index, indent=2, sort_keys=True) + "\n").encode()


@pytest.mark.parametrize("most", [1, 1_000_000, 20_000_000, 10**12])
@pytest.mark.parametrize(
    "model", ["resnet18", "vit_b_32", "swin_t", "raft_small", "efficientnet_b0"]
)
def test_torchvisions_models_are_split_as_the_library_splits_them(model: str, most: int) -> None:
    source = parse_source(model)
    shards = split(plan_source(source, Options()), most)
    check_as_the_library(shards, source.factory()().state_dict(), most)


def test_a_tied_tensor_is_in_the_files_under_each_name_and_counts_under_each() -> None:
    """As in one file: what is split are the tensors that are stored, none of which shares bytes."""
    source = parse_source(str(MODEL_SPECS / "nanogpt-shakespeare.yaml"))
    planned = plan_source(source, Options())
    assert any(each.tied_to for each in planned.tensors)
    state = source.factory()().state_dict()
    stored = {name: value.clone() for name, value in state.items()}
    for most in (100_000, 1_000_000, 10_000_000):
        check_as_the_library(split(planned, most), stored, most)


def test_the_order_is_the_state_dicts_whatever_rules_its_tensors_have() -> None:
    """Kept values are decided after all others, and must not come after them."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("z", torch.arange(4))
            self.a = nn.Linear(4, 4)
            self.register_buffer("b", torch.arange(4.0))

    planned = plan_given(Net, Options())
    order = sorted(planned.tensors, key=lambda each: each.position)
    assert [each.info.name for each in order] == list(Net().state_dict())
    check_as_the_library(split(planned, 40), Net().state_dict(), 40)


SIZES = st.lists(st.integers(0, 12), min_size=1, max_size=12)


@given(sizes=SIZES, most=st.integers(1, 40))
@example(sizes=[1, 10, 1], most=20)  # a large one between two small ones comes before both
@example(sizes=[0], most=1)
@settings(max_examples=500, deadline=None)
def test_any_state_dict_is_split_as_the_library_splits_it(sizes: list[int], most: int) -> None:
    """Of any sizes, the largest alone; names in an order that is not the alphabet's."""
    state = {
        f"{(7 * at) % 13:02}": torch.empty(size, device="meta") for at, size in enumerate(sizes)
    }
    planned = plan(
        *(
            replace(tensor(name, tuple(value.shape)), position=at)
            for at, (name, value) in enumerate(state.items())
        )
    )
    check_as_the_library(split(planned, most), state, most)


def test_the_names_of_the_index_are_escaped_as_transformers_escapes_them() -> None:
    planned = plan(tensor('é "b"', (2,)), replace(tensor("a", (2,)), position=1))
    state = {'é "b"': torch.ones(2), "a": torch.ones(2)}
    check_as_the_library(split(planned, 8), state, 8)


def test_a_shard_keeps_the_values_that_it_needs_and_no_others() -> None:
    data = (b"\1" * 8, b"\2" * 8)
    inner = Split(parts=((1, kept(data[1])), (1, Zeros())))
    planned = plan(
        tensor("a", (2,), kept(data[0])),
        replace(tensor("b", (4,), inner), position=1),
        kept=data,
    )
    first, second = split(planned, 16)
    assert list(first.plan.kept.values()) == [data[0]]
    assert list(second.plan.kept.values()) == [data[1]]


def test_without_a_size_there_is_one_file() -> None:
    [shard] = split(plan(tensor("a", (2,)), tensor("b", (2,))), None)
    assert shard.name == "model.safetensors"


def folder_at(path: Path) -> Location:
    return Location(path=path, own_folder=True)


def large(count: int = 6) -> Plan:
    """Some megabytes, with expansions, in an order of its own."""
    return plan(
        *(
            replace(
                tensor(f"t{(5 * at) % 7}", (700, 300), Hadamard(half_exponent=-10)), position=at
            )
            for at in range(count)
        )
    )


def stored(planned: tuple[PlannedTensor, ...]) -> dict[str, torch.Tensor]:
    grid = torch.arange(700)[:, None] & torch.arange(300)[None, :]
    parity = torch.stack([(grid >> bit) & 1 for bit in range(10)]).sum(0) % 2
    return {each.info.name: (1.0 - 2.0 * parity) / 32 for each in planned}


@pytest.mark.parametrize("jobs", [1, 2, 3])
def test_each_shard_is_what_safetensors_writes_whatever_the_number_of_processes(
    tmp_path: Path, jobs: int
) -> None:
    shards = split(large(), 2_000_000)
    assert len(shards) == 3
    told: list[int] = []
    files, already_there = write_files(
        shards, folder_at(tmp_path), jobs=jobs, progress=lambda label, nbytes: told.append
    )
    assert not already_there
    for shard, file in zip(shards, files, strict=False):
        data = safetensors.torch.save(stored(shard.plan.tensors), metadata={"format": "pt"})
        assert (tmp_path / shard.name).read_bytes() == data
        assert (file.sha256, file.size) == (hashlib.sha256(data).hexdigest(), len(data))
    assert sum(told) == sum(shard.plan.nbytes for shard in shards)
    assert digest_shards(shards, jobs=jobs, advance=no_advance) == files
    sums = (tmp_path / "model.safetensors.sha256").read_bytes()
    assert overall(files)[0] == hashlib.sha256(sums).hexdigest()
    read = read_checkpoint(tmp_path)
    assert {each.info.name for each in read.tensors} == {each.info.name for each in large().tensors}


def test_one_shard_is_the_whole_file(tmp_path: Path) -> None:
    files, _ = write_files(split(large(), 10**9), folder_at(tmp_path))
    assert [file.name for file in files] == ["model.safetensors"]
    assert overall(files)[0] == plan_sha256(large())


def test_an_index_that_cannot_be_written_is_named_by_the_path_that_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(file: object, data: object) -> None:
        raise OSError(errno.ENOSPC, "")

    monkeypatch.setattr(exchange, "write_all", full)
    shards = split(plan(tensor("a", (4, 4), Zeros()), tensor("b", (4, 4), Zeros())), 64)
    with pytest.raises(OutputError) as caught:
        write_files(shards, Location(path=tmp_path, own_folder=True))
    assert caught.value.where == str(tmp_path / INDEX)
    assert not list(tmp_path.iterdir())
