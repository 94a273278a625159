"""Classes and configurations of transformers, looked up and fed without its hub."""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

from torch import Tensor

from zeroinit_cli.errors import SourceError, UnknownModelError, near, shown
from zeroinit_cli.models.inputs import BATCH, Example, ids_of_shape, of_shape

_LENGTH, _ANSWER = 16, 8  # of texts, no two alike
_SAMPLES = 8000  # of a sound
_FRAMES = 64  # of a spectrum whose length may be any


@contextmanager
def without_hub() -> Iterator[None]:
    """Let no library reach the hub in the block, and none talk of it."""
    import transformers
    from huggingface_hub import constants

    before, verbosity = constants.HF_HUB_OFFLINE, transformers.logging.get_verbosity()
    constants.HF_HUB_OFFLINE = True
    transformers.logging.set_verbosity_error()
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
        transformers.logging.set_verbosity(verbosity)


def config_class(package: ModuleType, model_type: Any, name: str, where: str) -> Any:
    """The class of a configuration, by its `model_type`, or else by the model's class.

    Raises:
        SourceError: transformers knows no such type.
    """
    known = package.CONFIG_MAPPING
    if isinstance(model_type, str) and model_type in known:
        return known[model_type]
    if model_type is None:
        found = _named(package, name, where).config_class
        if found is not None:
            return found
    raise SourceError(
        "a configuration of a kind that transformers does not know",
        where=f"{where}: model_type",
        expected=f"one that transformers {package.__version__} knows",
        found=shown(model_type),
        hint=near(model_type, known.keys()) if isinstance(model_type, str) else None,
    )


def model_class(package: ModuleType, name: str, config: Any, where: str) -> Any:
    """The class of a model that is built from a configuration; an Auto class stands for another.

    Raises:
        SourceError: transformers has none of this name, or builds it from another configuration.
    """
    kind = _named(package, name, where)
    mapping = getattr(kind, "_model_mapping", None)
    if mapping is not None:
        if type(config) not in mapping:
            raise SourceError(
                f"{name} has no class for this configuration",
                where=where,
                found=type(config).__name__,
                hint="--set class=AutoModel, or another of transformers, says which",
            )
        found = mapping[type(config)]
        kind = found[0] if isinstance(found, tuple) else found
    wanted = kind.config_class
    if wanted is not None and not isinstance(config, wanted):
        raise SourceError(
            f"{kind.__name__} is built from another configuration",
            where=where,
            expected=wanted.__name__,
            found=type(config).__name__,
        )
    return kind


def _named(package: ModuleType, name: str, where: str) -> Any:
    """A class of a model, or one that stands for several."""
    kind = getattr(package, name, None)
    is_model = isinstance(kind, type) and issubclass(kind, package.PreTrainedModel)
    if is_model or getattr(kind, "_model_mapping", None) is not None:
        return kind
    models = [each for each in dir(package) if each[:1].isupper() and each != name]
    raise UnknownModelError(
        f"transformers has no model class {name!r}",
        where=where,
        expected=f"a class of transformers {package.__version__}",
        hint=near(name, models),
    )


def examples(kind: Any, config: Any) -> Iterator[Example]:
    """Examples of what a class takes, by the names of its arguments, the fullest first."""
    taken = inspect.signature(kind.forward).parameters
    known = {name: tensor for name, tensor in _known(config).items() if name in taken}
    if not getattr(config, "is_encoder_decoder", False):
        known.pop("decoder_input_ids", None)
    main = str(getattr(kind, "main_input_name", "input_ids"))
    names = [name for name in known if name != "decoder_input_ids"]
    for chosen in dict.fromkeys([tuple(names), (main,), *((name,) for name in names)]):
        both = [name for name in known if name in chosen or name == "decoder_input_ids"]
        if chosen and set(chosen) <= set(known):
            yield Example(args=(), kwargs={name: known[name] for name in both})


def _known(config: Any) -> dict[str, Tensor]:
    """What a forward may take, in the sizes that a configuration tells."""
    return {
        "input_ids": ids_of_shape((BATCH, _LENGTH)),
        "pixel_values": of_shape((BATCH, *_image(config))),
        "input_values": of_shape((BATCH, *_sound(config))),
        "input_features": of_shape((BATCH, *_spectrum(config))),
        "decoder_input_ids": ids_of_shape((BATCH, _ANSWER)),
    }


def _told(config: Any, *names: str) -> Any:
    """The first of some sizes that a configuration, or one within it, tells."""
    parts = [config, *(getattr(config, f"{part}_config", None) for part in ("vision", "audio"))]
    for name in names:
        for part in parts:
            value = getattr(part, name, None)
            if isinstance(value, int | list | tuple) and value:
                return value
    return None


def _image(config: Any) -> tuple[int, int, int]:
    size = _told(config, "image_size", "img_size") or 224
    height, width = size if isinstance(size, list | tuple) else (size, size)
    return _told(config, "num_channels", "in_channels", "in_chans") or 3, height, width


def _sound(config: Any) -> tuple[int, ...]:
    frames, bins = _told(config, "max_length"), _told(config, "num_mel_bins")
    return (frames, bins) if frames and bins else (_SAMPLES,)


def _spectrum(config: Any) -> tuple[int, int]:
    bins = _told(config, "num_mel_bins")
    longest = _told(config, "max_source_positions")
    if bins and longest:
        return bins, 2 * longest  # whisper's
    return _FRAMES, _told(config, "input_feat_per_channel", "feature_size") or 80
