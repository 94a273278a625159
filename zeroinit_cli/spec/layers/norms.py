"""Layers that normalize."""

from typing import ClassVar

from pydantic import Field

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.fields import Epsilon, Number, Probability, Size, Sizes
from zeroinit_cli.spec.layers.base import (
    DIMENSIONS,
    ORIGIN,
    Layer,
    MismatchError,
    Resolved,
    SpatialLayer,
    check_divisor,
    count,
    in_each_rank,
    raise_first,
)


class _ChannelNorm(SpatialLayer):
    or_flat: ClassVar[bool] = False

    num_features: Size | None = Field(
        default=None, description="Channels; inferred, checked where given."
    )
    eps: Epsilon = Field(default=1e-5, description="Added to the variance.")
    momentum: Probability | None = Field(
        default=0.1, description="Weight of a batch in the running mean; null: plain average."
    )
    affine: bool = Field(default=True, description="Multiply by a scale and add a shift.")
    track_running_stats: bool = Field(default=True, description="Keep mean and variance.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        names = ("channels", *DIMENSIONS[self.rank])
        self.needs_rank(shape, *names, also=("channels",) if self.or_flat else None)
        self.expects("channels", self.num_features, shape[0], key="num_features")
        counts = Counts(
            vectors=2 * shape[0] * self.affine,
            buffers=(2 * shape[0] + 1) * self.track_running_stats,  # mean, variance and a number
        )
        return self.result(shape, counts, num_features=shape[0])


class BatchNorm1d(_ChannelNorm):
    """Batch norm over [channels] or [channels, length]."""

    rank: ClassVar[int] = 1
    or_flat: ClassVar[bool] = True


class _InstanceNorm(_ChannelNorm):
    affine: bool = Field(default=False, description="Multiply by a scale and add a shift.")
    track_running_stats: bool = Field(default=False, description="Keep mean and variance.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        resolved = super().resolve(shape)
        if count(shape[1:]) == 1:
            raise MismatchError(
                f"{self.kind} normalizes over one position",
                expected="two or more positions in a channel",
                found=f"{list(shape)} from {ORIGIN}",
            )
        return resolved


class GroupNorm(Layer):
    """A norm over groups of channels, the first dimension."""

    shorthand: ClassVar[str | None] = "num_groups"

    num_groups: Size = Field(description="Groups; divides the channels.")
    num_channels: Size | None = Field(
        default=None, description="Channels; inferred, checked where given."
    )
    eps: Epsilon = Field(default=1e-5, description="Added to the variance.")
    affine: bool = Field(default=True, description="Multiply by a scale and add a shift.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        channels = shape[0]
        self.expects("channels", self.num_channels, channels, key="num_channels")
        problem = "the groups do not divide the channels"
        raise_first(check_divisor(self.num_groups, channels, "num_groups", problem))
        counts = Counts(vectors=2 * channels * self.affine)
        return self.result(shape, counts, num_channels=channels)


class LayerNorm(Layer):
    """A norm over the last dimensions."""

    normalized_shape: Sizes | None = Field(
        default=None, description="The last dimensions; the very last alone by default."
    )
    eps: Epsilon = Field(default=1e-5, description="Added to the variance.")
    elementwise_affine: bool = Field(default=True, description="Multiply by a scale.")
    bias: bool = Field(default=True, description="Add a shift beside the scale.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        normalized = _normalized(self, self.normalized_shape, shape)
        counts = Counts(vectors=count(normalized) * self.elementwise_affine * (1 + self.bias))
        return self.result(shape, counts, normalized_shape=normalized)


class RMSNorm(Layer):
    """A norm over the last dimensions by the root of their mean square, without shift."""

    normalized_shape: Sizes | None = Field(
        default=None, description="The last dimensions; the very last alone by default."
    )
    eps: Epsilon | None = Field(
        default=None, description="Added to the mean square; null: the smallest step of its type."
    )
    elementwise_affine: bool = Field(default=True, description="Multiply by a scale.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        normalized = _normalized(self, self.normalized_shape, shape)
        counts = Counts(vectors=count(normalized) * self.elementwise_affine)
        return self.result(shape, counts, normalized_shape=normalized)


def _normalized(layer: Layer, declared: int | tuple[int, ...] | None, shape: Shape) -> Shape:
    if declared is None:
        return shape[-1:]
    wanted = (declared,) if isinstance(declared, int) else declared
    if shape[-len(wanted) :] != wanted:
        raise MismatchError(
            f"{layer.kind} expects {list(wanted)} as last dimensions",
            key="normalized_shape",
            expected=f"the last dimensions of {list(shape)}, or no normalized_shape at all",
            found=str(list(wanted)),
        )
    return wanted


class LocalResponseNorm(Layer):
    """Divides each channel by a sum over its neighbours."""

    shorthand: ClassVar[str | None] = "size"

    size: Size = Field(description="Neighbours in the sum.")
    alpha: Number = Field(default=1e-4, description="Factor of the sum.")
    beta: Number = Field(default=0.75, description="Exponent of the sum.")
    k: Number = Field(default=1.0, description="Added to the sum.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        if len(shape) < 2:
            raise MismatchError(
                "LocalResponseNorm gets a value of another rank",
                expected="[channels, ...]",
                found=str(list(shape)),
            )
        return self.result(shape)


LAYERS: tuple[type[Layer], ...] = (
    BatchNorm1d,
    *in_each_rank(_ChannelNorm, "BatchNorm", "Batch norm over {}.", (2, 3)),
    *in_each_rank(_InstanceNorm, "InstanceNorm", "Instance norm over {}."),
    GroupNorm,
    LayerNorm,
    RMSNorm,
    LocalResponseNorm,
)
