"""What a source says of the inputs of its model, before one is built."""

from dataclasses import dataclass
from enum import Enum

from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.source import Source
from zeroinit_cli.spec.blueprint import BuilderBlueprint, FamilyBlueprint

_CLIP_FRAMES = 16
_MOST_TOKENS = 128  # of a family whose sequences may be shorter than the longest


class Kind(Enum):
    """What a forward is called with."""

    ARRAYS = "arrays"
    IMAGES = "images"
    CLIP = "video"
    FLOW = "optical_flow"
    DETECTION = "detection"


@dataclass(frozen=True, kw_only=True, slots=True)
class Demand:
    """The inputs of a model.

    Attributes:
        where: what messages call it.
        kind: what they are.
        inputs: of arrays, shapes without the batch by name, in the order of forward.
        tokens: some of them are integers.
        pixels: height and width of images to begin with; None for what is usual.
        native: sizes that the model was made for, to be tried next.
        frames: of a clip; 0 for an image.
    """

    where: str
    kind: Kind
    inputs: tuple[tuple[str, tuple[int, ...]], ...] = ()
    tokens: bool = False
    pixels: int | None = None
    native: tuple[int, ...] = ()
    frames: int = 0


def demand_of(source: Source) -> Demand:
    """What the source's model is to be fed; the source was looked up before."""
    where = str(source)
    if source.spec is None:
        return _of_builder(source.name, where)
    blueprint, inferred = source.spec.inferred.blueprint, source.spec.inferred
    if isinstance(blueprint, BuilderBlueprint):
        return _of_builder(blueprint.name, where)
    inputs = source.spec.inputs
    if isinstance(blueprint, FamilyBlueprint) and inferred.ids:
        inputs = tuple((name, (min(length, _MOST_TOKENS),)) for name, (length,) in inputs)
    return Demand(where=where, kind=Kind.ARRAYS, inputs=inputs, tokens=inferred.ids)


def _of_builder(name: str, where: str) -> Demand:
    import_torchvision()
    from torchvision.models import get_model_builder, get_model_weights

    package = get_model_builder(name).__module__.split(".")
    known = {kind.value: kind for kind in Kind}
    kind = next((known[part] for part in package if part in known), Kind.IMAGES)
    native: set[int] = set()
    for weights in get_model_weights(name):
        size = getattr(weights.transforms(), "crop_size", None)
        native.update(size or ())
    return Demand(
        where=where,
        kind=kind,
        native=tuple(sorted(native)),
        frames=_CLIP_FRAMES if kind is Kind.CLIP else 0,
    )
