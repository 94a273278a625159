"""Code of one's own: `python:package.module:callable`, imported as uvicorn does."""

import importlib
import inspect
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zeroinit_cli.arguments import parse_inputs
from zeroinit_cli.errors import (
    ArgumentError,
    BuildError,
    SourceError,
    UnknownModelError,
    UsageError,
    near,
    pasted,
)
from zeroinit_cli.source import Asked, Source, path_from

if TYPE_CHECKING:
    from zeroinit_cli.models.building import Factory
    from zeroinit_cli.models.inputs import Inputs

_NAME = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_imported: dict[str, str] = {}  # modules of a user's folder: a name -> the folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Python(Source):
    """A callable that returns the module, and what it is called with.

    Attributes:
        folder: that its code is imported from, before the path.
    """

    folder: Path

    prefix = "python"

    @classmethod
    def parse(cls, asked: Asked) -> Self:
        """Check the form of a name; nothing is imported.

        Raises:
            SourceError: it cannot be one.
            UsageError: a lock names it, and nobody has said that the code may run.
        """
        if not _NAME.fullmatch(asked.name):
            raise SourceError(
                "not a callable's name",
                where="SOURCE",
                expected="python:package.module:callable",
                found=repr(asked.text),
            )
        if not asked.trusted:
            raise UsageError(
                "code that a lock names, which is not run unasked",
                where=asked.text,
                expected="your consent: whoever wrote the code and the lock could do anything here",
                hint="read it, then --trust-code; --hash-only compares digests without it",
            )
        return cls(
            name=asked.name,
            arguments=asked.arguments,
            inputs=asked.inputs,
            folder=asked.folder or Path(),
        )

    def factory(self) -> "Factory":
        """Import the callable, and return what calls it.

        Raises:
            BuildError: it cannot be imported, or returns no module.
            ArgumentError: it does not take an argument.
        """
        from zeroinit_cli.models.builders import module_of, reported

        function = self._found()
        self._check_arguments(function)

        def build() -> Any:
            with self._on_path():
                return module_of(function, self.arguments)

        return reported(self, build)

    def _found(self) -> Callable[..., Any]:
        """Import the module and take the callable from it.

        Raises:
            UnknownModelError: there is no such module, or nothing of this name in it.
            BuildError: it cannot be imported, or is not what builds a module.
        """
        module, _, path = self.name.partition(":")
        found: Any
        with self._on_path():
            try:
                found = importlib.import_module(module)
                for part in path.split("."):
                    found = getattr(found, part)
            except (Exception, SystemExit) as error:  # whatever the user's code raises
                raise self._not_found(error, module) from error
        if not callable(found) or (hasattr(found, "state_dict") and not isinstance(found, type)):
            raise BuildError(
                "not what builds a module",
                where=str(self),
                expected="a function, or a class of torch.nn.Module",
                found=type(found).__name__,
            )
        function: Callable[..., Any] = found
        return function

    def _not_found(self, error: BaseException, module: str) -> SourceError:
        """The error of a name that leads to nothing, or of code that fails on the way."""
        match error:
            case ModuleNotFoundError(name=str(name)) if f"{module}.".startswith(f"{name}."):
                return UnknownModelError(
                    f"no module {name!r}",
                    where=str(self),
                    expected=f"{name.replace('.', '/')}.py, or a package of this name, in "
                    f"{pasted(self.folder.resolve())} or installed",
                )
            case AttributeError(name=str(part), obj=owner) if part in self.name.split(":")[1].split(
                "."
            ):
                return UnknownModelError(
                    f"no {part!r} in {module}",
                    where=str(self),
                    hint=near(part, getattr(owner, "__dict__", {})),
                )
        first = next(iter(str(error).splitlines()), "no message")
        return BuildError(
            "the code cannot be imported",
            where=str(self),
            found=f"{type(error).__name__}: {first}",
        )

    def _check_arguments(self, function: Callable[..., Any]) -> None:
        """Refuse arguments that the callable does not take, and missing ones."""
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # written in C: calling it tells
            return
        try:
            signature.bind(**self.arguments)
        except TypeError as error:
            raise ArgumentError(
                f"not the arguments of {self.name}",
                where="--set",
                expected=", ".join(map(str, signature.parameters.values())) or "none",
                found=str(error),
            ) from error

    @contextmanager
    def _on_path(self) -> Iterator[None]:
        """Import from the folder first in the block; what is printed there goes to the messages.

        Modules of another folder's are forgotten before, since two may have the same names.
        """
        folder = str(self.folder.resolve())
        for name in [name for name, home in _imported.items() if home != folder]:
            sys.modules.pop(name, None)
            del _imported[name]
        before = set(sys.modules)
        sys.path.insert(0, folder)
        try:
            with redirect_stdout(sys.stderr):
                yield
        finally:
            with suppress(ValueError):  # the code may have changed the path itself
                sys.path.remove(folder)
            for name in set(sys.modules) - before:
                if _lies_in(sys.modules[name], folder):
                    _imported[name] = folder

    def example_inputs(self) -> "Inputs":
        """Return those that were given; without them they are guessed from the first layers."""
        from zeroinit_cli.models.inputs import Inputs, Kind, given_inputs

        if self.inputs:
            return given_inputs(str(self), self.inputs)
        return Inputs(where=str(self), kind=Kind.EXAMPLES)

    def recorded_folder(self, folder: Path) -> str | None:
        """Return the path from a lock's folder to that of the code."""
        return path_from(folder, self.folder.resolve(), what="code")


def _lies_in(module: object, folder: str) -> bool:
    """Tell whether a module is the folder's own, not installed in an environment within it."""
    file, name = getattr(module, "__file__", None), getattr(module, "__name__", "")
    if not isinstance(file, str) or str(name).startswith(f"{__package__.partition('.')[0]}."):
        return False
    top = Path(folder) / str(name).partition(".")[0]
    return Path(file) == top.with_suffix(".py") or Path(file).is_relative_to(top)


def source_of(function: Callable[..., Any], inputs: Iterable[str] = ()) -> Python:
    """Return the source of a function by where it is defined, so that a lock can name it.

    Raises:
        UsageError: it has no name that leads to it.
    """
    module = inspect.getmodule(function)
    path = getattr(function, "__qualname__", "<nothing>")
    file = getattr(module, "__file__", None)
    if module is None or module.__name__ == "__main__" or "<" in path or file is None:
        raise UsageError(
            "a function that a lock cannot name",
            where=repr(path),
            expected="a function or class at the top of a module of its own, imported from it",
            hint="zeroinit_cli.save(zeroinit_cli.plan(build), path) writes without a lock",
        )
    package = Path(file).resolve()
    up = module.__name__.count(".") + (package.name == "__init__.py")
    return Python(
        name=f"{module.__name__}:{path}",
        inputs=parse_inputs(inputs),
        folder=package.parents[up],
    )
