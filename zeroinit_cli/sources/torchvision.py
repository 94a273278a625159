"""Torchvision's builders: `resnet18`, `torchvision:resnet18`."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from zeroinit_cli.errors import SourceError, UnknownModelError, near
from zeroinit_cli.source import Asked, Source, installed
from zeroinit_cli.sources.configuration import meant_by
from zeroinit_cli.sources.timm import Timm, known_names

if TYPE_CHECKING:
    from zeroinit_cli.models.building import Factory
    from zeroinit_cli.models.inputs import Inputs

_NAME = re.compile(r"[A-Za-z0-9_]+")
_WEIGHTS = ("weights", "weights_backbone")  # None: no pretrained weights, no network
_NOT_OURS = (*_WEIGHTS, "progress", "self")


@dataclass(frozen=True, kw_only=True, slots=True)
class Torchvision(Source):
    """A model's name, and what its builder is called with."""

    prefix = "torchvision"

    @classmethod
    def parse(cls, asked: Asked) -> Self:
        """Check the form of a name, which is not yet looked up.

        Raises:
            SourceError: it cannot be one.
        """
        if not _NAME.fullmatch(asked.name):
            raise SourceError(
                "not a model name",
                where="SOURCE",
                expected="letters, digits and underscores, such as resnet18, or a path to a "
                ".yaml file",
                found=repr(asked.text),
                hint="zeroinit models lists the names",
            )
        return cls(name=asked.name, arguments=asked.arguments)

    def factory(self) -> "Factory":
        """Return what calls the builder, the name and the arguments checked."""
        import inspect

        from zeroinit_cli.models.builders import check_arguments, reported

        names = model_names()
        if self.name not in names:
            raise UnknownModelError(
                f"no model is called {self.name!r}",
                where="SOURCE",
                expected="a name that zeroinit models lists",
                hint=self._hint(names),
            )
        from torchvision.models import get_model_builder

        builder = get_model_builder(self.name)
        fixed = {key: None for key in _WEIGHTS if key in inspect.signature(builder).parameters}
        check_arguments(self.name, builder, self.arguments, fixed, not_ours=_NOT_OURS)
        return reported(self, lambda: builder(**fixed, **self.arguments))

    def _hint(self, names: Iterable[str]) -> str | None:
        """Write the nearest names, or the prefix under which there is such a model."""
        if self.name in known_names():
            return f"did you mean {Timm.prefix}:{self.name}?"
        if meant_by(self.name):
            return f"did you mean transformers:{self.name}?"
        return near(self.name, names)

    def example_inputs(self) -> "Inputs":
        """Find what the builder's models take, and the sizes that they were made for."""
        from zeroinit_cli.models.inputs import Inputs, kind_of_package
        from zeroinit_cli.nets.torchvision import import_torchvision

        import_torchvision()
        from torchvision.models import get_model_builder, get_model_weights

        kind = kind_of_package(get_model_builder(self.name).__module__)
        native: set[int] = set()
        for weights in get_model_weights(self.name):
            size = getattr(weights.transforms(), "crop_size", None)
            native.update(size or ())
        return Inputs(where=str(self), kind=kind, native=tuple(sorted(native)))

    def versions(self) -> dict[str, str]:
        """Return the libraries that it is built with."""
        return installed("torch", "torchvision")


def model_names() -> list[str]:
    """List every name that torchvision's models have, sorted."""
    from zeroinit_cli.nets.torchvision import import_torchvision

    import_torchvision()
    from torchvision.models import list_models

    return sorted(list_models())
