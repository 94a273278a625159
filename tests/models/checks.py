"""Forwards that check what they are given; apart from tests, whose asserts pytest rewrites."""

from typing import Any


def _raises(m: Any, x: Any) -> Any:
    if x.shape[-1] != 8:
        raise ValueError(f"expected 8 channels, got {x.shape[-1]}")
    return x + m.f(x)


def _raises_unless(m: Any, x: Any) -> Any:
    if not x.dim() > 2:
        message = "expected (batch, length, width)"
        raise ValueError(message)
    return x + m.f(x)


def _raises_for_either(m: Any, x: Any) -> Any:
    if x.size(0) == 0 or x.size(1) > 512:
        raise ValueError("too long")
    return x + m.f(x)


def _asserts(m: Any, x: Any) -> Any:
    b, t, _ = x.size()
    assert t <= 512, f"cannot forward a sequence of length {t}"
    assert 0 < b < 4096
    assert t > 0, f"{b} sequence{'s' if b != 1 else ''} of length {t}"
    return x + m.f(x)


def _asks_which_is_passed(m: Any, x: Any) -> Any:
    if x.shape[-1] in (4, 8):
        return x + m.f(x)
    raise ValueError("expected 4 or 8 channels")


def _asks_which_is_not_passed(m: Any, x: Any) -> Any:
    if x.shape[-1] not in (4, 8):
        raise ValueError(f"expected {'4 or 8' if m.training else 'other'} channels")
    return x + m.f(x)


CHECKS = [
    _raises,
    _raises_unless,
    _raises_for_either,
    _asserts,
    _asks_which_is_passed,
    _asks_which_is_not_passed,
]
