"""A spec from its file: read, validated, its shapes checked."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from zeroinit_cli.errors import MistakeError, SpecError, ZeroinitError
from zeroinit_cli.files import opened, read_exactly
from zeroinit_cli.spec.blueprint import Inferred, Shape
from zeroinit_cli.spec.canonical import canonical, digest
from zeroinit_cli.spec.collector import Collector
from zeroinit_cli.spec.document import SPEC_VERSION, Document
from zeroinit_cli.spec.error_locations import KeyPath, Locator, from_validation
from zeroinit_cli.spec.shape_check import check_shapes
from zeroinit_cli.spec.yaml_text import MOST_SPEC_BYTES, decode
from zeroinit_cli.spec.yaml_tree import YamlNode, parse_tree


@dataclass(frozen=True, kw_only=True, slots=True)
class Spec:
    """An architecture that a file describes.

    Attributes:
        document: what it says.
        inferred: what it is built from, and what it comes to.
        inputs: shapes of its inputs without the batch, in the order in which `forward` takes them.
        locator: knows the places in the file.
    """

    document: Document
    inferred: Inferred
    inputs: tuple[tuple[str, Shape], ...]
    locator: Locator

    def canonical(self) -> dict[str, Any]:
        """Return all that it says but prose, defaults filled in, as JSON data."""
        return canonical(self.document)

    def digest(self) -> str:
        """Return the SHA-256, in hexadecimal, of its canonical form."""
        return digest(self.canonical())

    def misfit(self, error: ZeroinitError) -> SpecError:
        """Turn the error of a library's model into one with a place in the file."""
        model = self.document.model
        arguments = (model.arguments if model is not None else None) or {}
        wrong = next((key for key in arguments if repr(key) in error.problem), None)
        library = (model.library if model is not None else None) or "torchvision"
        path: KeyPath = ("model", library) if wrong is None else ("model", "arguments")
        fault = self.locator.fault(
            error.problem,
            path,
            key=wrong,
            expected=error.expected,
            found=error.found,
            hint=error.hint,
        )
        return SpecError([fault])

    def init_words(self) -> dict[str, str]:
        """Return the options that it asks for."""
        return self.document.init.to_words()

    def init_overrides(self) -> tuple[str, ...]:
        """Return the overrides that it asks for, as the command line writes them."""
        return tuple(
            f"{override.pattern}={override.rule}" for override in self.document.init.overrides
        )


def read_spec(path: Path, file: str | None = None) -> Spec:
    """Read a spec from disk.

    Args:
        path: of the file.
        file: what messages call it; the path by default.

    Raises:
        InputError: the file cannot be read.
        SpecError: it is no spec, or a wrong one; all mistakes are reported at once.
    """
    with opened(path) as (stream, size):
        data = bytearray(min(size, MOST_SPEC_BYTES + 1))
        del data[read_exactly(stream, memoryview(data)) :]
    return parse_spec(bytes(data), path.as_posix() if file is None else file)


def parse_spec(data: bytes, file: str) -> Spec:
    """Check the bytes of a spec.

    Args:
        data: the file's bytes.
        file: what messages call it.

    Raises:
        SpecError: it is no spec, or a wrong one; all mistakes are reported at once.
    """
    root, text = parse_tree(data, file), decode(data, file)
    locator = Locator(root, text, file)
    _check_version(root, locator)
    document, faults = _validated(root.plain(), locator)
    inferred = None
    if document is not None:
        collector = Collector(locator)
        inferred = check_shapes(document, collector)
        faults += collector.faults
    if faults or document is None or inferred is None:
        raise SpecError(faults)
    inputs = tuple(sorted((document.inputs() or {}).items()))
    return Spec(document=document, inferred=inferred, inputs=inputs, locator=locator)


def _check_version(root: YamlNode, locator: Locator) -> None:
    """Refuse another version: it is another language, so no other mistake can be reported."""
    node = root.value.get("zeroinit") if root.is_mapping else None
    if node is not None and type(node.value) is int and node.value != SPEC_VERSION:
        fault = locator.fault(
            "unknown version of the language",
            ("zeroinit",),
            expected=str(SPEC_VERSION),
            found=str(node.value),
            hint="a newer zeroinit may know it",
        )
        raise SpecError([fault])


def _validated(value: Any, locator: Locator) -> tuple[Document | None, list[MistakeError]]:
    """Return the document and its mistakes; only its architecture if other parts are wrong."""
    try:
        return Document.model_validate(value), []
    except ValidationError as error:
        faults = list(from_validation(error, locator))
        concerned = {found["loc"][:1] for found in error.errors(include_url=False)}
    architecture = ("input", "model", "layers")
    if concerned & {(), *((key,) for key in architecture)}:
        return None, faults
    sound = {key: value[key] for key in architecture if key in value}
    try:
        return Document.model_validate({"zeroinit": SPEC_VERSION, **sound}), faults
    except ValidationError as error:  # there is no architecture at all, or two
        misspelt = any(
            "layers" in (fault.hint or "") or "model" in (fault.hint or "") for fault in faults
        )
        return None, [*faults, *([] if misspelt else from_validation(error, locator))]
