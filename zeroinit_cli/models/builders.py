"""Builders of other packages: what they take, found without building, and their errors as ours."""

import importlib
import inspect
import typing
import warnings
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import nn

from zeroinit_cli.arguments import Value
from zeroinit_cli.errors import ArgumentError, BuildError, SourceError, ZeroinitError, near
from zeroinit_cli.models.building import Factory, build
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.source import Source

Builder = Callable[..., nn.Module]


def reported(source: Source, factory: Factory) -> Factory:
    """A factory whose exceptions, of any type, are ours."""

    def build_or_report() -> nn.Module:
        try:
            return factory()
        except ZeroinitError:
            raise
        except (Exception, SystemExit) as error:  # a builder may raise anything
            raise BuildError(
                "the builder failed",
                where=str(source),
                found=f"{type(error).__name__}: {_first_line(error)}",
                hint="check the --set values" if source.arguments else None,
            ) from error

    return build_or_report


def _first_line(error: BaseException) -> str:
    first, *more = [line.strip() for line in str(error).splitlines()] or ["no message"]
    return f"{first} {more[0]}" if first.endswith(":") and more else first


def check_arguments(
    name: str,
    builder: Builder,
    arguments: Mapping[str, Value],
    fixed: Mapping[str, None],
    not_ours: Container[str] = ("self",),
) -> None:
    """Refuse what a builder would ignore, overwrite or choke on, before anything is built.

    Args:
        name: what messages call it.
        builder: returns the module, as its annotation says.
        arguments: what it is to be called with.
        fixed: arguments that it is always called with.
        not_ours: parameters that nobody may give.

    Raises:
        ArgumentError: it does not take one of them.
    """
    candidates = [each for each in _candidates(builder) if each not in not_ours]
    for key, value in arguments.items():
        if key not in candidates or not _is_taken(builder, {**fixed, key: value}, key):
            known = [each for each in candidates if _is_taken(builder, {**fixed, each: _ANY}, each)]
            raise ArgumentError(
                f"{name} does not take {key!r}",
                where="--set",
                expected=", ".join(known),
                hint=near(key, known),
            )


def module_of(function: Callable[..., Any], arguments: Mapping[str, Value]) -> nn.Module:
    """What a function of a user's returns, if it is a module.

    Raises:
        TypeError: it is none.
        Exception: whatever the function raises.
    """
    module = function(**arguments)
    if not isinstance(module, nn.Module):
        raise TypeError(f"it returned {type(module).__name__}, not a torch.nn.Module")
    return module


def imported(package: str, source: Source) -> ModuleType:
    """Import a package that builds models, after torchvision, which it imports itself.

    Raises:
        SourceError: it is not installed.
        BuildError: it cannot be imported.
    """
    import_torchvision()  # which may need help to be
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of packages, about each other
            return importlib.import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise _unusable(package, source, error) from error
        raise SourceError(
            f"{package} is not installed",
            where=str(source),
            hint=f"pip install 'zeroinit-cli[{package}]'",
        ) from error
    except Exception as error:  # whatever a package raises while it is imported
        raise _unusable(package, source, error) from error


def _unusable(package: str, source: Source, error: Exception) -> BuildError:
    return BuildError(
        f"{package} cannot be imported",
        where=str(source),
        found=f"{type(error).__name__}: {_first_line(error)}",
    )


def _candidates(builder: Builder) -> list[str]:
    """Named parameters of the builder and, if it passes others on, of the class that it builds."""
    names = named(builder)
    if _passes_on(builder, inspect.Parameter.VAR_KEYWORD):
        names |= constructor_names(_built_class(builder))
    return sorted(names)


def constructor_names(kind: type, *, through: Any = inspect.Parameter.VAR_POSITIONAL) -> set[str]:
    """Named parameters of a class's constructor, and of its parent's if it passes all on to it.

    Args:
        kind: the class.
        through: the kind of parameter that says so: a constructor (*args, **kwargs) is its
            parent's.
    """
    names: set[str] = set()
    for each in kind.__mro__:
        constructor = inspect.getattr_static(each, "__init__")
        names |= named(constructor)
        if not _passes_on(constructor, through):
            break
    return names


def named(function: Callable[..., Any]) -> set[str]:
    """The parameters of a function that have a name to give them by."""
    variable = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name for parameter in parameters if parameter.kind not in variable}


def _passes_on(function: Callable[..., Any], kind: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(parameter.kind is kind for parameter in parameters)


def _built_class(builder: Builder) -> type[nn.Module]:
    kind = typing.get_type_hints(builder).get("return", nn.Module)
    return kind if isinstance(kind, type) and issubclass(kind, nn.Module) else nn.Module


class _ReachedError(Exception):
    """The class's constructor was reached: the builder has done its part."""

    def __init__(self, arguments: Mapping[str, Any]):
        self.arguments = arguments
        super().__init__()


_ANY: Value = "zeroinit"  # a value that no builder passes by itself


def _is_taken(builder: Builder, arguments: Mapping[str, Any], key: str) -> bool:
    """Whether a builder's own parameter, or one that reaches the class with the value given.

    The builder is called up to the class's constructor: some take any key and forget it, some fix
    a key themselves and either fail ("multiple values") or overwrite what they were given.
    """
    if key in named(builder):
        return True
    with _stopping(_built_class(builder)):
        try:
            build(lambda: builder(**arguments), seed=0)
        except _ReachedError as reached:
            return key in reached.arguments and reached.arguments[key] is arguments[key]
        except Exception:  # noqa: BLE001 - a builder may raise anything; this key is not for it
            return False
    return False


@contextmanager
def _stopping(kind: type[nn.Module]) -> Iterator[None]:
    """Replace a class's constructor by one that reports its arguments."""
    original = kind.__init__
    signature = inspect.signature(original)

    def stop(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        bound = signature.bind_partial(self, *args, **kwargs).arguments
        raise _ReachedError({**bound, **bound.get("kwargs", {})})

    own = "__init__" in vars(kind)
    kind.__init__ = stop  # type: ignore[method-assign]
    try:
        yield
    finally:
        if own:
            kind.__init__ = original  # type: ignore[method-assign]
        else:
            del kind.__init__
