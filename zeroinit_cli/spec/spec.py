"""A spec from its file: read, validated, its shapes inferred, its canonical form digested."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zeroinit_cli.errors import MistakeError, SourceError, SpecError
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.options import Options
from zeroinit_cli.spec.document import ONLY, VERSION, Document
from zeroinit_cli.spec.families.base import Family
from zeroinit_cli.spec.faults import KeyPath, Locator, from_validation
from zeroinit_cli.spec.inference import Inference, Inferred
from zeroinit_cli.spec.layers.base import Shape
from zeroinit_cli.spec.text import MOST_BYTES, decode
from zeroinit_cli.spec.tree import Node, parse_tree

_PROSE = ("name", "description")


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """An architecture that a file describes.

    Attributes:
        file: what messages call it.
        document: what it says.
        inferred: what it is built from, and what it comes to.
        inputs: shapes of its inputs without the batch, in the order in which `forward` takes them.
        text: the file's text.
        root: the file's tree.
    """

    file: str
    document: Document
    inferred: Inferred
    inputs: tuple[tuple[str, Shape], ...]
    text: str
    root: Node

    def canonical(self) -> dict[str, Any]:
        """All that it says but prose, defaults filled in, as JSON data."""
        return canonical(self.document)

    def digest(self) -> str:
        """SHA-256, in hexadecimal, of the canonical form: UTF-8 JSON, keys sorted, no spaces."""
        text = json.dumps(
            self.canonical(), sort_keys=True, separators=(",", ":"), ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def misfit(self, error: SourceError) -> SpecError:
        """What a builder of torchvision has against the spec, at its place."""
        model = self.document.model
        arguments = (model.arguments if model is not None else None) or {}
        wrong = next((key for key in arguments if repr(key) in error.problem), None)
        path: KeyPath = ("model", "torchvision") if wrong is None else ("model", "arguments")
        fault = Locator(self.root, self.text, self.file).fault(
            error.problem,
            path,
            key=wrong,
            expected=error.expected,
            found=error.found,
            hint=error.hint,
        )
        return SpecError([fault])

    def init_words(self) -> dict[str, str]:
        """The options that it asks for, its preset expanded."""
        return self.document.init.words()

    def init_overrides(self) -> tuple[str, ...]:
        """The overrides that it asks for, in the command line's words."""
        return tuple(f"{each.pattern}={each.rule}" for each in self.document.init.overrides)


def canonical(document: Document) -> dict[str, Any]:
    """A document without prose, defaults filled in; what is not given and has none is left out."""
    data = document.model_dump(exclude_none=True, exclude={*_PROSE, "init", "input"})
    inputs = document.input
    if inputs is None and document.model is not None and document.model.family is not None:
        family = document.model.family[1]
        shape = family.default_input() if isinstance(family, Family) else None
        inputs = {ONLY: shape} if shape is not None else None
    if inputs is not None:
        shapes = {name: list(shape) for name, shape in inputs.items()}
        data["input"] = shapes.get(ONLY, shapes)
    overrides = [each.model_dump() for each in document.init.overrides]
    words = Options.from_words(document.init.words()).to_words()
    data["init"] = {**words, "overrides": overrides}
    return data


def read_spec(path: Path, file: str | None = None) -> Spec:
    """A spec from disk.

    Args:
        path: of the file.
        file: what messages call it; the path by default.

    Raises:
        InputError: the file cannot be read.
        SpecError: it is no spec, or a wrong one; all that is wrong is said at once.
    """
    with opened(path) as (stream, size):
        data = bytearray(min(size, MOST_BYTES + 1))
        del data[read_exactly(stream, memoryview(data)) :]
    return parse_spec(bytes(data), path.as_posix() if file is None else file)


def parse_spec(data: bytes, file: str) -> Spec:
    """A spec from its bytes.

    Raises:
        SpecError: it is no spec, or a wrong one; all that is wrong is said at once.
    """
    root, text = parse_tree(data, file), decode(data, file)
    locator = Locator(root, text, file)
    _check_version(root, locator)
    document, faults = _validated(root.plain(), locator)
    inferred = None
    if document is not None:
        inference = Inference(locator)
        inferred = inference.document(document)
        faults += inference.faults
    if faults or document is None or inferred is None:
        raise SpecError(faults)
    form = canonical(document)
    inputs = form.get("input", ())
    named = inputs if isinstance(inputs, dict) else {ONLY: inputs} if inputs else {}
    return Spec(
        file=file,
        document=document,
        inferred=inferred,
        inputs=tuple((name, tuple(shape)) for name, shape in sorted(named.items())),
        text=text,
        root=root,
    )


def _check_version(root: Node, locator: Locator) -> None:
    """Another version is another language: nothing else can be said of the file."""
    node = root.value.get("zeroinit") if root.is_mapping else None
    if node is not None and type(node.value) is int and node.value != VERSION:
        fault = locator.fault(
            "unknown version of the language",
            ("zeroinit",),
            expected=str(VERSION),
            found=str(node.value),
            hint="a newer zeroinit may know it",
        )
        raise SpecError([fault])


def _validated(value: Any, locator: Locator) -> tuple[Document | None, list[MistakeError]]:
    """The document, and what is wrong with it; the architecture alone where that is sound."""
    try:
        return Document.model_validate(value), []
    except ValidationError as error:
        faults = list(from_validation(error, locator))
        concerned = {each["loc"][:1] for each in error.errors(include_url=False)}
    architecture = ("input", "model", "layers")
    if concerned & {(), *((key,) for key in architecture)}:
        return None, faults
    sound = {key: value[key] for key in architecture if key in value}
    try:
        return Document.model_validate({"zeroinit": VERSION, **sound}), faults
    except ValidationError as error:  # there is no architecture at all, or two
        misspelt = any(
            "layers" in (fault.hint or "") or "model" in (fault.hint or "") for fault in faults
        )
        return None, [*faults, *([] if misspelt else from_validation(error, locator))]
