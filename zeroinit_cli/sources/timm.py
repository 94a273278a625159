"""Models of timm: `timm:vit_tiny_patch16_224`, `timm/vit_tiny_patch16_224.augreg_in21k`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from zeroinit_cli.errors import ArgumentError, SourceError, UnknownModelError, near
from zeroinit_cli.source import Asked, Source, installed
from zeroinit_cli.sources.configuration import check_number

if TYPE_CHECKING:
    from zeroinit_cli.models.building import Factory
    from zeroinit_cli.models.inputs import Inputs

_NAME = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)?")
_NOT_OURS = (
    "pretrained",
    "pretrained_cfg",
    "pretrained_cfg_overlay",
    "pretrained_model_args",
    "checkpoint_path",
    "cache_dir",
    "scriptable",
    "exportable",
    "no_jit",
    "device",
    "dtype",
    "self",
)
"""Arguments of `create_model` that load weights from somewhere, or do not decide the net."""
_OF_FEATURES = ("features_only", "out_indices", "feature_cls")


@dataclass(frozen=True, kw_only=True, slots=True)
class Timm(Source):
    """A model's name, and what `timm.create_model` is called with besides."""

    prefix = "timm"

    @classmethod
    def parse(cls, asked: Asked) -> Self:
        """Check the form of a name, which is not yet looked up.

        Raises:
            SourceError: it cannot be one, as that of a model elsewhere cannot; or a number is
                beyond measure.
            ArgumentError: an argument would load weights.
        """
        if not _NAME.fullmatch(asked.name):
            raise SourceError(
                "not a name of timm's",
                where="SOURCE",
                expected="letters, digits and underscores, with a tag after a dot, such as "
                "timm:vit_tiny_patch16_224; never a hub's or a folder's, which would be loaded",
                found=repr(asked.text),
                hint="zeroinit models 'timm:*' lists the names",
            )
        for key, value in asked.arguments.items():
            check_number(key, value, f"--set {key}")
            if key in _NOT_OURS:
                raise ArgumentError(
                    f"timm's {key!r} is not ours to set",
                    where="--set",
                    expected="an argument that decides what is built; no weights are loaded",
                )
        return cls(name=asked.name, arguments=asked.arguments, inputs=asked.inputs)

    def factory(self) -> "Factory":
        """Return what calls `timm.create_model`, the name and the arguments checked."""
        from zeroinit_cli.models.builders import imported, reported

        timm = imported("timm", self)
        if not timm.is_model(self.name):
            raise UnknownModelError(
                f"no model of timm is called {self.name!r}",
                where="SOURCE",
                expected="a name that zeroinit models 'timm:*' lists",
                hint=near(self.name, timm.list_models()),
            )
        if self.arguments:
            self._check_arguments()
        return reported(
            self, lambda: timm.create_model(self.name, pretrained=False, **self.arguments)
        )

    def _check_arguments(self) -> None:
        """Refuse what the model's class does not name, where timm's own helper builds it."""
        from zeroinit_cli.models.builders import constructor_names, named

        reached = self._reached()
        if reached is None:
            return  # it is built by other means, which refuse by themselves
        kind, passed = reached
        known = constructor_names(kind) if isinstance(kind, type) else named(kind)
        known = (known | set(_OF_FEATURES)) - set(_NOT_OURS)
        for key in self.arguments:
            if key in passed and key not in known:
                raise ArgumentError(
                    f"{self.name} does not take {key!r}",
                    where="--set",
                    expected=", ".join(sorted(known)),
                    hint=near(key, known),
                )

    def _reached(self) -> "tuple[Any, dict[str, Any]] | None":
        """What a model's function hands to timm's helper: the class and its arguments."""
        from timm.models import model_entrypoint

        from zeroinit_cli.models.building import build

        function = model_entrypoint(self.name)
        with _stopped_at_helper(function.__module__) as reached:
            try:
                build(lambda: function(pretrained=False, **self.arguments), seed=0)
            except _ReachedError:
                return reached[0]
            except Exception:  # noqa: BLE001 - whatever it is, building the model raises it again
                return None
        return None

    def example_inputs(self) -> "Inputs":
        """Find the size of images that the model was made for."""
        from timm.models import get_pretrained_cfg

        from zeroinit_cli.models.inputs import (
            BATCH,
            Example,
            Inputs,
            Kind,
            given_inputs,
            of_shape,
        )

        if self.inputs:
            return given_inputs(str(self), self.inputs)
        settings = get_pretrained_cfg(self.name)
        channels, *size = settings.input_size if settings is not None else (3, 224, 224)
        given: Any = self.arguments.get("img_size", tuple(size))
        shape: Any = (self.arguments.get("in_chans", channels),)
        shape += given if isinstance(given, tuple) else (given, given)
        if len(shape) != 3 or not all(isinstance(each, int) and each > 0 for each in shape):
            return Inputs(where=str(self), kind=Kind.EXAMPLES)
        if shape[1] == shape[2]:
            return Inputs(where=str(self), kind=Kind.IMAGES, native=(shape[1],), channels=shape[0])
        example = Example(args=(of_shape((BATCH, *shape)),))
        return Inputs(where=str(self), kind=Kind.EXAMPLES, examples=(example,))

    def versions(self) -> dict[str, str]:
        """Return the libraries that it is built with."""
        return installed("timm", "torch")


class _ReachedError(Exception):
    """Timm's helper was reached: the model's own function has done its part."""


@contextmanager
def _stopped_at_helper(module: str) -> "Iterator[list[tuple[Any, dict[str, Any]]]]":
    """Replace the helper that a module of timm's builds its models with by one that only notes."""
    import sys

    family: Any = sys.modules[module]
    original = getattr(family, "build_model_with_cfg", None)
    reached: list[tuple[Any, dict[str, Any]]] = []

    def stop(model_cls: Any, *args: Any, **kwargs: Any) -> None:
        del args
        reached.append((model_cls, kwargs))
        raise _ReachedError

    if original is None:
        yield reached
        return
    family.build_model_with_cfg = stop
    try:
        yield reached
    finally:
        family.build_model_with_cfg = original


def known_names() -> list[str]:
    """List the model names of the timm that zeroinit is tested with, sorted.

    They stand in timm_models.txt, because timm takes seconds to import. A test compares the file
    with timm.
    """
    from importlib.resources import files  # which --help can do without, for its speed

    return files(__package__).joinpath("timm_models.txt").read_text("ascii").split()
