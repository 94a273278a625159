"""Layers that change the spatial size: pools, upsampling, padding, pixel shuffles."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zeroinit_cli.specs.fields import Margins, Sizes, Windows
from zeroinit_cli.specs.layers.base import (
    Layer,
    MismatchError,
    Resolved,
    Shape,
    spread,
)
from zeroinit_cli.specs.layers.convolutions import DIMENSIONS, window_output


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


_MODES = {"linear": 1, "bilinear": 2, "bicubic": 2, "trilinear": 3}


class Upsample(Layer):
    """Makes every spatial dimension larger."""

    shorthand: ClassVar[str | None] = "scale_factor"

    scale_factor: Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)] | None = Field(
        default=None, description="How many times larger."
    )
    size: Sizes | None = Field(default=None, description="The size to give, in place of a factor.")
    mode: Literal["nearest", "linear", "bilinear", "bicubic", "trilinear"] = Field(
        default="nearest", description="How entries between are made."
    )
    align_corners: bool | None = Field(
        default=None, description="Let the corners stay; not for nearest."
    )

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        rank = len(shape) - 1
        if not 1 <= rank <= 3 or _MODES.get(self.mode, rank) != rank:
            dimensions = DIMENSIONS[_MODES.get(self.mode, 2)]
            raise MismatchError(
                f"Upsample by {self.mode} gets a value of another rank",
                expected=f"[{', '.join(('channels', *dimensions))}]",
                found=str(list(shape)),
            )
        if (self.size is None) == (self.scale_factor is None):
            raise MismatchError("Upsample needs either scale_factor or size")
        if self.align_corners is not None and self.mode == "nearest":
            raise MismatchError(
                "nearest has no corners to align", key="align_corners", expected="another mode"
            )
        if self.size is not None:
            spatial = spread(self.size, rank, self, "size")
        else:
            factor = self.scale_factor or 1.0
            spatial = tuple(math.floor(size * factor) for size in shape[1:])
        if min(spatial) < 1:
            raise MismatchError(
                "nothing is left behind Upsample",
                key="scale_factor",
                expected="an output of at least 1 in each dimension",
                found=f"{list(shape[1:])} becomes {list(spatial)}",
            )
        return Resolved(arguments=self.given(), output=(shape[0], *spatial))


class PixelShuffle(Layer):
    """Spreads channels over a finer grid: [c r r, h, w] becomes [c, h r, w r]."""

    shorthand: ClassVar[str | None] = "upscale_factor"

    upscale_factor: Windows = Field(description="r.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", "height", "width")
        [factor] = spread(self.upscale_factor, 1, self, "upscale_factor")
        if shape[0] % factor**2:
            raise MismatchError(
                f"PixelShuffle by {factor} gets {shape[0]} channels",
                key="upscale_factor",
                expected=f"a number whose square divides {shape[0]}",
                found=str(factor),
            )
        channels, height, width = shape
        return Resolved(
            arguments=self.given(upscale_factor=factor),
            output=(channels // factor**2, height * factor, width * factor),
        )


class PixelUnshuffle(Layer):
    """Gathers a grid in channels: [c, h r, w r] becomes [c r r, h, w]."""

    shorthand: ClassVar[str | None] = "downscale_factor"

    downscale_factor: Windows = Field(description="r.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", "height", "width")
        [factor] = spread(self.downscale_factor, 1, self, "downscale_factor")
        channels, height, width = shape
        if height % factor or width % factor:
            raise MismatchError(
                f"PixelUnshuffle by {factor} gets {height} x {width}",
                key="downscale_factor",
                expected=f"a divisor of {height} and {width}",
                found=str(factor),
            )
        return Resolved(
            arguments=self.given(downscale_factor=factor),
            output=(channels * factor**2, height // factor, width // factor),
        )


class _ZeroPad(Layer):
    shorthand: ClassVar[str | None] = "padding"
    rank: ClassVar[int]

    padding: Margins = Field(description="On every side, or [left, right, top, bottom, ...].")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", *DIMENSIONS[self.rank])
        sides = spread(self.padding, 2 * self.rank, self, "padding")
        # torch names the last dimension first
        added = [sides[2 * place] + sides[2 * place + 1] for place in range(self.rank)]
        spatial = tuple(size + more for size, more in zip(shape[1:], added[::-1], strict=True))
        return Resolved(arguments=self.given(), output=(shape[0], *spatial))


class ZeroPad1d(_ZeroPad):
    """Zeros around [channels, length]."""

    rank: ClassVar[int] = 1


class ZeroPad2d(_ZeroPad):
    """Zeros around [channels, height, width]."""

    rank: ClassVar[int] = 2


class ZeroPad3d(_ZeroPad):
    """Zeros around [channels, depth, height, width]."""

    rank: ClassVar[int] = 3
