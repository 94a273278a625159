"""What is random gets a rule, what a constructor sets on purpose stays, the rest is an error."""

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import zeroinit_cli
from zeroinit_cli.errors import NoRuleError, PlanError
from zeroinit_cli.plans.plan import Plan
from zeroinit_cli.plans.rules import Identity, Kept, Ones, Rule, Zeros

WIDE = 200  # a square of it is never held while a module is built
BUILD = "give a function that builds the module: build=lambda: Model(...)"


def rules(plan: Plan) -> dict[str, Rule]:
    return {tensor.info.name: tensor.rule for tensor in plan.tensors}


def reasons(plan: Plan) -> dict[str, str]:
    return {tensor.info.name: tensor.reason for tensor in plan.tensors}


def filled(write: Callable[[nn.Linear], Any], size: int = 4) -> Callable[[], nn.Module]:
    """A builder of a layer that is written as said, and of one behind it."""

    def build() -> nn.Module:
        first, last = nn.Linear(size, size), nn.Linear(size, size)
        with torch.no_grad():
            write(first)
        return nn.Sequential(first, nn.ReLU(), last)

    return build


# Kept values: biases, frozen sinusoids, zero layers (r10, r11, r24).


def test_a_bias_that_the_constructor_sets_is_kept() -> None:
    build = filled(lambda layer: layer.bias.copy_(torch.linspace(3, 6, 4)))
    module = zeroinit_cli.init_(build(), build=build)
    assert module.get_parameter("0.bias").tolist() == [3, 4, 5, 6]
    assert module.get_parameter("2.bias").tolist() == [0] * 4
    assert reasons(zeroinit_cli.plan(build))["0.bias"] == "kept as constructed: its values"


def test_of_one_module_such_a_bias_is_replaced_and_named() -> None:
    module = filled(lambda layer: layer.bias.copy_(torch.linspace(3, 6, 4)))()
    assert [(each.kind, each.text, each.hint) for each in zeroinit_cli.plan(module).warnings] == [
        ("random-unproven", "taken for random, though it may be a constant: 0.bias", BUILD)
    ]


def test_of_one_module_a_single_entry_is_named_if_it_is_replaced() -> None:
    module = nn.Sequential(nn.Linear(4, 1), nn.BatchNorm1d(1), nn.Linear(1, 1, bias=False))
    [warning] = zeroinit_cli.plan(module).warnings
    assert warning.text == "taken for random, though it may be a constant: 0.bias"


class Sinusoids(nn.Module):
    """As in Whisper: large, frozen, and copied over what was drawn."""

    def __init__(self) -> None:
        super().__init__()
        self.positions = nn.Embedding(WIDE, WIDE)
        self.positions.requires_grad_(False)
        self.layer = nn.Linear(WIDE, WIDE)
        steps = torch.arange(float(WIDE))
        with torch.no_grad():
            self.positions.weight.copy_(torch.sin(steps[:, None] / (steps + 1)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.layer(x + self.positions.weight[: x.shape[1]])
        return out


def test_large_frozen_sinusoids_are_kept_and_nothing_else_is_held() -> None:
    held: list[int] = []

    def build() -> nn.Module:
        module = Sinusoids()
        large = [each for each in module.parameters() if each.numel() > WIDE]
        held.append(sum(each.untyped_storage().device.type != "meta" for each in large))
        return module

    plan = zeroinit_cli.plan(build)
    assert held == [0, 1]
    expected = Sinusoids().positions.weight
    found = rules(plan)["positions.weight"]
    assert isinstance(found, Kept)
    assert plan.kept[found.sha256] == expected.detach().numpy().tobytes()
    assert reasons(plan)["positions.weight"] == (
        "kept as constructed: its values; platform-dependent, from transcendental functions"
    )
    assert rules(plan)["layer.weight"] == Identity()


class LoRA(nn.Module):
    """An adapter beside a layer, which begins as nothing."""

    def __init__(self, base: nn.Linear) -> None:
        super().__init__()
        self.base = base
        self.a = nn.Linear(base.in_features, 4, bias=False)
        self.b = nn.Linear(4, base.out_features, bias=False)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.base(x) + self.b(self.a(x))
        return out


def test_adapters_of_zero_stay_no_change_in_the_middle_and_at_the_head() -> None:
    def build() -> nn.Module:
        return nn.Sequential(LoRA(nn.Linear(8, WIDE)), nn.ReLU(), LoRA(nn.Linear(WIDE, 6000)))

    for plan in (zeroinit_cli.plan(build), zeroinit_cli.plan(build())):
        found = rules(plan)
        assert found["0.b.weight"] == found["2.b.weight"] == Zeros()
        assert not isinstance(found["0.a.weight"], Zeros | Kept)
        assert not isinstance(found["2.base.weight"], Zeros | Kept)


class Zeroed(nn.Module):
    """Outputs of zero convolutions, as of ControlNet."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Conv2d(3, 4, 3)
        self.outs = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(2))
        for out in self.outs:
            nn.init.zeros_(out.get_parameter("weight"))

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        x = self.body(x)
        return [out(x) for out in self.outs]


def test_zero_convolutions_are_kept_and_zero_heads_are_not() -> None:
    found = rules(zeroinit_cli.plan(Zeroed))
    assert found["outs.0.weight"] == found["outs.1.weight"] == Zeros()

    def build() -> nn.Module:
        head = nn.Linear(WIDE, WIDE)
        nn.init.zeros_(head.weight)
        return nn.Sequential(nn.Linear(4, WIDE), nn.ReLU(), head)

    assert rules(zeroinit_cli.plan(build))["2.weight"] == Identity()


class Beside(nn.Module):
    """The sum of two last layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 8)
        nn.init.zeros_(self.b.weight)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.a(x) + self.b(x) * 2
        return out


def test_a_last_layer_of_zero_that_is_added_to_another_is_kept() -> None:
    found = rules(zeroinit_cli.plan(Beside))
    assert (found["a.weight"], found["b.weight"]) == (Identity(), Zeros())


def test_a_norm_keeps_a_scale_that_is_meant_but_not_its_statistics() -> None:
    def build() -> nn.Module:
        norm = nn.BatchNorm1d(4)
        nn.init.constant_(norm.weight, 0.5)
        norm.get_buffer("running_var").fill_(3)
        return nn.Sequential(nn.Linear(4, 4), norm)

    plan = zeroinit_cli.plan(build)
    assert reasons(plan)["1.weight"] == "kept as constructed: all 0.5"
    assert rules(plan)["1.running_var"] == Ones()
    assert rules(plan)["1.bias"] == Zeros()


@pytest.mark.parametrize(
    ("number", "rule", "reason"),
    [
        (0.0, Zeros(), "kept as constructed: all 0"),
        (1.0, Ones(), "kept as constructed: all 1"),
        (0.5, None, "kept as constructed: all 0.5"),
    ],
)
def test_a_number_that_fills_a_large_parameter_is_kept(
    number: float, rule: Rule | None, reason: str
) -> None:
    class Filled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.full((WIDE, WIDE), number))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * torch.cos(self.w)

    plan = zeroinit_cli.plan(Filled)
    assert reasons(plan) == {"w": reason}
    assert rules(plan)["w"] == (rule or rules(plan)["w"])
    assert plan.digest() == zeroinit_cli.plan(Filled()).digest()
    if rule is None:
        assert list(plan.kept.values()) == [np.full(WIDE**2, number, "<f4").tobytes()]


class Around(nn.Module):
    """A residual block."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        attends = isinstance(self.layer, nn.MultiheadAttention)
        out: torch.Tensor = self.layer(x, x, x)[0] if attends else self.layer(x)
        return x + out


@pytest.mark.parametrize(
    ("layer", "name"),
    [
        (lambda: nn.Linear(8, 8), "layer.bias"),
        (lambda: nn.MultiheadAttention(8, 2), "layer.in_proj_bias"),
        (lambda: nn.MultiheadAttention(8, 2), "layer.out_proj.bias"),
    ],
)
def test_a_bias_of_what_closes_a_branch_is_0_but_for_an_override(
    layer: Callable[[], nn.Module], name: str
) -> None:
    def build() -> nn.Module:
        module = Around(layer())
        nn.init.constant_(module.get_parameter(name), 0.02)
        return module

    plan = zeroinit_cli.plan(build)
    assert rules(plan)[name] == Zeros()
    assert "kept-bias" not in [each.kind for each in plan.warnings]
    kept = zeroinit_cli.plan(build, overrides=[f"{name}=kept"])
    assert [(each.text, each.hint) for each in kept.warnings if each.kind == "kept-bias"] == [
        (
            "residual branches begin as a constant, not as 0, since their last bias is kept as "
            f"constructed: {name}",
            f"--override '{name}=zeros'",
        )
    ]


# Draws that are none, or that nobody sees.


@pytest.mark.parametrize("size", [4, WIDE])
@pytest.mark.parametrize(
    ("write", "is_kept"),
    [
        (lambda layer: layer.weight.copy_(torch.eye(len(layer.weight)) * 3), True),
        (lambda layer: [layer.weight[0].fill_(1), layer.weight[1:].fill_(2)], True),
        (lambda layer: layer.weight.normal_(generator=torch.Generator().manual_seed(3)), True),
        (lambda layer: layer.weight.normal_(), False),
        (lambda layer: layer.weight[0].fill_(1), False),
        (lambda layer: layer.weight.fill_(np.random.rand()), False),
        (
            lambda layer: layer.weight.copy_(torch.from_numpy(np.random.rand(layer.in_features))),
            False,
        ),
        (
            lambda layer: layer.weight.copy_(
                torch.from_numpy(np.random.default_rng().random(layer.in_features))
            ),
            False,
        ),
        (lambda layer: layer.weight.fill_(torch.rand(1).item()), False),
    ],
)
def test_draws_are_told_from_what_is_meant(
    write: Callable[[nn.Linear], Any], is_kept: bool, size: int
) -> None:
    found = rules(zeroinit_cli.plan(filled(write, size)))
    assert isinstance(found["0.weight"], Kept) is is_kept
    assert found["2.weight"] == Identity()


@pytest.mark.parametrize(
    "given",
    [
        lambda: (lambda module: lambda: module)(nn.Linear(WIDE, WIDE)),
        lambda: (lambda module: lambda: copy.deepcopy(module))(nn.Linear(WIDE, WIDE)),
        lambda: lambda: (torch.manual_seed(0), nn.Linear(WIDE, WIDE))[1],
    ],
)
def test_a_draw_is_one_whoever_made_it_and_whatever_the_seed(
    given: Callable[[], Callable[[], nn.Module]],
) -> None:
    assert rules(zeroinit_cli.plan(given())) == {"weight": Identity(), "bias": Zeros()}


def test_one_build_is_enough_where_all_is_seen() -> None:
    calls = 0

    def build() -> nn.Module:
        nonlocal calls
        calls += 1
        return nn.Sequential(nn.Linear(WIDE, WIDE), nn.LayerNorm(WIDE), nn.Linear(WIDE, 3))

    zeroinit_cli.plan(build)
    assert calls == 1


# Memory that nobody wrote.


class Empty(nn.Module):
    """Weights that a checkpoint is to fill."""

    def __init__(self) -> None:
        super().__init__()
        self.token = nn.Parameter(torch.empty(4))
        self.layer = nn.Linear(4, 4)
        self.layer.weight = nn.Parameter(torch.empty(4, 4))


class Initialised(Empty):
    def init_weights(self) -> "Initialised":
        nn.init.ones_(self.token)
        nn.init.normal_(self.layer.weight)
        return self


@pytest.mark.parametrize(
    ("module", "advice"),
    [
        (Empty, "write it in the constructor"),
        (Initialised, "call Initialised.init_weights() in the function that builds the module"),
    ],
)
def test_memory_that_nobody_wrote_is_an_error(module: type[nn.Module], advice: str) -> None:
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.plan(module)
    if module is Empty:
        advice = "call Linear.reset_parameters() in the function that builds the module"
    assert str(caught.value) == (
        f"error: memory that the constructor leaves unwritten in {module.__name__}\n"
        "  expected: a draw or a constant in every tensor\n"
        "  found: token [4], layer.weight [4, 4]\n"
        "\n"
        f"hint: {advice}, or name a rule: --override 'token=zeros'"
    )


def test_the_advice_of_that_error_helps() -> None:
    expected = {"layer.bias": Zeros(), "layer.weight": Identity()}
    by_method = rules(zeroinit_cli.plan(lambda: Initialised().init_weights()))
    assert {**by_method, "token": None} == {**expected, "token": None}
    overrides = ["token=zeros", "layer.weight=algorithm-1"]
    assert rules(zeroinit_cli.plan(Empty, overrides=overrides)) == {**expected, "token": Zeros()}


def test_large_memory_that_nobody_wrote_is_an_error_without_a_method_to_name() -> None:
    class Bare(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.w = nn.Parameter(torch.empty(WIDE, WIDE))

    with pytest.raises(PlanError) as caught:
        zeroinit_cli.plan(Bare)
    assert str(caught.value) == (
        "error: memory that the constructor leaves unwritten in Bare\n"
        "  expected: a draw or a constant in every tensor\n"
        f"  found: w [{WIDE}, {WIDE}]\n"
        "\n"
        "hint: write it in the constructor, or name a rule: --override 'w=zeros'"
    )


# Modules that hold no values, or not the constructor's (04, r12, r17, r20).


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(50, 16)
        self.head = nn.Linear(16, 50, bias=False)
        self.head.weight = self.embed.weight


def emptied() -> Tied:
    with torch.device("meta"):
        module = Tied()
    return module.to_empty(device="cpu")


def test_ties_that_empty_memory_lost_are_told_before_anything_is_changed() -> None:
    module = emptied()
    module.embed.weight.data.fill_(7)
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.init_(module, build=Tied)
    assert str(caught.value) == (
        "error: parameters that build ties are not tied in Tied\n"
        "  expected: one parameter under both names\n"
        "  found: head.weight is not embed.weight\n"
        "\n"
        "hint: tie them again after to_empty(), as the constructor does: "
        "module.head.weight = module.embed.weight, or module.tie_weights()"
    )
    assert bool((module.embed.weight == 7).all())
    module.head.weight = module.embed.weight
    zeroinit_cli.init_(module, build=Tied)
    assert module.head.weight.abs().tolist() == [[0.125] * 16] * len(module.head.weight)


def test_two_parameters_of_one_memory_are_tied() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embed = nn.Embedding(WIDE, WIDE)
            self.head = nn.Linear(WIDE, WIDE, bias=False)
            self.head.weight = nn.Parameter(self.embed.weight.data)

    for architecture in (Shared, Shared()):
        plan = zeroinit_cli.plan(architecture)
        assert {each.info.name: each.tied_to for each in plan.tensors} == {
            "embed.weight": None,
            "head.weight": "embed.weight",
        }


@pytest.mark.parametrize("build", [None, lambda: nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))])
@pytest.mark.parametrize(
    ("whole", "names"),
    [(True, "0.weight, 0.bias, 1.weight, 1.bias"), (False, "1.weight, 1.bias")],
)
def test_tensors_on_meta_cannot_be_initialised(
    build: Callable[[], nn.Module] | None, whole: bool, names: str
) -> None:
    module = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8))
    (module if whole else module[1]).to(torch.device("meta"))
    before = None if whole else module.get_parameter("0.weight").detach().clone()
    with pytest.raises(PlanError) as caught:
        zeroinit_cli.init_(module, build=build)
    assert str(caught.value) == (
        "error: tensors on the meta device, which hold no values in Sequential\n"
        "  expected: a module on the device that it is to be used on\n"
        f"  found: {names}\n"
        "\n"
        'hint: module.to_empty(device="cpu") first, then init_ with build=lambda: Model(...)'
    )
    assert before is None or torch.equal(module.get_parameter("0.weight"), before)


def test_a_value_that_a_builder_makes_on_meta_is_an_error() -> None:
    def build() -> nn.Module:
        module = nn.Linear(3, 3, device="meta")
        module.register_buffer("index", torch.arange(3, device="meta"))
        return module

    with pytest.raises(PlanError) as caught:
        zeroinit_cli.plan(build)
    assert str(caught.value) == (
        "error: the constructor makes values on the meta device, where there are none in build\n"
        "  expected: a function that builds the module on the CPU\n"
        "  found: index\n"
        "\n"
        'hint: leave torch.device("meta") out of it'
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
def test_a_scripted_module_is_an_error_that_says_so() -> None:
    scripted = torch.jit.script(nn.Linear(4, 4))
    for module, where in ((scripted, ""), (nn.Sequential(nn.Linear(4, 4), scripted), ": 1")):
        for call in (zeroinit_cli.plan, zeroinit_cli.init_):
            with pytest.raises(PlanError) as caught:
                call(module)
            assert str(caught.value) == (
                "error: a scripted module, which does not tell how its tensors are used in "
                f"{type(module).__name__}{where}\n"
                "  expected: a module in Python\n"
                "  found: RecursiveScriptModule\n"
                "\n"
                "hint: plan or initialise the module first, and script it then"
            )


class Drawn(nn.Module):
    """Norms that are drawn at random, as RepVGG's and DCGAN's are."""

    def __init__(self, norm: Callable[[int], nn.Module], shift: float) -> None:
        super().__init__()
        self.layer, self.norm = nn.Linear(8, 8), norm(8)
        nn.init.normal_(self.norm.get_parameter("weight"), 0.1, 0.1)
        nn.init.normal_(self.norm.get_parameter("bias"), 0, shift)


@pytest.mark.parametrize(("norm", "shift"), [(nn.BatchNorm1d, 0.1), (nn.LayerNorm, 0.0)])
def test_a_module_whose_norms_are_drawn_is_no_damaged_one(
    norm: Callable[[int], nn.Module], shift: float
) -> None:
    module = zeroinit_cli.init_(Drawn(norm, shift))
    assert module.norm.get_parameter("weight").tolist() == [1] * 8
    assert module.norm.get_parameter("bias").tolist() == [0] * 8


def test_spectral_norm_is_not_changed_by_an_error() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.d = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3, padding=1))
            self.phase = nn.Parameter(torch.randn(4, 1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out: torch.Tensor = x + self.d(x) * torch.cos(self.phase)
            return out

    module = Net()
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    for build in (None, Net):
        with pytest.raises(NoRuleError):
            zeroinit_cli.init_(module, build=build)
    after = module.state_dict()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []


def nets() -> Iterable[nn.Module]:
    yield nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 1))
    yield nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 4, 1, groups=4))
    yield nn.TransformerEncoderLayer(8, 2, 16)
    yield nn.Sequential(nn.Embedding(5, 8, padding_idx=0), nn.LayerNorm(8), nn.Linear(8, 8))
    yield LoRA(nn.Linear(4, 4))


@pytest.mark.parametrize("module", list(nets()))
def test_a_second_time_changes_nothing(module: nn.Module) -> None:
    zeroinit_cli.init_(module)
    first = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    zeroinit_cli.init_(module)
    second = module.state_dict()
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
