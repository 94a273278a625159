"""The warnings of a plan, and what is warned of."""

from collections.abc import Callable
from typing import Any

from torch import nn

from tests.models.test_planning import plan_of
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import PlanWarning


def warnings_of(
    factory: Callable[[], nn.Module], *overrides: str, **words: str
) -> dict[str, list[PlanWarning]]:
    """The warnings of a plan by their kind, but for repeated rows, which most small nets have."""
    plan = plan_of(factory, Options.from_words(words, overrides=overrides))
    found: dict[str, list[PlanWarning]] = {}
    for warning in plan.warnings:
        if warning.kind != "equal-rows":
            found.setdefault(warning.kind, []).append(warning)
    return found


def texts(
    factory: Callable[[], nn.Module], kind: str, *overrides: str, **words: str
) -> list[tuple[str, str | None]]:
    """What is warned of in one kind, and what would mend it; nothing else may be warned of."""
    found = warnings_of(factory, *overrides, **words)
    assert set(found) <= {kind}
    return [(warning.text, warning.hint) for warning in found.get(kind, [])]


class Attends(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(8, 2)

    def forward(self, x: Any) -> Any:
        return x + self.attn(x, x, x)[0]
