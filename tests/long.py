"""Parameters that only the long run meets: `make test-all`, which CI calls."""

from collections.abc import Callable, Iterable
from typing import Any

import pytest


def some_long(values: Iterable[Any], is_long: Callable[[Any], bool]) -> list[Any]:
    """Values for `parametrize`, those that take long under the mark `long`."""
    return [_marked(value) if is_long(value) else value for value in values]


def _marked(value: Any) -> Any:
    """Mark one value; a tuple stands for several parameters."""
    values = value if isinstance(value, tuple) else (value,)
    return pytest.param(*values, marks=[pytest.mark.long])
