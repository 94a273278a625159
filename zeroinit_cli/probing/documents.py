"""What `probe --json` prints (docs/output.md)."""

from typing import Any

from zeroinit_cli.probing.judging import THRESHOLDS, Verdict
from zeroinit_cli.probing.reports import Layer, Probe, Run

_DIGITS = 4  # of measured numbers: further ones could depend on the machine


def probe_json(probe: Probe, verdict: Verdict) -> dict[str, Any]:
    """The document of a probe."""
    told = probe.conditions
    pairs = zip(probe.run.layers, probe.torch.layers, strict=True)
    return {
        "cautions": [
            {"hint": each.hint, "kind": each.kind, "text": each.text} for each in probe.warnings
        ],
        "conditions": {
            "device": told.device,
            "given": told.given,
            "inputs": dict(told.inputs),
            "learning_rate": told.learning_rate,
            "parameters": told.parameters,
            "plan": told.plan,
            "seeds": list(told.seeds),
            "steps": told.steps,
            "versions": dict(told.versions),
        },
        "layers": [
            {
                "kind": layer.kind,
                "name": layer.name,
                "start": _layer_json(layer),
                "torch": _layer_json(own),
            }
            for layer, own in pairs
        ],
        "learning_rates": [
            {
                "learning_rate": rung.learning_rate,
                "losses": [_rounded(each) for each in rung.losses],
                "not_finite": rung.not_finite,
            }
            for rung in probe.rungs
        ],
        "source": told.source,
        "start": {"is": told.start, **_run_json(probe.run)},
        "thresholds": dict(THRESHOLDS),
        "torch": _run_json(probe.torch),
        "used_nowhere": list(probe.used_nowhere),
        "verdict": {
            "learning_rate": verdict.learning_rate,
            "reasons": list(verdict.reasons),
            "text": verdict.text,
            "will": verdict.kind.value,
        },
    }


def _run_json(run: Run) -> dict[str, Any]:
    largest = run.largest
    return {
        "channels": run.channels,
        "distinct": run.distinct,
        "distinct_after": run.distinct_after,
        "flat": run.flat,
        "largest_gradient": _rounded(run.largest_gradient),
        "largest_gradient_of": "" if largest is None else largest.name,
        "losses": [_rounded(each) for each in run.losses],
        "moved": _rounded(run.moved),
        "not_finite": run.not_finite,
        "units": run.units,
        "without_gradient": list(run.never),
    }


def _layer_json(layer: Layer) -> dict[str, Any]:
    return {
        "activation": _rounded(layer.activation),
        "channels": layer.channels,
        "distinct": layer.distinct,
        "distinct_after": layer.distinct_after,
        "flat": layer.flat,
        "gradient": _rounded(layer.gradient),
        "most_rank": layer.most_rank,
        "moved": _rounded(layer.moved),
        "rank": layer.rank,
        "units": layer.units,
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.{_DIGITS}g}")
