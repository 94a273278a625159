"""Convolutions and transposed convolutions of one to three dimensions."""

from typing import ClassVar

from pydantic import Field

from zeroinit_cli.spec.fields import Margins, Padding, Size, Windows
from zeroinit_cli.spec.layers.base import (
    Layer,
    MismatchError,
    Resolved,
    Shape,
    count,
    spread,
)

DIMENSIONS = {1: ("length",), 2: ("height", "width"), 3: ("depth", "height", "width")}
"""What the spatial dimensions are called."""


class _Convolution(Layer):
    rank: ClassVar[int]

    out_channels: Size = Field(description="Channels that it gives.")
    kernel_size: Windows = Field(description="Size of the window.")
    stride: Windows = Field(default=1, description="Steps of the window.")
    padding: Padding = Field(
        default=0, description="Zeros on each side; 'same' keeps the size, 'valid' is 0."
    )
    dilation: Windows = Field(default=1, description="Distance of the window's points.")
    groups: Size = Field(default=1, description="Parts of the channels that do not mix.")
    bias: bool = Field(default=True, description="Add a vector.")
    in_channels: Size | None = Field(
        default=None, description="Channels that it takes; inferred, checked where given."
    )

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        channels = _channels(self, shape, self.rank, self.in_channels)
        _check_groups(self, self.groups, channels, self.out_channels)
        kernel = spread(self.kernel_size, self.rank, self, "kernel_size")
        stride = spread(self.stride, self.rank, self, "stride")
        dilation = spread(self.dilation, self.rank, self, "dilation")
        if self.padding == "same":
            if any(step > 1 for step in stride):
                raise MismatchError(
                    "padding 'same' with a stride",
                    key="padding",
                    expected="numbers, or stride 1",
                    found=f"stride {self.stride}",
                )
            spatial = shape[1:]
        else:
            given = 0 if isinstance(self.padding, str) else self.padding
            padding = spread(given, self.rank, self, "padding")
            spatial = window_output(self, shape[1:], kernel, stride, padding, dilation)
        return Resolved(
            arguments=self.given(in_channels=channels),
            output=(self.out_channels, *spatial),
            weights=self.out_channels * (channels // self.groups) * count(kernel),
            vectors=self.out_channels * self.bias,
        )


class Conv1d(_Convolution):
    """A convolution over [channels, length]."""

    rank: ClassVar[int] = 1


class Conv2d(_Convolution):
    """A convolution over [channels, height, width]."""

    rank: ClassVar[int] = 2


class Conv3d(_Convolution):
    """A convolution over [channels, depth, height, width]."""

    rank: ClassVar[int] = 3


class _TransposedConvolution(Layer):
    rank: ClassVar[int]

    out_channels: Size = Field(description="Channels that it gives.")
    kernel_size: Windows = Field(description="Size of the window.")
    stride: Windows = Field(default=1, description="How many times larger the output is.")
    padding: Margins = Field(default=0, description="Taken off the output on each side.")
    output_padding: Margins = Field(default=0, description="Added to one side of the output.")
    groups: Size = Field(default=1, description="Parts of the channels that do not mix.")
    bias: bool = Field(default=True, description="Add a vector.")
    dilation: Windows = Field(default=1, description="Distance of the window's points.")
    in_channels: Size | None = Field(
        default=None, description="Channels that it takes; inferred, checked where given."
    )

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        channels = _channels(self, shape, self.rank, self.in_channels)
        _check_groups(self, self.groups, channels, self.out_channels)
        kernel = spread(self.kernel_size, self.rank, self, "kernel_size")
        stride = spread(self.stride, self.rank, self, "stride")
        padding = spread(self.padding, self.rank, self, "padding")
        extra = spread(self.output_padding, self.rank, self, "output_padding")
        dilation = spread(self.dilation, self.rank, self, "dilation")
        rows = list(zip(shape[1:], kernel, stride, padding, extra, dilation, strict=True))
        if any(more >= max(step, apart) for _, _, step, _, more, apart in rows):
            raise MismatchError(
                "output_padding is as large as the stride",
                key="output_padding",
                expected="less than stride or dilation",
                found=str(self.output_padding),
            )
        spatial = tuple(
            (size - 1) * step - 2 * less + apart * (window - 1) + more + 1
            for size, window, step, less, more, apart in rows
        )
        if min(spatial) < 1:
            raise _empty(self, shape[1:], spatial)
        return Resolved(
            arguments=self.given(in_channels=channels),
            output=(self.out_channels, *spatial),
            weights=channels * (self.out_channels // self.groups) * count(kernel),
            vectors=self.out_channels * self.bias,
        )


class ConvTranspose1d(_TransposedConvolution):
    """A transposed convolution over [channels, length]."""

    rank: ClassVar[int] = 1


class ConvTranspose2d(_TransposedConvolution):
    """A transposed convolution over [channels, height, width]."""

    rank: ClassVar[int] = 2


class ConvTranspose3d(_TransposedConvolution):
    """A transposed convolution over [channels, depth, height, width]."""

    rank: ClassVar[int] = 3


def window_output(
    layer: Layer,
    sizes: Shape,
    kernel: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    *,
    ceil_mode: bool = False,
) -> Shape:
    """Sizes after a window has moved over each dimension, as torch counts them.

    Raises:
        MismatchError: the window is larger than a dimension.
    """
    output = []
    rows = zip(sizes, kernel, stride, padding, dilation, strict=True)
    for size, window, step, more, apart in rows:
        room = size + 2 * more - apart * (window - 1) - 1
        steps = -(-room // step) if ceil_mode else room // step
        if ceil_mode and steps * step >= size + more:  # a window must begin inside
            steps -= 1
        output.append(steps + 1 if room >= 0 else 0)
    if min(output) < 1:
        raise _empty(layer, sizes, tuple(output))
    return tuple(output)


def _empty(layer: Layer, sizes: Shape, output: Shape) -> MismatchError:
    names = ", ".join(DIMENSIONS[len(sizes)])
    return MismatchError(
        f"nothing is left behind {layer.kind}",
        expected=f"an output of at least 1 in each of {names}",
        found=f"{list(sizes)} becomes {[max(size, 0) for size in output]}",
    )


def _channels(layer: Layer, shape: Shape, rank: int, declared: int | None) -> int:
    layer.needs_rank(shape, "channels", *DIMENSIONS[rank])
    layer.expects("channels", declared, shape[0], key="in_channels")
    return shape[0]


def _check_groups(layer: Layer, groups: int, channels: int, out_channels: int) -> None:
    for size, what in ((channels, "that it gets"), (out_channels, "that it gives")):
        if size % groups:
            raise MismatchError(
                f"the groups do not divide the channels {what}",
                key="groups",
                expected=f"a divisor of {size}",
                found=str(groups),
            )
