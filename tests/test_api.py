"""The Python API: the command's bytes in a module of one's own, on any device, from any state."""

import hashlib
import inspect
import random
import re
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import nn

import zeroinit_cli
from tests.cli.command import here
from tests.long import some_long
from tests.models.models import planned
from zeroinit_cli.errors import NoRuleError, PlanError, UsageError
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.plans.rules import Kept
from zeroinit_cli.store.stream import plan_sha256

MODELS = (
    "resnet18",
    "vit_b_32",
    "swin_t",
    "swin_v2_t",
    "convnext_tiny",
    "googlenet",
    "retinanet_resnet50_fpn",
    "ssd300_vgg16",
    "mvit_v2_s",
    "raft_small",
)
"""One of each kind of constructor's value: tables of indices, priors, scales, auxiliary heads."""
QUICK = ("resnet18", "swin_t", "retinanet_resnet50_fpn")


def builder(name: str) -> Callable[[], nn.Module]:
    """Torchvision's own function, without weights from a network."""
    function = import_torchvision().models.get_model_builder(name)
    taken = inspect.signature(function).parameters.keys()
    known = dict.fromkeys(sorted({"weights", "weights_backbone"} & taken))

    def build() -> nn.Module:
        import warnings

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torchvision's own, about defaults
            module = function(**known)
        assert isinstance(module, nn.Module)
        return module

    return build


def saved(module: nn.Module) -> str:
    """The SHA-256 of what safetensors' own writer makes of a module's state dict."""
    tensors = {name: tensor.clone().contiguous() for name, tensor in module.state_dict().items()}
    data = safetensors.torch.save(tensors, metadata={"format": "pt"})
    return hashlib.sha256(data).hexdigest()


def test_the_public_names_are_these() -> None:
    assert sorted(zeroinit_cli.__all__) == [
        "Checked",
        "Policy",
        "ZeroinitError",
        "__version__",
        "build",
        "check",
        "generate",
        "init_",
        "plan",
        "plan_reader",
        "probe",
        "save",
        "values",
        "verify",
    ]
    assert str(inspect.signature(zeroinit_cli.save)) == (
        "(plan: 'Plan', path: 'str | PathLike[str]', *, max_shard_size: int | str | None = None, "
        "force: bool = False) -> str"
    )
    options = ["policy", "overrides"]
    assert list(inspect.signature(zeroinit_cli.plan).parameters) == [
        "architecture",
        "example_inputs",
        "dtype",
        *options,
    ]
    assert list(inspect.signature(zeroinit_cli.init_).parameters) == [
        "module",
        "build",
        "example_inputs",
        "part",
        *options,
        "only",
    ]
    assert str(inspect.signature(zeroinit_cli.check)) == (
        "(module: 'nn.Module', plan: 'Plan', *, group: 'ProcessGroup | None' = None, "
        "part: bool = False, expected: str | None = None) -> 'Checked'"
    )
    assert str(inspect.signature(zeroinit_cli.plan_reader)) == "(plan: 'Plan') -> 'StorageReader'"
    assert str(inspect.signature(zeroinit_cli.values)) == (
        "(plan: 'Plan', name: str, region: 'slice | tuple[slice, ...]' = ()) "
        "-> 'NDArray[np.generic]'"
    )


@pytest.mark.parametrize("name", some_long(MODELS, lambda name: name not in QUICK))
def test_a_module_as_it_was_built_gets_the_commands_bytes(name: str) -> None:
    module = builder(name)()
    modes = [each.training for each in module.modules()]
    assert zeroinit_cli.init_(module) is module
    assert saved(module) == plan_sha256(planned(name))
    assert [each.training for each in module.modules()] == modes


@pytest.mark.parametrize("name", ["swin_v2_t", "googlenet"])
def test_a_module_in_evaluation_is_planned_like_one_in_training(name: str) -> None:
    module = builder(name)().eval()
    zeroinit_cli.init_(module)
    assert saved(module) == plan_sha256(planned(name))
    assert not any(each.training for each in module.modules())


@pytest.mark.parametrize("name", ["resnet18", "swin_v2_t", "retinanet_resnet50_fpn"])
def test_a_module_of_empty_memory_gets_the_commands_bytes_from_a_builder(name: str) -> None:
    build = builder(name)
    module = build().to_empty(device="cpu")
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.fill_(7)
    zeroinit_cli.init_(module, build=build)
    assert saved(module) == plan_sha256(planned(name))


def test_a_module_of_another_type_gets_the_bytes_of_that_type() -> None:
    module = zeroinit_cli.init_(builder("swin_v2_t")().to(torch.bfloat16))
    plan = zeroinit_cli.plan("swin_v2_t", dtype=torch.bfloat16)
    assert saved(module) == plan_sha256(plan)
    assert saved(module) == plan_sha256(zeroinit_cli.plan("swin_v2_t", dtype="bfloat16"))


def test_memory_formats_and_mixed_types_are_kept() -> None:
    convolution = nn.Conv2d(4, 8, 3)
    module = nn.Sequential(convolution, nn.BatchNorm2d(8), nn.Linear(8, 20).double())
    weight = convolution.weight
    weight.data = weight.data.contiguous(memory_format=torch.channels_last)
    zeroinit_cli.init_(module)
    assert weight.is_contiguous(memory_format=torch.channels_last)
    state = module.state_dict()
    assert state["0.weight"].abs().unique().tolist() == [0.125]
    assert state["2.weight"].dtype is torch.float64
    assert state["2.weight"][0, 0].item() == -(2**-2.5)


def test_buffers_that_no_state_dict_holds_are_restored_from_the_builder() -> None:
    class Rotary(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 4)
            self.register_buffer("angles", torch.arange(3.0), persistent=False)

    module = Rotary().to_empty(device="cpu")
    zeroinit_cli.init_(module, build=Rotary)
    assert module.get_buffer("angles").tolist() == [0, 1, 2]


def test_no_random_state_is_touched() -> None:
    build = builder("shufflenet_v2_x0_5")
    module = build()
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]  # typed as a dict, too
    zeroinit_cli.init_(module)
    zeroinit_cli.init_(module, build=build)
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]  # type: ignore[index]  # typed as a dict, too


def test_it_trains_from_there() -> None:
    torch.manual_seed(0)
    module = zeroinit_cli.init_(nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 2)))
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1)
    x, y = torch.randn(32, 4), torch.randint(0, 2, (32,))
    losses = []
    for _ in range(20):
        loss = nn.functional.cross_entropy(module(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


def test_a_plan_is_saved_with_its_sum_beside_it(tmp_path: Path) -> None:
    plan = zeroinit_cli.plan(lambda: nn.Linear(3, 4))
    digest = zeroinit_cli.save(plan, tmp_path / "a.safetensors")
    data = (tmp_path / "a.safetensors").read_bytes()
    assert digest == hashlib.sha256(data).hexdigest()
    assert (tmp_path / "a.safetensors.sha256").read_text() == f"{digest}  a.safetensors\n"
    assert zeroinit_cli.save(plan, str(tmp_path / "a.safetensors")) == digest
    other = zeroinit_cli.plan(lambda: nn.Linear(3, 5))
    with pytest.raises(zeroinit_cli.ZeroinitError, match="another file is there"):
        zeroinit_cli.save(other, tmp_path / "a.safetensors")
    zeroinit_cli.save(other, tmp_path / "a.safetensors", force=True)
    assert safetensors.torch.load_file(tmp_path / "a.safetensors")["weight"].shape == (5, 3)


def test_a_plan_is_saved_in_shards_as_the_command_does(tmp_path: Path) -> None:
    plan = zeroinit_cli.plan("squeezenet1_1")
    digest = zeroinit_cli.save(plan, tmp_path / "ours", max_shard_size="2MB")
    command = ("generate", "squeezenet1_1", "-o", "theirs/", "--max-shard-size", "2MB")
    assert here(*command, "--no-lock", cwd=tmp_path).code == 0
    ours, theirs = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("ours", "theirs")
    )
    assert ours == theirs
    assert len(ours) > 3
    assert digest == hashlib.sha256(ours["model.safetensors.sha256"]).hexdigest()
    assert zeroinit_cli.save(plan, tmp_path / "ours", max_shard_size=2_000_000) == digest
    whole = zeroinit_cli.save(plan, tmp_path / "whole", max_shard_size="1TB")
    data = (tmp_path / "whole" / "model.safetensors").read_bytes()
    assert whole == hashlib.sha256(data).hexdigest()
    with pytest.raises(zeroinit_cli.ZeroinitError, match="not a size") as caught:
        zeroinit_cli.save(plan, tmp_path / "none", max_shard_size="2 GiB")
    assert caught.value.where == "max_shard_size"
    assert not (tmp_path / "none").exists()
    other = zeroinit_cli.plan("squeezenet1_1", policy="paper")
    with pytest.raises(zeroinit_cli.ZeroinitError, match="other files are there"):
        zeroinit_cli.save(other, tmp_path / "ours", max_shard_size="2MB")
    assert zeroinit_cli.save(other, tmp_path / "ours", max_shard_size="2MB", force=True) != digest


class Scaled(nn.Module):
    """Values that one module alone cannot prove to be constants."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        self.gamma = nn.Parameter(torch.full((4,), 1e-6))
        self.temperature = nn.Parameter(torch.tensor(0.07))
        self.register_buffer("index", torch.arange(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x * self.gamma) * self.temperature
        return out


def test_what_one_module_cannot_prove_is_kept_and_named() -> None:
    torch.manual_seed(0)
    plan = zeroinit_cli.plan(Scaled())
    kept = {each.info.name for each in plan.tensors if isinstance(each.rule, Kept)}
    assert kept == {"gamma", "temperature", "index"}
    hint = "give a function that builds the module: build=lambda: Model(...)"
    assert [(each.kind, each.text, each.hint) for each in plan.warnings] == [
        (
            "kept-unproven",
            "kept as found in the module, though it may be random: index, gamma, temperature",
            hint,
        ),
        ("random-unproven", "taken for random, though it may be a constant: layer.bias", hint),
    ]
    exact = zeroinit_cli.plan(Scaled)
    assert exact.warnings == ()
    assert exact.digest() == plan.digest()


def test_a_random_parameter_of_one_module_is_never_guessed() -> None:
    class Token(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.token = nn.Parameter(torch.randn(4))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.cos(self.token)

    module = Token()
    before = module.token.detach().clone()
    with pytest.raises(NoRuleError) as caught:
        zeroinit_cli.init_(module)
    assert str(caught.value) == (
        "error: 1 random tensor has no rule in Token\n"
        "  expected: a kind of tensor that the policy knows; none is guessed\n"
        "  found: token [4] of Token\n"
        "\n"
        "hint: give a function that builds the module: build=lambda: Model(...) tells constants "
        "from random draws; --override 'token=zeros' names a rule: "
        "algorithm-1, algorithm-2, kept, ones, patch, position, transposed:algorithm-1, "
        "transposed:algorithm-2, zeros"
    )
    assert torch.equal(module.token, before)
    zeroinit_cli.init_(module, overrides=["token=zeros"])
    assert module.token.tolist() == [0.0] * 4


def emptied(value: float) -> nn.Module:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2))
    for tensor in (*module.parameters(), *module.buffers()):
        tensor.data.fill_(value)
    return module


@pytest.mark.parametrize(
    ("module", "found"),
    [
        (emptied(0), "no norm whose scale is 1"),
        (emptied(0.5), "no norm whose scale is 1"),
        (emptied(1), "no weight that is a random draw"),
    ],
)
def test_a_module_without_its_constructors_values_is_refused(module: nn.Module, found: str) -> None:
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.init_(module)
    assert re.sub("for .*", "for ...", str(caught.value)) == (
        "error: the module does not hold its constructor's values in "
        f"{type(module).__name__}\n"
        "  expected: a module as it was built, for ...\n"
        f"  found: {found}\n"
        "\n"
        "hint: give a function that builds the module: build=lambda: Model(...)"
    )


def test_a_module_on_meta_is_a_plan_only_from_a_builder() -> None:
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.plan(nn.Linear(3, 4, device="meta"))
    assert str(caught.value) == (
        "error: the module does not hold its constructor's values in Linear\n"
        "  expected: a module as it was built, for weight and 1 more\n"
        "  found: tensors on the meta device\n"
        "\n"
        "hint: give a function that builds the module: build=lambda: Model(...)"
    )


def test_a_builder_of_another_module_is_refused_before_anything_changes() -> None:
    module = nn.Linear(3, 4)
    before = module.weight.detach().clone()
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.init_(module, build=lambda: nn.Linear(3, 5))
    assert str(caught.value) == (
        "error: build gives another module than the one to initialise in Linear\n"
        "  expected: the same names and shapes\n"
        "  found: differences in bias, weight"
    )
    assert torch.equal(module.weight, before)


@pytest.mark.parametrize(
    ("call", "arguments", "where", "found"),
    [
        (zeroinit_cli.plan, {"architecture": 3}, "architecture", "int"),
        (zeroinit_cli.plan, {"architecture": lambda: 3}, "<lambda>", "int"),
        (zeroinit_cli.init_, {"module": nn.Linear}, "module", "type"),
        (zeroinit_cli.init_, {"module": nn.Linear(1, 1), "build": 3}, "architecture", "int"),
    ],
)
def test_what_is_no_module_is_said(
    call: Callable[..., object], arguments: dict[str, object], where: str, found: str
) -> None:
    with pytest.raises(UsageError) as caught:
        call(**arguments)
    assert str(caught.value) == (
        f"error: not a module in {where}\n"
        "  expected: a torch.nn.Module, or a function without arguments that builds one\n"
        f"  found: {found}"
    )


def test_a_builders_own_exception_is_its_own() -> None:
    def build() -> nn.Module:
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        zeroinit_cli.plan(build)


def test_one_text_for_a_list_of_overrides_is_refused() -> None:
    with pytest.raises(UsageError, match="one text for a list of overrides in overrides"):
        zeroinit_cli.plan(lambda: nn.Linear(1, 1), overrides="*=zeros")


@pytest.mark.parametrize(
    ("choices", "message"),
    [
        (
            {"kernels": "center"},
            "error: unknown choice in Policy(kernels=...)\n"
            "  expected: signs, centre\n"
            "  found: 'center'\n\n"
            "hint: did you mean centre?",
        ),
        (
            {"last_norm": float("nan")},
            "error: a scale that is no number in Policy(last_norm=...)\n"
            "  expected: a finite number\n"
            "  found: nan",
        ),
    ],
)
def test_a_policy_of_unknown_words_is_refused(choices: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        zeroinit_cli.Policy(**choices)
    assert str(caught.value) == message


def test_a_weight_that_an_override_keeps_is_the_constructors() -> None:
    class Head(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(4, 2)
            nn.init.constant_(self.head.weight, 0.5)

    plan = zeroinit_cli.plan(Head, overrides=["head.weight=kept"])
    [weight] = [each for each in plan.tensors if each.info.name == "head.weight"]
    assert isinstance(weight.rule, Kept)
    assert plan.kept[weight.rule.sha256] == np.full(8, 0.5, "<f4").tobytes()


def test_the_package_offers_its_names_and_no_others() -> None:
    assert set(zeroinit_cli.__all__) <= set(dir(zeroinit_cli))
    assert all(hasattr(zeroinit_cli, name) for name in zeroinit_cli.__all__)
    with pytest.raises(AttributeError, match="module 'zeroinit_cli' has no attribute 'planned'"):
        getattr(zeroinit_cli, "planned")  # noqa: B009 - mypy refuses the plain form


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        zeroinit_cli.plan(lambda: nn.Linear(2, 2), policy=3)  # type: ignore[arg-type]  # the mistake
    assert str(caught.value) == (
        "error: not a policy in policy\n"
        "  expected: default, paper, or a zeroinit_cli.Policy\n"
        "  found: 3"
    )


def test_values_are_those_of_the_saved_file() -> None:
    plan = zeroinit_cli.plan(Scaled)
    whole = zeroinit_cli.init_(Scaled()).state_dict()
    for name in whole:
        array = zeroinit_cli.values(plan, name)
        assert array.dtype == whole[name].numpy().dtype
        assert np.array_equal(array, whole[name].numpy())
    part = zeroinit_cli.values(plan, "layer.weight", np.s_[:, 1:3])
    assert np.array_equal(part, whole["layer.weight"].numpy()[:, 1:3])
    assert zeroinit_cli.values(plan, "index", np.s_[1:]).tolist() == [1, 2]


@pytest.mark.parametrize("installed", [True, False])
def test_values_of_bfloat16_are_bits_where_numpy_has_no_such_type(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = types.ModuleType("ml_dtypes")
    library.bfloat16 = np.dtype("V2")  # type: ignore[attr-defined]  # a stand-in of its size
    monkeypatch.setitem(sys.modules, "ml_dtypes", library if installed else None)
    plan = zeroinit_cli.plan(lambda: nn.LayerNorm(2), dtype="bfloat16")
    array = zeroinit_cli.values(plan, "weight")
    assert array.dtype == (np.dtype("V2") if installed else np.dtype("<u2"))
    assert array.tobytes() == b"\x80\x3f" * 2


@pytest.mark.parametrize(
    ("name", "region", "message"),
    [
        (
            "layer.wieght",
            (),
            "error: no such tensor in the plan in 'layer.wieght'\n"
            "\n"
            "hint: did you mean layer.weight?",
        ),
        (
            "layer.weight",
            np.s_[0:1, 2:5],
            "error: a region that is not within the tensor in layer.weight\n"
            "  expected: slices of step 1 within [1, 4], such as numpy.s_[0:4, :]\n"
            "  found: (slice(0, 1, None), slice(2, 5, None))",
        ),
        (
            "layer.weight",
            np.s_[:, ::2],
            "error: a region that is not within the tensor in layer.weight\n"
            "  expected: slices of step 1 within [1, 4], such as numpy.s_[0:4, :]\n"
            "  found: (slice(None, None, None), slice(None, None, 2))",
        ),
        (
            "gamma",
            [slice(2)],
            "error: a region that is not within the tensor in gamma\n"
            "  expected: slices of step 1 within [4], such as numpy.s_[0:4, :]\n"
            "  found: [slice(None, 2, None)]",
        ),
    ],
)
def test_a_region_that_is_none_is_refused(name: str, region: Any, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        zeroinit_cli.values(zeroinit_cli.plan(Scaled), name, region)
    assert str(caught.value) == message
