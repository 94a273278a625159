"""Whatever can be recorded is read as it was recorded."""

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.entries import entry
from zeroinit_cli.lock import parse_lock
from zeroinit_cli.lock.write import render_lock
from zeroinit_cli.source import Scalar

SCALARS: st.SearchStrategy[Scalar] = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
)


@settings(max_examples=500, deadline=None)
@given(
    st.dictionaries(st.text(min_size=1), SCALARS | st.lists(SCALARS, max_size=4), max_size=4),
    st.lists(st.text(min_size=1).map(lambda pattern: f"{pattern}=zeros"), max_size=4),
)
def test_any_argument_and_any_override_is_read_as_it_was_written(
    arguments: dict[str, Scalar | list[Scalar]], overrides: list[str]
) -> None:
    """Of any text, quotes, control characters and line ends included."""
    made = entry("a", overrides=tuple(overrides)).model_copy(update={"arguments": arguments})
    [read] = parse_lock(render_lock([made]).encode(), "x").checkpoint
    assert read == made
    # 1, 1.0 and true are equal, but build other modules
    assert {key: repr(value) for key, value in read.arguments.items()} == {
        key: repr(value) for key, value in arguments.items()
    }
