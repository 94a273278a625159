"""`zeroinit spec check|schema|show`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zeroinit_cli.cli import complete
from zeroinit_cli.cli.app import Command, Group
from zeroinit_cli.cli.console import out, out_json, painted, say
from zeroinit_cli.cli.options import Json, Quiet
from zeroinit_cli.errors import SpecError, ZeroinitError, printable

if TYPE_CHECKING:
    from zeroinit_cli.spec.check import Spec

_WRONG = 2

app = typer.Typer(
    cls=Group,
    add_completion=False,
    help="Validate a YAML spec, print the language's schema, fill in defaults.",
)


@app.command("check", cls=Command)
def check(
    paths: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="YAML specs, such as nets/small.yaml.",
            autocompletion=complete.spec,
        ),
    ],
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say all that is wrong with specs; where nothing is, what they come to."""
    wrong = False
    results: list[dict[str, Any]] = []
    for path in paths:
        try:
            spec = _read_spec(path)
        except ZeroinitError as error:
            from zeroinit_cli.commands.foreign_files import named

            wrong = True
            told = named(error)
            results.append({"faults": _faults(told), "path": path})
            if not json:
                say(str(told))
            continue
        results.append({"faults": [], "path": path, **_facts(spec)})
        if not json and not quiet:
            out(f"{painted('ok:', 'green', sys.stdout)} {printable(path)}: {_summary(spec)}")
    if json:
        out_json({"specs": results})
    if wrong:
        raise typer.Exit(_WRONG)


@app.command("schema", cls=Command)
def schema() -> None:
    """Print the language as a JSON Schema, for editors."""
    from zeroinit_cli.spec.schema import json_schema

    out_json(json_schema())


@app.command("show", cls=Command)
def show(
    path: Annotated[
        str,
        typer.Argument(metavar="FILE", help="A YAML spec.", autocompletion=complete.spec),
    ],
    json: Json = False,
) -> None:
    """Print a spec's canonical form, all defaults filled in; as JSON also its digest."""
    spec = _read_spec(path)
    if json:
        out_json({"canonical": spec.canonical(), "sha256": spec.digest()})
        return
    from zeroinit_cli.spec.canonical import to_yaml
    from zeroinit_cli.spec.yaml_text import MOST_SPEC_BYTES

    text = to_yaml(spec.document)
    out(text.removesuffix("\n"))
    if (size := len(text.encode())) > MOST_SPEC_BYTES:
        say(
            f"warning: {size} bytes with its defaults, which is too large for a spec: at most "
            f"{MOST_SPEC_BYTES} bytes are read"
        )


def _read_spec(path: str) -> "Spec":
    """Read a spec; look up the model of a library that it names, which takes torch."""
    from zeroinit_cli.spec.blueprint import BuilderBlueprint
    from zeroinit_cli.spec.check import read_spec

    spec = read_spec(Path(path), path)
    if isinstance(spec.inferred.blueprint, BuilderBlueprint):
        from zeroinit_cli.sources.spec import YamlSpec

        YamlSpec.of(Path(path), spec).factory()
    return spec


def _facts(spec: "Spec") -> dict[str, Any]:
    inferred = spec.inferred
    known = bool(inferred.outputs)
    return {
        "inputs": {name or "input": list(shape) for name, shape in spec.inputs},
        "outputs": [list(shape) for shape in inferred.outputs],
        "parameters": inferred.parameters if known else None,
        "sha256": spec.digest(),
    }


def _summary(spec: "Spec") -> str:
    facts = _facts(spec)
    if facts["parameters"] is None:
        return "a model of a library; zeroinit plan says what it comes to"
    inputs = " and ".join(
        f"{list(shape)}" + (f" ({name})" if name else "") for name, shape in spec.inputs
    )
    outputs = " and ".join(map(str, facts["outputs"]))
    return f"{facts['parameters']:,} parameters, input {inputs}, output {outputs}"


def _faults(error: ZeroinitError) -> list[dict[str, Any]]:
    if not isinstance(error, SpecError):
        return [{"problem": error.problem, "found": error.found}]
    return [
        {
            "column": fault.column,
            "expected": fault.expected,
            "found": fault.found,
            "hint": fault.hint,
            "key_path": fault.path,
            "line": fault.line,
            "problem": fault.problem,
        }
        for fault in error.faults
    ]
