"""What people train: a few models of each kind, and in the long run all that are small.

`expected.json` holds what is seen of each today; `make outside` measures the large ones too.
"""

import warnings
from collections.abc import Iterator

import pytest
import torch

from tests.long import some_long
from tests.outside.cases import case, keys
from tests.outside.expected import expected, summary
from tests.outside.one_model import planned, ran, trained

_QUICK = {
    "transformers:gpt2",
    "transformers:gemma2",
    "transformers:mixtral",
    "transformers:t5",
    "other:diffusers_unet",
    "other:lstm_tagger",
    "other:open_clip",
    "other:peft_lora",
    "timm:fastvit_t8",
    "timm:lcnet_100",
    "timm:repvgg_a0",
    "timm:vit_tiny_patch16_224",
}
_DOZEN_OF_TIMM = {
    "timm:efficientnet_b0",
    "timm:ghostnet_100",
    "timm:mobilenetv4_conv_small",
    "timm:mobilevitv2_050",
    "timm:pvt_v2_b0",
    "timm:regnety_002",
    "timm:starnet_s1",
    "timm:xcit_nano_12_p16_224",
}
_INSIDE = {"other:scan_lm"}  # whose open branches lie inside closed ones, and need no warning
_WANTED = _QUICK | _DOZEN_OF_TIMM
_SMALL = [key for key in keys() if key in _WANTED or not key.startswith("timm:")]


@pytest.fixture(autouse=True)
def _quiet_and_alone() -> Iterator[None]:
    """Packages warn of each other, and threads of several tests wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("key", some_long(_SMALL, lambda key: key not in _QUICK))
def test_a_model_is_planned_and_begins_as_it_is_expected_to(key: str) -> None:
    model = case(key)
    try:
        record = planned(model)
    except ModuleNotFoundError as error:
        pytest.skip(f"{error.name} is not installed: make setup or make outside")
    if not (record.refused or record.problem):
        record = ran(model, record)
    if not (record.refused or record.problem) and not key.startswith("timm:"):
        record = trained(model, record)
    wanted = dict(expected()[key])
    if key.startswith("timm:"):
        wanted.pop("dead", None)  # which takes long to see
    assert summary(record) == wanted
    if record.open and key not in _INSIDE:
        assert record.warnings["open-branch"]  # what begins open is named


def test_every_expectation_is_of_a_model_and_every_small_model_has_one() -> None:
    assert set(_SMALL) <= set(expected()) <= set(keys())
