"""Probes by hand, for what is said of them."""

from typing import Any

from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.probing.report import Conditions, LayerReport, Probe, Run

WARNING = PlanWarning(kind="batch-norm-chain", text="channels cancel", hint="--policy default")


def layer(name: str, **values: Any) -> LayerReport:
    defaults: dict[str, Any] = {"kind": "Conv2d", "activation": 1.0, "gradient": 2.0, "moved": 0.01}
    units = {"units": 8, "distinct": 8, "distinct_after": 8, "rank": 6, "most_rank": 8}
    return LayerReport(name=name, **{**defaults, **units, **values})


def norm(name: str, flat: int = 0, **values: Any) -> LayerReport:
    return LayerReport(
        name=name,
        kind="BatchNorm2d",
        channels=16,
        flat=flat,
        **{"activation": 1.0, "gradient": 0.5, **values},
    )


def run(
    *layers: LayerReport, losses: tuple[float | None, ...] = (2.3, 2.2, 2.1, 2.0), **more: Any
) -> Run:
    return Run(losses=losses, layers=layers, **{"learning_rate": 0.01, "not_finite": None, **more})


OWN = run(layer("conv"), norm("norm"))


def probe(start: Run = OWN, own: Run = OWN, **more: Any) -> Probe:
    conditions = Conditions(
        source="torchvision:net",
        start="ZerO: dtype float32, policy paper",
        plan="sha256:00",
        inputs={"": "float32 8 x 3 x 96 x 96"},
        given=False,
        steps=3,
        learning_rate=0.01,
        seeds=(0, 1, 2),
        device="cpu",
        versions={"torch": "2.13.0", "torchvision": "0.28.0"},
        parameters=1234,
    )
    return Probe(conditions=conditions, run=start, torch=own, **more)


EXPLODES = probe(
    run(layer("conv", gradient=3.5e7, distinct=2), norm("norm", 14)), warnings=(WARNING,)
)
FAST = probe(
    run(
        layer("conv"),
        norm("norm"),
        losses=(6.91, 7.53, 21.6, None),
        not_finite="the loss, after 3 steps",
    ),
    retries=(Run(learning_rate=0.001, losses=(6.91, 5.0, 4.0, 3.0), not_finite=None),),
)
HOPELESS = probe(
    run(layer("conv"), norm("norm"), losses=(6.91, 60.0, None, None), not_finite="x"),
    retries=(
        Run(learning_rate=0.001, losses=(6.91, 7.0, 8.0, 9.0), not_finite=None),
        Run(learning_rate=0.0001, losses=(6.91, 6.95, 6.96, 6.97), not_finite=None),
    ),
)
EQUAL = probe(run(layer("conv", distinct=1, distinct_after=2), norm("norm")))
SILENT = probe(run(layer("conv"), norm("norm"), never=("a.weight", "b.bias")))
INFINITE = probe(
    run(
        layer("conv", activation=None, gradient=0.0),
        norm("norm"),
        losses=(None,) * 4,
        not_finite="the output of conv, before the first step",
    ),
    retries=(
        Run(learning_rate=0.001, losses=(None,) * 4, not_finite="x"),
        Run(learning_rate=0.0001, losses=(None,) * 4, not_finite="x"),
    ),
)
