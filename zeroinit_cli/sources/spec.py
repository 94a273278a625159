"""YAML specs: `nets/small.yaml`."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

from zeroinit_cli.dtypes import DType
from zeroinit_cli.errors import ArgumentError, InputError, SourceError, UnknownModelError
from zeroinit_cli.source import Asked, Source, installed, path_from
from zeroinit_cli.sources.timm import Timm
from zeroinit_cli.sources.torchvision import Torchvision
from zeroinit_cli.sources.transformers import Transformers
from zeroinit_cli.spec.blueprint import BuilderBlueprint, FamilyBlueprint

if TYPE_CHECKING:
    from zeroinit_cli.models.building import Factory
    from zeroinit_cli.models.inputs import Inputs
    from zeroinit_cli.spec.check import Spec

_SUFFIXES = (".yaml", ".yml")
_MOST_TOKENS = 128  # of a family whose sequences may be shorter than the longest


@dataclass(frozen=True, kw_only=True, slots=True)
class YamlSpec(Source):
    """A spec, by its path.

    Attributes:
        spec: what the file says.
        builder: the source of the library's model that it names; None for a net of its own.
    """

    spec: "Spec"
    builder: Source | None = None

    prefix = ""

    def __str__(self) -> str:
        """Write the path."""
        return self.name

    @classmethod
    def parse(cls, asked: Asked) -> Self:
        """Read the file.

        Raises:
            ArgumentError: there are settings.
            SpecError: it has mistakes.
            InputError: it cannot be read.
        """
        if asked.arguments:
            raise ArgumentError(
                "a spec takes no settings",
                where="--set",
                found=", ".join(asked.arguments),
                hint=f"write them into {asked.text}",
            )
        from zeroinit_cli.spec.check import read_spec

        return cls.of(asked.path, read_spec(asked.path), lock=asked.lock)

    @classmethod
    def of(cls, path: Path, spec: "Spec", *, lock: Path | None = None) -> Self:
        """Make the source of a spec that was read.

        Raises:
            SpecError: the library's model that it names cannot be one.
        """
        return cls(name=path.as_posix(), spec=spec, builder=_builder(path, spec, lock))

    def factory(self) -> "Factory":
        """Return what builds the spec's net, or calls the builder that it names.

        Raises:
            SpecError: the builder is not known, or does not take an argument.
        """
        if self.builder is not None:
            try:
                return self.builder.factory()
            except (UnknownModelError, ArgumentError) as error:
                raise self.spec.misfit(error) from error
        from zeroinit_cli.models.builders import reported
        from zeroinit_cli.nets import build_blueprint

        return reported(self, lambda: build_blueprint(self.spec.inferred.blueprint))

    def example_inputs(self) -> "Inputs":
        """Find what it declares, or what the builder's models take."""
        from zeroinit_cli.models.inputs import Inputs, Kind

        if self.builder is not None:
            return replace(self.builder.example_inputs(), where=str(self))
        inferred, shapes = self.spec.inferred, self.spec.inputs
        if isinstance(inferred.blueprint, FamilyBlueprint) and inferred.ids:
            shapes = tuple((name, (min(length, _MOST_TOKENS),)) for name, (length,) in shapes)
        return Inputs(where=str(self), kind=Kind.ARRAYS, shapes=shapes, tokens=inferred.ids)

    def versions(self) -> dict[str, str]:
        """Return the libraries that it is built with."""
        if self.builder is None:
            return installed("torch", "torchvision")
        return self.builder.versions()

    def recorded_in(self, folder: Path) -> str:
        """Return the path from a lock's folder."""
        return path_from(folder, Path(self.name), what="a spec")

    @property
    def files(self) -> tuple[Path, ...]:
        """Its path, and that of the configuration that it names, if it names one."""
        return (Path(self.name), *(self.builder.files if self.builder is not None else ()))

    def digests(self) -> dict[str, str]:
        """Return that of its canonical form, and that of the configuration that it names."""
        more = {} if self.builder is None else self.builder.digests()
        return {"spec-sha256": self.spec.digest(), **more}

    def beside(self, dtype: DType) -> dict[str, bytes]:
        """Return what belongs beside the checkpoint of the library's model."""
        return {} if self.builder is None else self.builder.beside(dtype)

    def init_words(self) -> Mapping[str, str]:
        """Return the options of its `init`."""
        return self.spec.init_words()

    def init_overrides(self) -> tuple[str, ...]:
        """Return the overrides of its `init`."""
        return self.spec.init_overrides()


def is_spec_path(text: str) -> bool:
    """Tell whether SOURCE is the path of a spec, not a name."""
    return text.lower().endswith(_SUFFIXES)


def _builder(path: Path, spec: "Spec", lock: Path | None) -> Source | None:
    blueprint = spec.inferred.blueprint
    if not isinstance(blueprint, BuilderBlueprint):
        return None
    asked = Asked(
        text=blueprint.name,
        name=blueprint.name,
        arguments=blueprint.arguments,
        folder=path.parent,
        lock=lock,
    )
    kinds: tuple[type[Torchvision] | type[Timm] | type[Transformers], ...]
    kinds = (Torchvision, Timm, Transformers)
    [kind] = [kind for kind in kinds if kind.prefix == blueprint.library]
    try:
        if Path(asked.name).is_absolute():
            raise SourceError(
                "an absolute path",
                expected="one from the spec's folder, the same wherever both lie",
                found=repr(asked.name),
            )
        return kind.parse(asked)
    except (SourceError, InputError) as error:
        raise spec.misfit(error) from error
