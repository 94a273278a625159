"""Values that a constructor means: the rule that gives one, and the reason in words."""

import hashlib

import torch

from zeroinit_cli.dtypes import DType
from zeroinit_cli.models.constants import Witness, is_uniform
from zeroinit_cli.models.entries import Entry
from zeroinit_cli.models.owned import Constructed, Ruled
from zeroinit_cli.models.placing import LARGE
from zeroinit_cli.plans.rounding import stored_bytes
from zeroinit_cli.plans.rules import Kept, Ones, Rule, Zeros

_PLATFORM = "; platform-dependent, from transcendental functions"


def is_meant(value: torch.Tensor, kind: Constructed) -> bool:
    """Whether a value that is no draw stays."""
    return kind.zero_is_meant or bool(value.any())


def keep(
    entry: Entry, kind: Constructed, witness: Witness, dtype: DType, values: dict[str, bytes]
) -> Ruled:
    """The rule of a kept tensor, its value put into `values` where no rule gives it."""
    value = witness.value(entry)
    rule = _plain_rule(value, kind)
    if rule is not None and kind.if_random is not None and kind.if_random.rule == rule:
        return kind.if_random
    platform = _PLATFORM if witness.is_platform_dependent(entry) else ""
    reason = f"kept as constructed: {_words(value)}{platform}"
    if rule is not None:
        return Ruled(rule=rule, reason=reason)
    return hold(value, reason, dtype, values)


def hold(value: torch.Tensor, reason: str, dtype: DType, values: dict[str, bytes]) -> Ruled:
    """The rule of a tensor that no other rule gives, its bytes put into `values`."""
    tensor = value.cpu()
    array = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).contiguous().numpy()
    data = stored_bytes(array, dtype)
    if not any(data):  # too small for the type
        return Ruled(rule=Zeros(), reason=reason)
    sha256 = hashlib.sha256(data).hexdigest()
    values[sha256] = data
    return Ruled(rule=Kept(sha256=sha256), reason=reason)


def _plain_rule(value: torch.Tensor, kind: Constructed) -> Rule | None:
    """The rule that gives a value, where that is plain; of a small one only if it would, anyway."""
    if not value.any() and not torch.signbit(value).any():
        return Zeros()
    is_expected = kind.if_random is not None and kind.if_random.rule == Ones()
    if (is_expected or value.numel() >= LARGE) and bool((value == 1).all()):
        return Ones()
    return None


def _words(value: torch.Tensor) -> str:
    """What a value is, in short."""
    if value.numel() > 1 and not is_uniform(value):
        return "its values"
    number = value.reshape(-1)[0].item() if value.numel() else 0
    return f"all {number:g}" if value.numel() > 1 else f"{number:g}"
