"""YAML as this language reads it: values, places, and what is shared."""

import math

import pytest

from zeroinit_cli.errors import SpecError
from zeroinit_cli.spec.check import parse_spec
from zeroinit_cli.spec.yaml_text import resolve
from zeroinit_cli.spec.yaml_tree import parse_tree


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # the examples of YAML 1.2.2, section 10.3.2, and what YAML 1.1 read otherwise
        ("null", None),
        ("", None),
        ("~", None),
        ("true", True),
        ("False", False),
        ("0", 0),
        ("0o7", 7),
        ("0x3A", 58),
        ("-19", -19),
        ("0.", 0.0),
        ("-0.0", -0.0),
        (".5", 0.5),
        ("+12e03", 12000.0),
        ("-2E+05", -200000.0),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        ("1e-5", 1e-5),
        ("010", 10),
        ("yes", "yes"),
        ("off", "off"),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("0b1", "0b1"),
        ("- 1", "- 1"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(float(str(resolve(".nan"))))


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    text = "zeroinit: 1\ninput: 8\nlayers:\n- Linear: 4 # four\n"
    digests = {
        parse_spec(data, "x").digest()
        for data in (
            text.encode(),
            text.replace("\n", "\r\n").encode(),
            b"\xef\xbb\xbf" + text.encode(),
            text.replace("\n", "\r").encode(),
        )
    }
    assert len(digests) == 1


def test_places_count_characters_and_lines_from_1() -> None:
    root = parse_tree("a: 1\nbé: [x, {c: 2}]\n".encode(), "x")
    node = root.value["bé"].value[1]
    assert (node.line, node.column) == (2, 9)
    assert node.keys == {"c": (2, 10)}


def test_aliases_and_merge_keys_are_followed() -> None:
    root = parse_tree(
        b"a: &a {x: 1, y: 2}\nb: {<<: *a, y: 3}\nc: {<<: [*a, {z: 4, x: 9}]}\nd: *a\n", "x"
    )
    assert root.plain() == {
        "a": {"x": 1, "y": 2},
        "b": {"y": 3, "x": 1},
        "c": {"x": 1, "y": 2, "z": 4},
        "d": {"x": 1, "y": 2},
    }


def test_a_quoted_word_is_a_text_and_a_quoted_merge_key_is_a_key() -> None:
    assert parse_tree(b"a: '1'\n'<<': \"true\"\n", "x").plain() == {"a": "1", "<<": "true"}


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [
        (b"\xff", 1, 1),
        (b"a: 1\r\nb\xc3\xa9: \xe9\n", 2, 5),
        (b"\xef\xbb\xbfa: \xe9", 1, 4),
    ],
)
def test_a_byte_that_is_no_utf8_is_found_at_its_place(data: bytes, line: int, column: int) -> None:
    with pytest.raises(SpecError) as caught:
        parse_tree(data, "x")
    [fault] = caught.value.faults
    assert (fault.problem, fault.line, fault.column) == ("not UTF-8", line, column)


def test_all_faults_of_the_tree_are_told_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        parse_tree(b"a: 1\na: 2\n7: x\nb: !t 3\n", "x")
    assert [(each.problem, each.line) for each in caught.value.faults] == [
        ("a stands twice", 2),
        ("a key that is no plain word", 3),
        ("a tag", 4),
    ]


def test_a_very_wrong_spec_shows_fifty_faults_and_how_many_more() -> None:
    text = "zeroinit: 1\ninput: 8\nlayers:\n" + "- Foo\n" * 70
    with pytest.raises(SpecError) as caught:
        parse_spec(text.encode(), "x")
    assert str(caught.value).count("error: unknown layer 'Foo'") == 50
    assert str(caught.value).endswith("\n\nand 20 more")


def test_a_mistake_that_aliases_repeat_is_told_once() -> None:
    """One finding of the fuzzer: told 11,111 times it took twelve seconds."""
    text = "zeroinit: 1\ninput: 8\nlayers:\n- &a {sequential: [Foo]}\n- *a\n- *a\n- Foo\n"
    with pytest.raises(SpecError) as caught:
        parse_spec(text.encode(), "x")
    assert [(each.line, each.path) for each in caught.value.faults] == [
        (4, "layers[0].sequential[0]"),
        (7, "layers[3]"),
    ]


def test_of_thousands_of_faults_a_thousand_are_kept() -> None:
    text = f"zeroinit: 1\ninput: 8\nlayers: [{'Foo, ' * 1500}]\n"
    with pytest.raises(SpecError) as caught:
        parse_spec(text.encode(), "x")
    assert len(caught.value.faults) == 1000
    assert str(caught.value).endswith("\n\nand at least 950 more")
