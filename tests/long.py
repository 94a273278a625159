"""Parameters that only the long run meets: `make test-all`, which CI calls."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def some_long(values: Iterable[Any], is_long: Callable[[Any], bool]) -> list[Any]:
    """Values for `parametrize`, those that take long under the mark `long`."""
    return [
        pytest.param(value, marks=[pytest.mark.long]) if is_long(value) else value
        for value in values
    ]
