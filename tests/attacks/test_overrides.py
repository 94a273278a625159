"""Overrides by the thousand, and overrides of tensors that they were not made for."""

import json
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import zeroinit_cli
from tests.cli.command import Command
from zeroinit_cli.errors import UsageError
from zeroinit_cli.lock.read import MOST_LOCK_BYTES, parse_lock
from zeroinit_cli.models.overrides import overridden
from zeroinit_cli.options import MOST_OVERRIDES, MOST_PATTERN, OVERRIDE_RULES, Options
from zeroinit_cli.plans.plan import SCHEME
from zeroinit_cli.policies import POLICIES
from zeroinit_cli.store.stream import plan_sha256

TOO_MANY = (
    "error: too many overrides in --override\n"
    "  expected: at most 1000\n"
    "  found: 1001\n"
    "\nhint: a glob can mean many tensors: '*.bias=zeros'\n"
)
TOO_LONG = (
    "error: a pattern too long for an override in --override\n"
    "  expected: at most 500 characters\n"
    "  found: 501 characters\n"
)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [(["a=ones"] * 1001, TOO_MANY), (["a=ones", f"{'a' * 501}=zeros"], TOO_LONG)],
    ids=["many", "long"],
)
def test_more_than_anybody_writes_are_refused(
    zeroinit: Command, overrides: list[str], message: str
) -> None:
    words = [word for override in overrides for word in ("--override", override)]
    result = zeroinit("digest", "resnet18", *words)
    assert (result.code, result.out, result.err) == (2, "", message)


def test_a_specs_overrides_and_those_beside_it_are_counted_together(
    zeroinit: Command, tmp_path: Path
) -> None:
    spec = {"zeroinit": 1, "input": [4], "layers": [{"Linear": 2}]}
    spec["init"] = {"overrides": [{"pattern": "0.*", "rule": "ones"}] * 1000}
    (tmp_path / "net.yaml").write_text(json.dumps(spec))
    assert zeroinit("digest", "net.yaml").code == 0
    result = zeroinit("digest", "net.yaml", "--override", "0.bias=zeros")
    assert (result.code, result.out, result.err) == (2, "", TOO_MANY)


@pytest.mark.parametrize("pattern", ["*e" * 249, "[!a]" * 124, "*" * 499, "*e*t" * 124])
def test_as_many_and_as_long_as_a_lock_may_hold_take_seconds(pattern: str) -> None:
    """The largest lock of the slowest patterns, over the names of a large net."""
    many = [f"{pattern}{number % 10}=ones" for number in range(MOST_OVERRIDES)]
    assert all(len(each) - len("=ones") <= MOST_PATTERN for each in many)
    many = many[: MOST_LOCK_BYTES // len(many[0])]
    names = [
        (f"encoder.layers.{number}.self_attention.in_proj_weight",) * 2 for number in range(400)
    ]
    options = Options.from_words({}, overrides=many)
    before = time.process_time()
    for override in options.overrides:
        for name, _ in names:
            override.matches(name)
    assert time.process_time() - before < 20
    if pattern != "*" * 499:
        with pytest.raises(UsageError, match="an override matches no tensor"):
            overridden(names, options)


def test_a_lock_of_a_megabyte_of_overrides_is_refused_at_once() -> None:
    text = 'version = 1\n[[checkpoint]]\npath = "a"\nsource = "torchvision:resnet18"\n'
    text += f'scheme = "{SCHEME}"\nplan = "sha256:' + "1" * 64 + '"\nsha256 = "' + "0" * 64 + '"\n'
    text += "size = 1\ntensors = 1\nbuilt-with = {}\noptions = {dtype = 'float32', "
    text += "policy = 'paper', overrides = ["
    text += "'a=ones'," * 90_000 + "]}"
    before = time.process_time()
    with pytest.raises(zeroinit_cli.errors.LockError) as caught:
        parse_lock(text.encode(), "x.lock")
    assert caught.value.found == "checkpoint.0: too many overrides (90000) in --override"
    assert time.process_time() - before < 10


MODULES = st.one_of(
    st.builds(nn.Linear, st.integers(1, 40), st.integers(1, 40)),
    st.builds(nn.Embedding, st.integers(1, 40), st.integers(1, 40)),
    st.builds(
        lambda kind, groups, into, out, kernel: kind(
            groups * into, groups * out, kernel, groups=groups
        ),
        st.sampled_from([nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d]),
        st.integers(1, 3),
        st.integers(1, 12),
        st.integers(1, 12),
        st.integers(1, 4),
    ),
    st.builds(nn.BatchNorm1d, st.integers(1, 9)),
    st.builds(nn.GRUCell, st.integers(1, 9), st.integers(1, 9)),
)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    module=MODULES,
    rule=st.sampled_from([name for name in OVERRIDE_RULES if name != "kept"]),
    policy=st.sampled_from(sorted(POLICIES)),
    dtype=st.sampled_from(["float32", "bfloat16"]),
)
def test_an_override_fits_or_is_refused_and_never_fails_in_the_values(
    module: nn.Module, rule: str, policy: str, dtype: str
) -> None:
    """Whatever the module: a rule's prime and groups come from the shape that it is given."""
    pattern = "weight*" if not isinstance(module, nn.GRUCell) else "*"
    try:
        plan = zeroinit_cli.plan(
            module, dtype=dtype, policy=policy, overrides=["*=zeros", f"{pattern}={rule}"]
        )
    except UsageError as error:
        if f"{rule} does not fit" not in str(error):
            raise
        return
    assert len(plan_sha256(plan)) == 64
    assert torch.is_tensor(next(module.parameters()))
