"""Every net that a test here asks the structure of is held against its pin."""

from collections.abc import Generator

import pytest

from tests.golden.pins import NETS, RECORDED, differences_of_nets, is_net, pins_made, recorded


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, object, object]:
    """Compare what is found of a test's nets, or record it where the pins are made anew.

    By the test's name alone, so that a test can move.
    """
    with pins_made(is_net) as found:
        result = yield
    nets = item.config.stash.get(RECORDED, None)
    if nets is None:
        if lines := differences_of_nets(item.name, recorded()[NETS].get(item.name, []), found):
            lines.append("if the test is new: python -m tests.golden.make_pins")
            pytest.fail("\n".join(lines), pytrace=False)
    elif found:
        assert item.name not in nets, "another test has this name"
        nets[item.name] = found
    return result
