"""The warnings of a plan, and what is warned of."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import nn

from tests.models.test_planning import plan_of
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import PlanWarning
from zeroinit_cli.policies import DEFAULT


def warnings_of(
    factory: Callable[[], nn.Module], *overrides: str, **choices: Any
) -> dict[str, list[PlanWarning]]:
    """The warnings of a plan under some choices, by their kind, but for repeated rows."""
    asked = Options.from_words({}, overrides=overrides)
    plan = plan_of(factory, replace(asked, policy=replace(DEFAULT, **choices)))
    found: dict[str, list[PlanWarning]] = {}
    for warning in plan.warnings:
        if warning.kind != "equal-rows":
            found.setdefault(warning.kind, []).append(warning)
    return found


def texts(
    factory: Callable[[], nn.Module], kind: str, *overrides: str, **choices: Any
) -> list[tuple[str, str | None]]:
    """What is warned of in one kind, and what would mend it; nothing else may be warned of."""
    found = warnings_of(factory, *overrides, **choices)
    assert set(found) <= {kind}
    return [(warning.text, warning.hint) for warning in found.get(kind, [])]


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2)

    def forward(self, x: Any) -> Any:
        return x + self.attn(x, x, x)[0]
