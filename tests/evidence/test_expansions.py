"""The facts that evidence/expansions/README.md argues with, and the study itself, tiny."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn

import zeroinit_cli
from evidence.expansions import __main__ as command
from evidence.expansions import results, runs
from evidence.expansions.algebra import cancelled, chain, even_stems, facts
from evidence.expansions.beginnings import begin
from evidence.expansions.cells import CELLS, CORE, Cell
from evidence.expansions.fields import cubes, powers, residues
from evidence.expansions.figures import draw
from evidence.expansions.first_step import first_step
from evidence.expansions.matrices import FAMILIES, constant, random_family, skew_paley
from evidence.expansions.runs import Runs
from evidence.expansions.study import study
from evidence.expansions.substitution import put, with_family
from evidence.expansions.summary import pair, ranks
from evidence.expansions.tables import sections
from evidence.nets import image_net
from evidence.starts import ZERO_1
from tests.long import some_long
from zeroinit_cli.plans.kernels import Taps
from zeroinit_cli.plans.layouts import Groups
from zeroinit_cli.plans.rules import Hadamard, Identity

pytestmark = pytest.mark.long  # a study that is published, not the product

FOLDER = Path(command.__file__).parent
SHAPES = [(2, 1), (32, 1), (24, 3), (64, 3), (144, 24), (58, 24), (65, 64), (100, 99)]
ORTHOGONAL = ("sylvester", "later columns", "rudin-shapiro", "singer", "gold", "twisted")


def same(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


def every_layout() -> nn.Module:
    """Layers whose expansions lie in a tensor in each way that there is."""
    return nn.Sequential(
        nn.Embedding(20, 3, padding_idx=2),
        nn.Conv2d(4, 24, 3, groups=2),
        nn.Conv2d(3, 40, 2, 2),
        nn.ConvTranspose2d(3, 20, 4, 2, 1),
        nn.MultiheadAttention(12, 2, kdim=5, vdim=5),
    )


@pytest.mark.parametrize("build", [image_net("mobilenet_v2"), image_net("vit"), every_layout])
def test_substitution_of_its_own_matrix_changes_nothing(
    build: Callable[[], nn.Module],
) -> None:
    plan = zeroinit_cli.plan(build, policy=ZERO_1)
    model, other = build(), build()
    put(with_family(plan, FAMILIES["sylvester"]), model)
    zeroinit_cli.init_(other, build=build, policy=ZERO_1)
    assert same(model, other)


def test_sylvester_is_scipys() -> None:
    assert np.array_equal(
        FAMILIES["sylvester"].entries(64, 17), scipy.linalg.hadamard(64)[:, :17] * constant(64)
    )


@pytest.mark.parametrize("prime", [3, 7, 11, 103])
def test_residues_by_eulers_criterion(prime: int) -> None:
    expected = [1] + [1 if pow(a, prime // 2, prime) == 1 else -1 for a in range(1, prime)]
    assert residues(prime - 1).tolist() == expected


def test_cubes_by_long_multiplication() -> None:
    assert sorted(powers(5)) == list(range(1, 32))

    def times(one: int, other: int) -> int:
        product = 0
        for bit in range(5):
            product ^= (one << bit) * (other >> bit & 1)
        for bit in range(9, 4, -1):  # modulo x^5 + x^2 + 1, the smallest that will do
            product ^= (0b100101 << (bit - 5)) * (product >> bit & 1)
        return product

    assert cubes(5).tolist() == [times(j, times(j, j)) for j in range(32)]


@pytest.mark.parametrize("name", ORTHOGONAL)
@pytest.mark.parametrize(("fan_out", "fan_in"), [(4, 3), (32, 5), (64, 32), (128, 127)])
def test_columns_are_orthonormal_at_powers_of_two(name: str, fan_out: int, fan_in: int) -> None:
    matrix = FAMILIES[name].entries(fan_out, fan_in)
    assert np.allclose(matrix.T @ matrix, np.eye(fan_in))


@pytest.mark.parametrize("order", [4, 8, 12, 20, 24, 44])
def test_skew_paley_is_a_hadamard_matrix_at_its_order(order: int) -> None:
    matrix = skew_paley(order, order)
    assert np.array_equal(matrix.T @ matrix, order * np.eye(order))


@pytest.mark.parametrize("shape", SHAPES)
def test_twisted_matrices_stretch_as_sylvesters_do(shape: tuple[int, int]) -> None:
    """Column signs of a block are orthogonal, so each block has its block's singular values."""
    one, other, odd = (
        facts(FAMILIES[name].entries(*shape)) for name in ("sylvester", "twisted", "odd twisted")
    )
    assert other.largest == pytest.approx(one.largest)
    assert other.smallest == pytest.approx(one.smallest)
    assert odd.smallest == pytest.approx(one.smallest)


@pytest.mark.long
@pytest.mark.parametrize(
    ("shape", "sylvester", "others"),
    [((64, 3), 4, 8), ((144, 24), 32, 144), ((3072, 768), 1024, 3072)],
)
def test_distinct_units(shape: tuple[int, int], sylvester: int, others: int) -> None:
    assert facts(FAMILIES["sylvester"].entries(*shape)).distinct == sylvester
    for name in ("paley", "odd twisted"):
        assert facts(FAMILIES[name].entries(*shape)).distinct == others


def test_what_the_policy_says_of_paleys_singular_values() -> None:
    for shape, smallest, largest in [
        ((512, 128), 0.84, 1.01),
        ((128, 64), 0.58, 1.02),
        ((65, 64), 0.18, 0.73),
    ]:
        found = facts(FAMILIES["paley"].entries(*shape))
        assert (found.smallest, found.largest) == pytest.approx((smallest, largest), abs=0.006)


@pytest.mark.parametrize(
    "widths", [(1, 16, 32), (1, 8, 64), (3, 16, 32), (3, 64, 128), (5, 32, 64)]
)
def test_a_sylvester_expansion_behind_another_cancels_this_share(widths: tuple[int, ...]) -> None:
    link = chain(FAMILIES["sylvester"], widths)[1]
    assert link.exact == link.flat == cancelled(widths[0], widths[1])


@pytest.mark.parametrize("width", some_long([4, 16, 24, 32, 64, 96], lambda width: width > 32))
@pytest.mark.parametrize("channels", [1, 3])
def test_an_odd_count_of_units_never_cancels(width: int, channels: int) -> None:
    """If a pattern of signs occurs an odd number of times, no sum of all units by signs is 0."""
    for name, family in FAMILIES.items():
        if name in ("cosines", "identities") or width <= channels:
            continue
        odd = facts(family.entries(width, channels)).odd
        cancels = chain(family, (channels, width, 2 * width))[1].exact > 0
        assert not (odd and cancels), name
    assert facts(FAMILIES["odd twisted"].entries(width, 1)).odd
    assert not facts(FAMILIES["sylvester"].entries(width, 1)).odd


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 8])
def test_no_stem_of_the_candidate_is_even(channels: int) -> None:
    assert even_stems(FAMILIES["odd twisted"], channels) == (0, 63 if channels == 8 else 64)
    assert even_stems(FAMILIES["sylvester"], channels)[0] >= 32


def test_paleys_stem_of_shufflenet_is_even() -> None:
    assert not facts(FAMILIES["paley"].entries(24, 3)).odd
    assert facts(FAMILIES["odd twisted"].entries(24, 3)).odd


def test_the_rank_of_a_sylvester_chain_does_not_grow() -> None:
    widths = (3, 16, 32, 64, 128)
    assert [link.rank for link in chain(FAMILIES["sylvester"], widths)] == [3, 4, 4, 4]
    assert [link.rank for link in chain(FAMILIES["odd twisted"], widths)] == [3, 7, 30, 64]


def test_parts_of_a_start_are_what_they_say() -> None:
    cell = next(cell for cell in CELLS if cell.name == "MobileNetV2, 3 ch")
    plan = zeroinit_cli.plan(cell.build, policy=ZERO_1)
    whole, own = begin(cell, "odd twisted", 7), begin(cell, "torch", 7)
    kinds = {"identities": (Identity, False), "depthwise": (Identity, True)}
    for change, (leaf, grouped) in {**kinds, "expansions": (Hadamard, False)}.items():
        changed = begin(cell, f"odd twisted, own {change}", 7).state_dict()
        for each in plan.tensors:
            inner = each.rule.of if isinstance(each.rule, Groups) else each.rule
            inner = inner.of if isinstance(inner, Taps) else inner
            chosen = isinstance(inner, leaf) and isinstance(each.rule, Groups) == grouped
            expected = (own if chosen else whole).state_dict()[each.info.name]
            assert torch.equal(changed[each.info.name], expected), each.info.name


def test_a_patch_stem_fills_the_whole_kernel() -> None:
    cell = next(cell for cell in CELLS if cell.name == "VGG-BN, 1 ch")
    stem = begin(cell, "odd twisted, patch stem", 0).state_dict()["features.0.0.weight"]
    assert facts(stem.reshape(16, 9).double().numpy()).rank == 9
    assert int((begin(cell, "odd twisted", 0).state_dict()["features.0.0.weight"] != 0).sum()) == 16


def test_draws_of_random_signs_differ_and_are_balanced() -> None:
    cell = next(cell for cell in CELLS if cell.name == "MLP, 1 ch")
    one, other = begin(cell, "random signs", 0), begin(cell, "random signs", 1)
    assert not same(one, other)
    assert same(one, begin(cell, "random signs", 0))
    assert abs(np.sign(FAMILIES["random signs"].entries(512, 256)).mean()) < 0.01


def test_the_first_step_sees_gradient_and_flat_channels() -> None:
    conv, norm = nn.Conv2d(1, 3, 1, bias=False), nn.BatchNorm2d(3)
    conv.weight.data[2] = 0
    model = nn.Sequential(conv, norm, nn.Flatten(), nn.Linear(12, 4))
    inputs, targets = (
        torch.randn((8, 1, 2, 2), generator=torch.Generator().manual_seed(0)),
        torch.arange(8) % 4,
    )
    found = first_step(model, inputs, targets)
    norms = [float(each.grad.norm()) for each in model.parameters()]  # type: ignore[union-attr]  # after backward
    assert (found.flat, found.channels) == (1, 3)
    assert found.gradient == pytest.approx(max(norms))


def tiny() -> Cell:
    cell = next(cell for cell in CELLS if cell.name == "MLP, 1 ch")
    return replace(
        cell, recipe=replace(cell.recipe, steps=2), grid=(0.1,), starts=("torch", "paley")
    )


def test_a_study_goes_on_where_it_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "new" / "runs.jsonl"
    assert study(Runs(path), [tiny()], seeds=2)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join([*lines, lines[0][:40]]), encoding="utf-8")
    found = results.training(Runs(path), 2, [tiny()])
    assert {start: len(each["test_error"]) for start, each in found["MLP, 1 ch"].items()} == {
        "torch": 2,
        "paley": 2,
    }

    def again(*_: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(runs, "train", again)
    assert study(Runs(path), [tiny()], seeds=2)
    assert not study(Runs(path), [tiny()], seeds=2, until=0)
    longer = replace(tiny(), recipe=replace(tiny().recipe, steps=3))
    assert results.training(Runs(path), 2, [longer]) == {}  # those runs are another study's
    assert results.training(Runs(tmp_path / "none"), 2, [tiny()]) == {}


def test_a_difference_within_its_interval_is_a_tie() -> None:
    assert pair([1.0, 2.0, 3.0], [2.0, 3.0, 4.0]).verdict == 1
    assert pair([2.0, 3.0, 4.0], [1.0, 2.0, 3.0]).verdict == -1
    assert pair([1.0, 2.0, 3.0], [2.0, 1.0, 3.5]).verdict == 0
    assert pair([1.0, 2.0, 3.0], [2.0, 1.0, 3.5]).difference == pytest.approx(-1 / 6)
    assert pair([5.0, 5.0], [5.0, 5.0]).verdict == 0
    assert ranks({"a": 3.0, "b": 1.0, "c": 3.0}) == {"a": 2.5, "b": 1.0, "c": 2.5}


def test_the_document_says_what_the_results_say(tmp_path: Path) -> None:
    found = json.loads((FOLDER / "results.json").read_text(encoding="utf-8"))
    text = (FOLDER / "README.md").read_text(encoding="utf-8")
    for name, lines in sections(found).items():
        assert f"<!-- {name} -->\n" + "\n".join(lines) + f"\n<!-- /{name} -->" in text
    for folder in (tmp_path / "a", tmp_path / "b"):
        folder.mkdir()
        draw(found, folder)
    drawn = sorted(tmp_path.glob("a/*.svg"))
    assert [each.name for each in drawn] == sorted(each.name for each in FOLDER.glob("*.svg"))
    for each in drawn:
        assert each.read_bytes() == (tmp_path / "b" / each.name).read_bytes()
        assert f"]({each.name})" in text


def test_every_cell_has_a_name_of_its_own_and_starts() -> None:
    names = [cell.name for cell in CELLS]
    assert len(names) == len(set(names))
    for cell in CELLS:
        assert len(set(cell.starts)) == len(cell.starts)
        assert set(CORE) <= set(cell.starts)


def test_shifted_kernels_hold_one_tap_each_and_all_of_them_in_turn() -> None:
    cell = next(cell for cell in CELLS if cell.name == "MobileNetV1, 1 ch")
    state = begin(cell, "odd twisted, shifted depthwise", 0).state_dict()
    kernels = state["features.1.0.weight"].flatten(1)  # (16, 9), the first depthwise ones
    assert torch.equal(kernels, torch.eye(9)[torch.arange(16) % 9])
    other = begin(cell, "odd twisted", 0).state_dict()
    changed = {name for name in state if not torch.equal(state[name], other[name])}
    assert changed == {f"features.{layer}.0.weight" for layer in (1, 3, 5, 7, 9)}


def test_which_draws_of_random_signs_begin_odd() -> None:
    """On VGG-BN with one channel exactly these two draws train."""
    draws = range(5)
    assert [draw for draw in draws if facts(random_family(draw).entries(16, 1)).odd] == [1, 3]
