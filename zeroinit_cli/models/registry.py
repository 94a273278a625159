"""What a source is built by: torchvision's builders, and what they take, or a spec's blueprint."""

import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import torch
from torch import nn

from zeroinit_cli.errors import ArgumentError, BuildError, UnknownModelError, near
from zeroinit_cli.models.building import Factory, build
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.source import Source, Value
from zeroinit_cli.spec.blueprint import BuilderBlueprint

Builder = Callable[..., nn.Module]

_WEIGHTS = ("weights", "weights_backbone")  # None: no pretrained weights, no network
_NOT_OURS = (*_WEIGHTS, "progress", "self")


def model_names() -> list[str]:
    """Every name that SOURCE accepts, sorted."""
    import_torchvision()
    from torchvision.models import list_models

    return sorted(list_models())


def versions() -> dict[str, str]:
    """What the plan was built with: information for the lock, never compared."""
    return {"torch": torch.__version__.partition("+")[0], "torchvision": version("torchvision")}


def source_factory(source: Source) -> Factory:
    """What builds the source's module, its name and arguments checked.

    Raises:
        UnknownModelError: no such model.
        ArgumentError: its builder does not take an argument.
        SpecError: a spec names a builder of torchvision that is not known or does not take an
            argument.
        BuildError: by the factory, if the builder refuses.
    """
    if source.spec is None:
        return _builder_factory(source)
    blueprint = source.spec.inferred.blueprint
    if not isinstance(blueprint, BuilderBlueprint):
        from zeroinit_cli.nets import build_blueprint

        return _reported(source, lambda: build_blueprint(blueprint))
    try:
        return _builder_factory(Source(name=blueprint.name, arguments=blueprint.arguments))
    except (UnknownModelError, ArgumentError) as error:
        raise source.spec.misfit(error) from error


def _builder_factory(source: Source) -> Factory:
    names = model_names()
    if source.name not in names:
        raise UnknownModelError(
            f"no model is called {source.name!r}",
            where="SOURCE",
            expected="a name that zeroinit models lists",
            hint=near(source.name, names),
        )
    from torchvision.models import get_model_builder

    builder: Builder = get_model_builder(source.name)
    fixed = {key: None for key in _WEIGHTS if key in inspect.signature(builder).parameters}
    _check_arguments(source, builder, fixed)

    return _reported(source, lambda: builder(**fixed, **source.arguments))


def _reported(source: Source, factory: Factory) -> Factory:
    """A factory whose exceptions, of any type, are ours."""

    def build_or_report() -> nn.Module:
        try:
            return factory()
        except Exception as error:  # a builder may raise anything
            raise BuildError(
                "the builder failed",
                where=str(source),
                found=f"{type(error).__name__}: {_first_line(error)}",
                hint="check the --set values" if source.arguments else None,
            ) from error

    return build_or_report


def check_source(source: Source) -> None:
    """Whether the source's name is known and takes its arguments; builds nothing.

    Raises:
        SourceError: it is not, or does not.
    """
    source_factory(source)


def build_module(source: Source) -> nn.Module:
    """The source's module as its users train it: with its random weights, on the default device.

    Raises:
        SourceError: the source is not known, or cannot be built.
    """
    return source_factory(source)()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), "no message")


def _check_arguments(source: Source, builder: Builder, fixed: Mapping[str, None]) -> None:
    """Refuse what the builder would ignore, overwrite or choke on, before anything is built."""
    candidates = _candidates(builder)
    for key, value in source.arguments.items():
        if key not in candidates or not _is_taken(builder, {**fixed, key: value}, key):
            known = [name for name in candidates if _is_taken(builder, {**fixed, name: _ANY}, name)]
            raise ArgumentError(
                f"{source.name} does not take {key!r}",
                where="--set",
                expected=", ".join(known),
                hint=near(key, known),
            )


def _candidates(builder: Builder) -> list[str]:
    """Named parameters of the builder and, if it passes others on, of the class that it builds."""
    names = _named(builder)
    if _passes_on(builder, inspect.Parameter.VAR_KEYWORD):
        for kind in _built_class(builder).__mro__:
            constructor = inspect.getattr_static(kind, "__init__")
            names |= _named(constructor)
            if not _passes_on(constructor, inspect.Parameter.VAR_POSITIONAL):
                break  # a constructor (*args, **kwargs) is its parent's
    return sorted(names - set(_NOT_OURS))


def _named(function: Callable[..., Any]) -> set[str]:
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
    if key in _named(builder):
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
