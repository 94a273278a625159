"""Torchvision's names, for parametrizing; as a literal, so that collecting needs no torch."""

from functools import cache

from zeroinit_cli.models import plan_source
from zeroinit_cli.options import Options
from zeroinit_cli.plans.plan import Plan, PlannedTensor
from zeroinit_cli.policies import DEFAULT, Policy
from zeroinit_cli.sources import parse_source


@cache
def planned(source: str, *settings: str, policy: Policy = DEFAULT) -> Plan:
    """The plan of a model, made once."""
    return plan_source(parse_source(source, settings), Options(policy=policy))


def tensor(source: str, name: str) -> PlannedTensor:
    """One tensor of a model's plan."""
    [found] = [each for each in planned(source).tensors if each.info.name == name]
    return found
