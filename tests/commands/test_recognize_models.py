"""Every tensor of every model is recognized by its bytes."""

import pytest

from tests.commands.tensors import bits_of, recognized
from tests.golden.make_models import OPTION_SETS
from tests.golden.recorded import EVERY_RULE, OTHER_ENDS
from zeroinit_cli.models import plan_source
from zeroinit_cli.plans.rules import Kept
from zeroinit_cli.sources import parse_source

CASES = [
    pytest.param(
        title, name, marks=[pytest.mark.long] if name not in EVERY_RULE + OTHER_ENDS else []
    )
    for title, options in OPTION_SETS.items()
    for name in options.names()
]


@pytest.mark.parametrize(("title", "name"), CASES)
def test_every_ruled_tensor_of_the_golden_models_is_read_as_its_plan_says(
    title: str, name: str
) -> None:
    plan = plan_source(parse_source(name), OPTION_SETS[title].options)
    done = set()
    for tensor in plan.tensors:
        rule, info = tensor.rule, tensor.info
        if isinstance(rule, Kept) or (rule, info.shape) in done:
            continue
        done.add((rule, info.shape))
        found, _ = recognized(bits_of(rule, info.shape, info.dtype), info.dtype)
        assert found.rule is not None, info
        assert found.rule.describe(info.shape) == rule.describe(info.shape), info
