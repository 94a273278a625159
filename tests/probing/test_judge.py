"""Verdicts in whole sentences, and the thresholds from both sides."""

from dataclasses import replace

import pytest

from tests.probing.probes import (
    EQUAL,
    EXPLODES,
    FAST,
    HOPELESS,
    INFINITE,
    OWN,
    SILENT,
    layer,
    norm,
    probe,
    run,
)
from zeroinit_cli.probing.judge import THRESHOLDS, Will, goes_well, judge, oddity
from zeroinit_cli.probing.report import Probe, middle

VERDICTS: dict[str, tuple[Probe, Will, str, tuple[str, ...], tuple[str, ...]]] = {
    "as torch's own": (probe(), Will.TRAIN, "will train", (), ()),
    "explodes": (
        EXPLODES,
        Will.NOT,
        "likely not: 1 norm sees channels without variance, largest gradient 3.5e7 against 2.0",
        ("largest gradient 3.5e7 against 2.0 of torch's own start, in conv",),
        ("--policy default",),
    ),
    "too fast": (
        FAST,
        Will.SLOWER,
        "will train, with a learning rate of about 0.001 or less",
        (
            "3 steps at learning rate 0.01 take the loss 6.91 -> 7.53 -> 21.60 -> not finite",
            "at 0.001 they take it 6.91 -> 5.00 -> 4.00 -> 3.00",
        ),
        (),
    ),
    "at no rate": (
        HOPELESS,
        Will.NOT,
        "likely not: the loss falls at no learning rate that was tried",
        (
            "3 steps at learning rate 0.01 take the loss 6.91 -> 60.00 -> not finite -> not finite",
            "nor does it fall at 0.001 or 0.0001",
        ),
        (),
    ),
    "equal units": (
        EQUAL,
        Will.UNCERTAIN,
        "uncertain",
        (
            "2 of 8 units differ after 3 steps, against 8: equal units learn the same until "
            "something parts them",
        ),
        (),
    ),
    "no gradient": (
        SILENT,
        Will.UNCERTAIN,
        "uncertain",
        ("2 parameters got no gradient in 3 steps",),
        (),
    ),
    "infinite": (
        INFINITE,
        Will.NOT,
        "likely not: not finite: the output of conv, before the first step",
        (),
        (),
    ),
}


@pytest.mark.parametrize("name", sorted(VERDICTS))
def test_the_verdict_is_this(name: str) -> None:
    found, kind, text, reasons, hints = VERDICTS[name]
    verdict = judge(found)
    assert (verdict.kind, verdict.text, verdict.reasons, verdict.hints) == (
        kind,
        text,
        reasons,
        hints,
    )
    assert verdict.good is (kind is Will.TRAIN)


@pytest.mark.parametrize(
    ("gradient", "kind"),
    [
        (0.19, Will.UNCERTAIN),
        (0.21, Will.TRAIN),
        (1999, Will.TRAIN),
        (2001, Will.UNCERTAIN),
        (1_999_000, Will.UNCERTAIN),
        (2_001_000, Will.NOT),
        (None, Will.TRAIN),
    ],
)
def test_the_gradients_thresholds(gradient: float | None, kind: Will) -> None:
    """Torch's own is 2, its loss falls much further; what is not finite is told by the losses."""
    losses = (2.3, 2.25, 2.2, 2.2)
    start = run(layer("conv", gradient=gradient), norm("norm", gradient=0.1), losses=losses)
    assert judge(probe(start)).kind is kind


@pytest.mark.parametrize(
    ("losses", "kind"),
    [((2.3, 2.25, 2.2, 2.16), Will.UNCERTAIN), ((2.3, 2.25, 2.2, 2.14), Will.TRAIN)],
)
def test_a_small_gradient_is_no_doubt_where_the_loss_falls_half_as_far(
    losses: tuple[float, ...], kind: Will
) -> None:
    """From torch's own start it falls from 2.3 to 2.0."""
    assert judge(probe(run(layer("conv", gradient=0.1), losses=losses))).kind is kind


def test_the_loss_may_rise_a_little_on_the_way() -> None:
    assert goes_well(run(losses=(2.0, 2.19, 1.9)))
    assert not goes_well(run(losses=(2.0, 2.21, 1.9)))
    assert not goes_well(run(losses=(2.0, 1.9, 2.0)))
    assert not goes_well(run(losses=(2.0, 1.9, 1.8), not_finite="the loss, after 2 steps"))
    assert not goes_well(run(losses=(None, None, None)))
    assert THRESHOLDS["loss_rise"] == 1.1


def test_fewer_than_three_steps_do_not_reach_what_a_closed_branch_hides() -> None:
    two = replace(SILENT, conditions=replace(SILENT.conditions, steps=2))
    assert judge(two).kind is Will.TRAIN


def test_the_learning_rate_is_the_largest_that_went_well() -> None:
    assert judge(probe()).learning_rate == 0.01
    assert judge(FAST).learning_rate == 0.001
    assert judge(HOPELESS).learning_rate is None


def test_the_oddest_layer_is_the_one_that_is_not_finite() -> None:
    own = layer("conv")
    usual, odd = layer("conv"), layer("conv", gradient=2e5)
    flat = norm("norm", 16)
    lost = layer("conv", gradient=None)
    distances = [
        oddity(usual, own),
        oddity(flat, norm("norm")),
        oddity(odd, own),
        oddity(lost, own),
    ]
    assert distances == sorted(distances)
    assert distances[0] == 0
    assert distances[-1] == float("inf")


def test_the_middle_of_several_runs_is_that_of_each_number() -> None:
    runs = [
        run(layer("conv", gradient=each), norm("norm"), losses=(2.0, each), never=("a", str(each)))
        for each in (1.0, 9.0, 3.0)
    ]
    found = middle(runs)
    assert found.losses == (2.0, 3.0)
    assert found.layers[0].gradient == 3.0
    assert found.never == ("a",)


def test_the_middle_is_not_finite_where_most_are_not() -> None:
    lost = run(layer("conv", gradient=None), losses=(2.0, None), not_finite="x")
    sound = run(layer("conv"), losses=(2.0, 1.0))
    assert middle([lost, lost, sound]).losses == (2.0, None)
    assert middle([lost, lost, sound]).not_finite == "x"
    assert middle([lost, sound, sound]).layers[0].gradient == 2.0
    assert middle([lost, sound, sound]).not_finite is None
    assert middle([OWN]) is OWN
