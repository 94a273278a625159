"""Models of transformers, from a configuration alone: `transformers:DIR`, `.../config.json`.

Nothing is ever downloaded, and no code but that of the installed package runs.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from zeroinit_cli.arguments import Value
from zeroinit_cli.dtypes import DType
from zeroinit_cli.errors import ArgumentError, SourceError, near, shown
from zeroinit_cli.filenames import CONFIG
from zeroinit_cli.source import Asked, Source, installed, path_from
from zeroinit_cli.sources.configuration import TYPES, entries, read_configuration, without

if TYPE_CHECKING:
    from zeroinit_cli.models.building import Factory
    from zeroinit_cli.models.inputs import Inputs

_CLASS = "class"
_NOT_BUILT_FROM = (
    *TYPES,  # all is built in float32
    "_name_or_path",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_experts_implementation",
    "attn_implementation",
    "experts_implementation",
    "auto_map",
)
"""What a configuration may say that decides no tensor, and could lead to other code or places."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Transformers(Source):
    """A configuration, by the path of its folder or its file.

    Attributes:
        path: of config.json.
        config: what it says.
        sha256: of its bytes.
    """

    path: Path
    config: Mapping[str, Any] = field(repr=False)
    sha256: str

    prefix = "transformers"

    @classmethod
    def parse(cls, asked: Asked) -> Self:
        """Read the configuration, and refuse what it must not say.

        Raises:
            SourceError: it is none, or asks for what is not in it: other code, or other places.
            InputError: it cannot be read.
        """
        path, config, sha256 = read_configuration(asked)
        given = Path(asked.name) if asked.folder is None else asked.folder / asked.name
        return cls(
            name=given.as_posix(),
            arguments=asked.arguments,
            inputs=asked.inputs,
            path=path,
            config=config,
            sha256=sha256,
        )

    def factory(self) -> "Factory":
        """Return what builds the class from the configuration, both looked up."""
        from zeroinit_cli.models.builders import reported
        from zeroinit_cli.models.pretrained import without_hub

        kind, make = self._found()

        def build() -> Any:
            with without_hub():
                return kind(make())

        return reported(self, build)

    def _found(self) -> tuple[Any, Callable[[], Any]]:
        """Find the class, and what makes its configuration, a fresh one each time."""
        from zeroinit_cli.models.builders import imported, reported
        from zeroinit_cli.models.pretrained import config_class, model_class, without_hub

        package = imported("transformers", self)
        name = self._class_name(self.arguments.get(_CLASS))
        with without_hub():
            configured = config_class(package, self.config.get("model_type"), name, str(self))
            make: Any = reported(self, lambda: configured.from_dict(self._fields()))
            self._check_arguments(configured)
            return model_class(package, name, make(), str(self)), make

    def _class_name(self, asked: Value | None) -> str:
        """Name the class that is asked for, or else the first that the configuration names."""
        names = self.config.get("architectures")
        first = names[0] if isinstance(names, list) and names else None
        name = first if asked is None else asked
        if isinstance(name, str) and name.isidentifier():
            return name
        raise SourceError(
            "no class to build" if name is None else "not the name of a class",
            where=str(self),
            expected="the name of a class of transformers in architectures",
            found=None if name is None else shown(name),
            hint="--set class=AutoModelForCausalLM, or another of transformers, says which",
        )

    def _given(self) -> dict[str, Any]:
        """What `--set` gives to the configuration."""
        return {
            key: list(value) if isinstance(value, tuple) else value
            for key, value in self.arguments.items()
            if key != _CLASS
        }

    def _fields(self) -> dict[str, Any]:
        """What the configuration is made of: what it says and what `--set` gives."""
        fields: dict[str, Any] = without({**self.config, **self._given()}, _NOT_BUILT_FROM)
        return fields

    def _check_arguments(self, configured: Any) -> None:
        """Refuse keys that the configuration would hold and nobody would read."""
        given = self._given()
        if not given:
            return
        from zeroinit_cli.models.builders import reported

        plain: Any = reported(
            self, lambda: configured.from_dict(without(dict(self.config), _NOT_BUILT_FROM))
        )
        config = plain()
        known = {*config.to_dict(), *getattr(config, "attribute_map", {})}
        known = {key for key in known if not key.startswith("_")} - {*_NOT_BUILT_FROM}
        for key in given:
            said = isinstance(getattr(configured, key, None), property)  # such as num_labels
            if key in _NOT_BUILT_FROM or not (key in known or said):
                raise ArgumentError(
                    f"{configured.__name__} does not take {key!r}",
                    where="--set",
                    expected="a key of the configuration, or class",
                    hint=near(key, known),
                )

    def example_inputs(self) -> "Inputs":
        """Find what the class takes by the names of its arguments and the sizes it is told."""
        from zeroinit_cli.models.inputs import Inputs, Kind, given_inputs
        from zeroinit_cli.models.pretrained import examples

        if self.inputs:
            return given_inputs(str(self), self.inputs)
        kind, make = self._found()
        found = tuple(examples(kind, make()))
        return Inputs(where=str(self), kind=Kind.EXAMPLES, examples=found)

    def versions(self) -> dict[str, str]:
        """Return the libraries that it is built with; a backbone may be one of timm's."""
        backbones = [key for _, key, value in entries(self.config) if "timm" in key and value]
        named = isinstance(self.config.get("backbone"), str)
        more = ["timm"] if backbones or named else []
        return installed(*more, "torch", "transformers")

    def recorded_in(self, folder: Path) -> str:
        """Return the prefix and the path from a lock's folder."""
        given = path_from(folder, Path(self.name), what="a configuration")
        return f"{self.prefix}:{given}"

    @property
    def files(self) -> tuple[Path, ...]:
        """Where config.json is."""
        return (self.path,)

    def digests(self) -> dict[str, str]:
        """Return that of config.json."""
        return {"config-sha256": self.sha256}

    def beside(self, dtype: DType) -> dict[str, bytes]:
        """Return config.json for a folder's checkpoint: what it was made from, and its type.

        It is written as `save_pretrained` writes it, so that `from_pretrained` loads the folder.
        """
        import json  # which --help can do without, for its speed

        given = {**self.config, **self._given()}
        if _CLASS in self.arguments:
            given["architectures"] = [self._found()[0].__name__]
        if not given.keys() & {*TYPES}:
            given[TYPES[0]] = dtype.name
        text = json.dumps(_typed(given, dtype.name), indent=2, sort_keys=True)
        return {CONFIG: f"{text}\n".encode()}


def _typed(value: Any, name: str) -> Any:
    """Replace the types that parts of a configuration name by the one that is written."""
    if isinstance(value, list):
        return [_typed(each, name) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        key: name if key in TYPES and isinstance(each, str) else _typed(each, name)
        for key, each in value.items()
    }
