"""What callers of the Python API give, in the words of the command line."""

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from torch import nn

    from zeroinit_cli.options import Options
    from zeroinit_cli.policies import Policy
    from zeroinit_cli.source import Source

    ExampleInputs = torch.Tensor | tuple[Any, ...] | dict[str, Any]


def source_of(
    architecture: "str | Callable[[], nn.Module]", example_inputs: "ExampleInputs | None"
) -> "Source":
    """Return the source of a SOURCE's text, or of a function that a module of its own defines.

    Raises:
        UsageError: inputs are given to a SOURCE that knows its own, or the function has no name.
        SourceError: the text is no SOURCE.
    """
    from zeroinit_cli.errors import UsageError
    from zeroinit_cli.sources import KNOW_THEIR_INPUTS, kind_of, parse_source, python

    inputs: list[str] = []
    if example_inputs is not None:
        from zeroinit_cli.models.given import forms

        inputs = forms(example_inputs)
    if isinstance(architecture, str):
        if inputs and kind_of(architecture)[0] in KNOW_THEIR_INPUTS:
            raise UsageError(
                "inputs for a SOURCE, which knows its own",
                where="example_inputs",
                hint="leave them out, or give a function that builds the module",
            )
        return parse_source(architecture, inputs=inputs)
    return python.source_of(architecture, inputs)


def type_name(dtype: "str | torch.dtype | None") -> str | None:
    """Return the name of a type as the command line has it."""
    return None if dtype is None else str(dtype).removeprefix("torch.")


def options_of(
    dtype: str | None, policy: "str | Policy | None", overrides: Iterable[str]
) -> "Options":
    """Return the options; a policy of a caller's own counts as it is."""
    from zeroinit_cli.options import Options

    words, own = words_of(dtype, policy)
    options = Options.from_words(words, overrides=listed(overrides))
    return replace(options, policy=own or options.policy)


def words_of(
    dtype: str | None, policy: "str | Policy | None"
) -> "tuple[dict[str, str | None], Policy | None]":
    """Return the options as the command line has them, and a policy that has no word there."""
    from zeroinit_cli.errors import UsageError
    from zeroinit_cli.policies import POLICIES, Policy

    if policy is None or isinstance(policy, str):
        return {"dtype": dtype, "policy": policy}, None
    if isinstance(policy, Policy):
        return {"dtype": dtype}, policy
    raise UsageError(
        "not a policy",
        where="policy",
        expected=f"{', '.join(POLICIES)}, or a zeroinit_cli.Policy",
        found=repr(policy),
    )


def listed(texts: Iterable[str], where: str = "overrides") -> list[str]:
    """List some texts; refuse a single one, whose letters would each be one."""
    from zeroinit_cli.errors import UsageError

    if isinstance(texts, str):
        example = "*.head.weight=zeros" if where == "overrides" else "head.*"
        raise UsageError(
            f"one text for a list of {'patterns' if where == 'only' else where}",
            where=where,
            expected=f"a list, such as ['{example}']",
            found=repr(texts),
        )
    return list(texts)
