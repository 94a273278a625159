"""Layers that change the spatial size without a window: upsampling, padding, pixel shuffles."""

import math
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zeroinit_cli.spec.blueprint import Shape
from zeroinit_cli.spec.fields import Margins, Sizes, Windows
from zeroinit_cli.spec.layers.base import (
    DIMENSIONS,
    Layer,
    MismatchError,
    Resolved,
    SpatialLayer,
    bracketed,
    in_each_rank,
)

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
                expected=bracketed(("channels", *dimensions)),
                found=str(list(shape)),
            )
        if (self.size is None) == (self.scale_factor is None):
            raise MismatchError("Upsample needs either scale_factor or size")
        if self.align_corners is not None and self.mode == "nearest":
            raise MismatchError(
                "nearest has no corners to align", key="align_corners", expected="another mode"
            )
        if self.size is not None:
            spatial = self.spread("size", rank)
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
        return self.result((shape[0], *spatial))


class PixelShuffle(Layer):
    """Spreads channels over a finer grid: [c r r, h, w] becomes [c, h r, w r]."""

    shorthand: ClassVar[str | None] = "upscale_factor"

    upscale_factor: Windows = Field(description="r.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", "height", "width")
        [factor] = self.spread("upscale_factor", 1)
        if shape[0] % factor**2:
            raise MismatchError(
                f"PixelShuffle by {factor} gets {shape[0]} channels",
                key="upscale_factor",
                expected=f"a number whose square divides {shape[0]}",
                found=str(factor),
            )
        channels, height, width = shape
        output = (channels // factor**2, height * factor, width * factor)
        return self.result(output, upscale_factor=factor)


class PixelUnshuffle(Layer):
    """Gathers a grid in channels: [c, h r, w r] becomes [c r r, h, w]."""

    shorthand: ClassVar[str | None] = "downscale_factor"

    downscale_factor: Windows = Field(description="r.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "channels", "height", "width")
        [factor] = self.spread("downscale_factor", 1)
        channels, height, width = shape
        if height % factor or width % factor:
            raise MismatchError(
                f"PixelUnshuffle by {factor} gets {height} x {width}",
                key="downscale_factor",
                expected=f"a divisor of {height} and {width}",
                found=str(factor),
            )
        output = (channels * factor**2, height // factor, width // factor)
        return self.result(output, downscale_factor=factor)


class _ZeroPad(SpatialLayer):
    shorthand: ClassVar[str | None] = "padding"

    padding: Margins = Field(description="On every side, or [left, right, top, bottom, ...].")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_space(shape)
        sides = self.spread("padding", 2 * self.rank)
        # torch names the last dimension first
        added = [sides[2 * place] + sides[2 * place + 1] for place in range(self.rank)]
        spatial = tuple(size + more for size, more in zip(shape[1:], added[::-1], strict=True))
        return self.result((shape[0], *spatial))


LAYERS: tuple[type[Layer], ...] = (
    Upsample,
    PixelShuffle,
    PixelUnshuffle,
    *in_each_rank(_ZeroPad, "ZeroPad", "Zeros around {}."),
)
