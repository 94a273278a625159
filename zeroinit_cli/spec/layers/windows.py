"""Layers that move a window over the input: convolutions, transposed convolutions, pools."""

from typing import ClassVar

from pydantic import Field

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.fields import Margins, Padding, Size, Sizes, Windows
from zeroinit_cli.spec.layers.base import (
    DIMENSIONS,
    Layer,
    MismatchError,
    Resolved,
    SpatialLayer,
    check_divisor,
    count,
    in_each_rank,
    raise_first,
)


class _Convolution(SpatialLayer):
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
        channels = _checked_channels(self, shape)
        kernel, stride, dilation = map(self.along, ("kernel_size", "stride", "dilation"))
        if self.padding != "same":
            padding = (0,) * self.rank if self.padding == "valid" else self.along("padding")
            spatial = window_output(self, shape[1:], kernel, stride, padding, dilation)
            return _convolved(self, channels, spatial)
        if max(stride) > 1:
            raise MismatchError(
                "padding 'same' with a stride",
                key="padding",
                expected="numbers, or stride 1",
                found=f"stride {self.stride}",
            )
        return _convolved(self, channels, shape[1:])


class _TransposedConvolution(SpatialLayer):
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
        channels = _checked_channels(self, shape)
        keys = ("kernel_size", "stride", "padding", "output_padding", "dilation")
        rows = list(zip(shape[1:], *map(self.along, keys), strict=True))
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
        return _convolved(self, channels, spatial)


def _checked_channels(layer: _Convolution | _TransposedConvolution, shape: Shape) -> int:
    """Return the channels of an input, checked against those declared and the groups."""
    layer.needs_space(shape)
    layer.expects("channels", layer.in_channels, shape[0], key="in_channels")
    for size, direction in ((shape[0], "gets"), (layer.out_channels, "gives")):
        problem = f"the groups do not divide the channels that it {direction}"
        raise_first(check_divisor(layer.groups, size, "groups", problem))
    return shape[0]


def _convolved(
    layer: _Convolution | _TransposedConvolution, channels: int, spatial: Shape
) -> Resolved:
    """Return the result for the input's channels and the output's spatial sizes."""
    window = count(layer.along("kernel_size"))
    counts = Counts(
        weights=channels * layer.out_channels // layer.groups * window,
        vectors=layer.out_channels * layer.bias,
    )
    return layer.result((layer.out_channels, *spatial), counts, in_channels=channels)


CONVOLUTIONS: tuple[type[Layer], ...] = (
    *in_each_rank(_Convolution, "Conv", "A convolution over {}."),
    *in_each_rank(_TransposedConvolution, "ConvTranspose", "A transposed convolution over {}."),
)


class _Pool(SpatialLayer):
    shorthand: ClassVar[str | None] = "kernel_size"

    kernel_size: Windows = Field(description="Size of the window.")
    stride: Windows | None = Field(
        default=None, description="Steps of the window; its size by default."
    )
    padding: Margins = Field(default=0, description="Added on each side.")
    ceil_mode: bool = Field(default=False, description="Let the last window hang over the end.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_space(shape)
        kernel = self.along("kernel_size")
        stride = kernel if self.stride is None else self.along("stride")
        padding = self.along("padding")
        if any(more * 2 > window for more, window in zip(padding, kernel, strict=True)):
            raise MismatchError(
                "more padding than half the window",
                key="padding",
                expected=f"at most half of kernel_size {self.kernel_size}",
                found=str(self.padding),
            )
        spatial = window_output(
            self, shape[1:], kernel, stride, padding, self._dilation(), ceil_mode=self.ceil_mode
        )
        return self.result((shape[0], *spatial))

    def _dilation(self) -> Shape:
        return (1,) * self.rank


class _MaxPool(_Pool):
    dilation: Windows = Field(default=1, description="Distance of the window's points.")

    def _dilation(self) -> Shape:
        return self.along("dilation")


class _AvgPool(_Pool):
    count_include_pad: bool = Field(default=True, description="Let padding count as zeros.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        resolved = super().resolve(shape)
        windows = zip(self.along("kernel_size"), shape[1:], strict=True)
        if self.rank == 3 and any(window > size for window, size in windows):
            # only AvgPool3d of torch has this limit
            raise MismatchError(
                "AvgPool3d has a window larger than what it gets",
                key="kernel_size",
                expected=f"at most {list(shape[1:])}, padding not counted",
                found=str(self.kernel_size),
            )
        return resolved


class _AdaptivePool(SpatialLayer):
    shorthand: ClassVar[str | None] = "output_size"

    output_size: Sizes = Field(description="Size that it gives, whatever it takes.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_space(shape)
        return self.result((shape[0], *self.along("output_size")))


POOLS: tuple[type[Layer], ...] = (
    *in_each_rank(_MaxPool, "MaxPool", "The largest entry of each window over {}."),
    *in_each_rank(_AvgPool, "AvgPool", "The mean of each window over {}."),
    *in_each_rank(_AdaptivePool, "AdaptiveAvgPool", "Means over {}, to a size."),
    *in_each_rank(_AdaptivePool, "AdaptiveMaxPool", "Largest entries over {}, to a size."),
)


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
    """Return the sizes after a window has moved over each dimension, as torch counts them.

    Source:
        The formulas of torch.nn.Conv2d and torch.nn.MaxPool2d.

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
