"""Small plans for tests that need no architecture."""

import base64
import hashlib
from typing import Any

from zeroinit_cli.dtypes import DTYPES
from zeroinit_cli.plans import kernels, layouts, norms, rules
from zeroinit_cli.plans.plan import Plan, PlannedTensor, TensorInfo
from zeroinit_cli.plans.rules import Kept, Ones, Rule

RULES: dict[str, Any] = {
    found.kind: found
    for module in (rules, kernels, layouts, norms)
    for found in vars(module).values()
    if isinstance(found, type) and issubclass(found, Rule) and found is not Rule
}
"""Every rule by its kind."""


def tensor(
    name: str, shape: tuple[int, ...], rule: Rule | None = None, dtype: str = "F32"
) -> PlannedTensor:
    """A tensor of ones, or by another rule."""
    return PlannedTensor(
        info=TensorInfo(name=name, shape=shape, dtype=DTYPES[dtype]),
        rule=rule or Ones(),
        reason="a test",
        module_type="Test",
    )


def plan(*tensors: PlannedTensor, kept: tuple[bytes, ...] = ()) -> Plan:
    """A plan of these tensors, with kept values by their digests."""
    return Plan(tensors=tensors, kept={hashlib.sha256(data).hexdigest(): data for data in kept})


def kept(data: bytes) -> Kept:
    """The rule that keeps these bytes."""
    return Kept(sha256=hashlib.sha256(data).hexdigest())


def rule_from_json(data: dict[str, Any]) -> Rule:
    """A rule from its canonical form."""
    fields = {key: value for key, value in data.items() if key != "rule"}
    for key in ("of", "signs"):
        if key in fields:
            fields[key] = rule_from_json(fields[key])
    if "ranges" in fields:
        fields["ranges"] = tuple((first, last) for first, last in fields["ranges"])
    if "parts" in fields:
        parts = fields["parts"]
        fields["parts"] = tuple((part["rows"], rule_from_json(part["of"])) for part in parts)
    for key in ("grid", "shape"):
        if key in fields:
            fields[key] = tuple(fields[key])
    rule: Rule = RULES[data["rule"]](**fields)
    return rule


def plan_from_json(data: dict[str, Any]) -> Plan:
    """A plan from what `zeroinit plan --json` prints."""
    return Plan(
        tensors=tuple(
            tensor(each["name"], tuple(each["shape"]), rule_from_json(each["rule"]), each["dtype"])
            for each in data["tensors"]
        ),
        kept={sha256: base64.b64decode(text) for sha256, text in data["kept"].items()},
    )
