"""Pools: one entry for each window, over a stride or to a size."""

from typing import ClassVar

from pydantic import Field

from zeroinit_cli.spec.fields import Margins, Sizes, Windows
from zeroinit_cli.spec.layers.base import Layer, MismatchError, Resolved, Shape, spread
from zeroinit_cli.spec.layers.convolutions import DIMENSIONS, window_output


class _Pool(Layer):
    shorthand: ClassVar[str | None] = "kernel_size"
    rank: ClassVar[int]

    kernel_size: Windows = Field(description="Size of the window.")
    stride: Windows | None = Field(
        default=None, description="Steps of the window; its size by default."
    )
    padding: Margins = Field(default=0, description="Added on each side.")
    ceil_mode: bool = Field(default=False, description="Let the last window hang over the end.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", *DIMENSIONS[self.rank])
        kernel = spread(self.kernel_size, self.rank, self, "kernel_size")
        stride = kernel
        if self.stride is not None:
            stride = spread(self.stride, self.rank, self, "stride")
        padding = spread(self.padding, self.rank, self, "padding")
        if any(more * 2 > window for more, window in zip(padding, kernel, strict=True)):
            raise MismatchError(
                "more padding than half the window",
                key="padding",
                expected=f"at most half of kernel_size {self.kernel_size}",
                found=str(self.padding),
            )
        spatial = window_output(
            self,
            shape[1:],
            kernel,
            stride,
            padding,
            self._dilation(),
            ceil_mode=self.ceil_mode,
        )
        return Resolved(arguments=self.given(), output=(shape[0], *spatial))

    def _dilation(self) -> Shape:
        return (1,) * self.rank


class _MaxPool(_Pool):
    dilation: Windows = Field(default=1, description="Distance of the window's points.")

    def _dilation(self) -> Shape:
        return spread(self.dilation, self.rank, self, "dilation")


class MaxPool1d(_MaxPool):
    """The largest entry of each window over [channels, length]."""

    rank: ClassVar[int] = 1


class MaxPool2d(_MaxPool):
    """The largest entry of each window over [channels, height, width]."""

    rank: ClassVar[int] = 2


class MaxPool3d(_MaxPool):
    """The largest entry of each window over [channels, depth, height, width]."""

    rank: ClassVar[int] = 3


class _AvgPool(_Pool):
    count_include_pad: bool = Field(default=True, description="Let padding count as zeros.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        resolved = super().resolve(shape)
        kernel = spread(self.kernel_size, self.rank, self, "kernel_size")
        larger = any(window > size for window, size in zip(kernel, shape[1:], strict=True))
        if self.rank == 3 and larger:  # torch's own limit, of this one pool
            raise MismatchError(
                "AvgPool3d has a window larger than what it gets",
                key="kernel_size",
                expected=f"at most {list(shape[1:])}, padding not counted",
                found=str(self.kernel_size),
            )
        return resolved


class AvgPool1d(_AvgPool):
    """The mean of each window over [channels, length]."""

    rank: ClassVar[int] = 1


class AvgPool2d(_AvgPool):
    """The mean of each window over [channels, height, width]."""

    rank: ClassVar[int] = 2


class AvgPool3d(_AvgPool):
    """The mean of each window over [channels, depth, height, width]."""

    rank: ClassVar[int] = 3


class _AdaptivePool(Layer):
    shorthand: ClassVar[str | None] = "output_size"
    rank: ClassVar[int]

    output_size: Sizes = Field(description="Size that it gives, whatever it takes.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", *DIMENSIONS[self.rank])
        spatial = spread(self.output_size, self.rank, self, "output_size")
        return Resolved(arguments=self.given(), output=(shape[0], *spatial))


class AdaptiveAvgPool1d(_AdaptivePool):
    """Means over [channels, length], to a size."""

    rank: ClassVar[int] = 1


class AdaptiveAvgPool2d(_AdaptivePool):
    """Means over [channels, height, width], to a size."""

    rank: ClassVar[int] = 2


class AdaptiveAvgPool3d(_AdaptivePool):
    """Means over [channels, depth, height, width], to a size."""

    rank: ClassVar[int] = 3


class AdaptiveMaxPool1d(_AdaptivePool):
    """Largest entries over [channels, length], to a size."""

    rank: ClassVar[int] = 1


class AdaptiveMaxPool2d(_AdaptivePool):
    """Largest entries over [channels, height, width], to a size."""

    rank: ClassVar[int] = 2


class AdaptiveMaxPool3d(_AdaptivePool):
    """Largest entries over [channels, depth, height, width], to a size."""

    rank: ClassVar[int] = 3
