"""Plans, and the maps that close branches, are as `pins.json` has them.

Those of tests' own nets are compared in their tests: tests/models/conftest.py.
"""

from collections.abc import Iterator

import pytest
import torch

from tests.golden.make_pins import names
from tests.golden.pins import (
    MAPS,
    NETS,
    WORDS,
    differences,
    differences_of_nets,
    pin_of_source,
    recorded,
)
from tests.golden.recorded import EVERY_RULE, MEMBERS, OTHER_ENDS
from zeroinit_cli.options import CHOICES, Options

SLOW_SPECS = ["cifar-resnet1202.yaml", "residual-500.yaml"]  # seconds each
SOME = {*EVERY_RULE, *OTHER_ENDS}
OF_EACH_STRUCTURE = {*SOME, *(name for members in MEMBERS.values() for name in members)}


def is_long(title: str, name: str) -> bool:
    """The default options meet a model of each structure and every spec but two, others some."""
    if name.endswith(".yaml"):
        return name in SLOW_SPECS or title != "default"
    return name not in {"default": OF_EACH_STRUCTURE, "paper": SOME}.get(title, {name})


CASES = [
    pytest.param(title, name, marks=[pytest.mark.long] if is_long(title, name) else [])
    for title in WORDS
    for name in recorded()[title]
]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Several threads on one core wait for each other longer than they work."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize(("title", "name"), CASES)
def test_the_plan_and_what_closes_branches_are_as_pinned(title: str, name: str) -> None:
    pinned, found = recorded()[title][name], pin_of_source(name, title)
    if lines := differences(f"{name}, {title}", pinned, found):
        pytest.fail("\n".join(lines), pytrace=False)


@pytest.mark.parametrize("title", WORDS)
def test_every_model_and_spec_is_pinned(title: str) -> None:
    assert sorted(recorded()[title]) == sorted(names(title))


def test_every_choice_of_every_option_is_met() -> None:
    met = [Options.from_words(words).to_words() for words in WORDS.values()]
    for option, choices in CHOICES.items():
        assert {words[option] for words in met} == set(choices), option


def test_each_map_is_met_by_a_model_and_by_a_net() -> None:
    models = {part for pin in recorded()["default"].values() for part in pin}
    nets = {part for pins in recorded()[NETS].values() for pin in pins for part in pin}
    assert models == nets == {"plan", *MAPS, "adds"}


def test_a_difference_names_the_source_the_options_and_the_part() -> None:
    pinned = {"plan": "12ab", "end_scales": "8 34cd", "adds": {"FORK": 3}}
    found = {"plan": "12ab", "end_scales": "7 56ef", "tables": "1 78ab", "adds": {"FORK": 3}}
    assert differences("resnet18, default", pinned, pinned) == []
    assert differences("resnet18, default", pinned, found) == [
        "resnet18, default: end_scales is not as pinned: 7 56ef, was 8 34cd",
        "resnet18, default: tables is not as pinned: 1 78ab, was None",
    ]


def test_a_difference_of_a_net_names_its_test_and_which_it_is() -> None:
    one, other = {"zero_weights": {"f.weight": "the model"}}, {"adds": {"EQUAL": 1}}
    assert differences_of_nets("test_a", [one, other], [one, other]) == []
    assert differences_of_nets("test_a", [other, one], [other, other, one]) == [
        "test_a, structure 2: zero_weights is not as pinned: None, was {'f.weight': 'the model'}",
        "test_a, structure 2: adds is not as pinned: {'EQUAL': 1}, was None",
        "test_a: 3 structures found, 2 pinned",
    ]
