"""TOML within bounds: nothing that is meant is refused, nothing that is refused is parsed."""

import tomllib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zeroinit_cli.lock.toml import MOST_PARTS, MOST_VALUES, parse_toml

DOTS = "." + ".a" * MOST_PARTS
PIECES = [
    *['"""', "'''", '"', "'", "\\", '\\"', "#", "\n", " ", "=", "a", ".", ",", "[", "]", "{", "}"],
    *[f"a{DOTS[1:]}=1\n", "x=1\n", 'y="', "z='''", 'w="""', "[t]\n", f"# {DOTS}\n", f"'{DOTS}'"],
]


class Counted:
    """The library's own reading of keys, which counts their parts."""

    def __init__(self, patch: pytest.MonkeyPatch):
        self.most = 0
        parser: Any = tomllib.loads.__globals__
        self._parse_key = parser["parse_key"]
        patch.setitem(parser, "parse_key", self._count)

    def _count(self, text: str, position: int) -> tuple[int, tuple[str, ...]]:
        position, key = self._parse_key(text, position)
        self.most = max(self.most, len(key))
        return position, key


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_no_long_key_reaches_the_library(text: str) -> None:
    """Whatever strings, comments and line ends surround it."""
    with pytest.MonkeyPatch.context() as patch:
        counted = Counted(patch)
        with suppress(ValueError):
            parse_toml(text.encode())
        assert counted.most <= MOST_PARTS


@settings(max_examples=2000, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=30).map("".join))
def test_what_is_read_is_read_as_the_library_reads_it(text: str) -> None:
    """The bounds refuse nothing else, and change nothing."""
    with pytest.MonkeyPatch.context() as patch:
        counted = Counted(patch)
        try:
            expected = tomllib.loads(text)
        except tomllib.TOMLDecodeError:
            return
        if counted.most <= MOST_PARTS:
            assert parse_toml(text.encode()) == expected


@pytest.mark.parametrize(
    "text",
    [
        f"a = '{DOTS}'",
        f'a = "{DOTS}"',
        f"a = '''\n{DOTS}''\n{DOTS}'''''",
        f'a = """\n{DOTS}\\"""{DOTS}\n""{DOTS}"""""',
        f"a = 1 # {DOTS}",
        f'"{DOTS}" = 1',
        f"a = ['{DOTS}', 1.5, 1979-05-27T07:32:00.5]",
        "[a.b]\nc.d.e.f = 1",
    ],
)
def test_dots_that_are_no_keys_are_no_keys(text: str) -> None:
    assert parse_toml(text.encode()) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        f"a{DOTS[1:]} = 1",
        f"[a{DOTS[1:]}]",
        f"x = [{{a{DOTS[1:]} = 1}}]",
        f"x = '''\n''' \ny{DOTS[1:]} = 1",
        f'a = """\\""""\nb{DOTS[1:]} = 1',
        f'a = "\\""\nb{DOTS[1:]} = 1',
        'a."b" . \'c\'."d.e".f = 1',
        f"x = ['''\n''', \"{DOTS}\", {{a{DOTS[1:]} = 1}}]",
    ],
)
def test_a_long_key_is_refused_before_it_is_read(text: str) -> None:
    tomllib.loads(text)
    with pytest.raises(ValueError, match=rf"^a key of more than {MOST_PARTS} parts$"):
        parse_toml(text.encode())


def test_more_values_than_a_lock_can_hold_are_refused() -> None:
    text = f"a = [{'0,' * (MOST_VALUES - 11)}]"  # the array is a value, the document counts as ten
    assert len(parse_toml(text.encode())["a"]) == MOST_VALUES - 11
    with pytest.raises(ValueError, match=r"^more values than a lock can hold$"):
        parse_toml(text.replace("]", "0]").encode())


def test_what_nests_too_deeply_is_refused_in_words() -> None:
    with pytest.raises(ValueError, match=r"^nested too deeply$"):
        parse_toml(b"a = " + b"[" * 100_000)
