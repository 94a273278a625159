"""Residual nets (arXiv:1512.03385), in their form for ImageNet and for CIFAR."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.families.base import Family
from zeroinit_cli.spec.fields import BlockCount, Size
from zeroinit_cli.spec.layers.base import MismatchError, check_divisor

_BASE_WIDTH = 64


class ResNet(Family):
    """A residual net; its parameters have the names that torchvision gives them."""

    input_names: ClassVar[tuple[str, ...]] = ("channels", "height", "width")

    block: Literal["BasicBlock", "Bottleneck"] = Field(
        description="Two 3 x 3 convolutions, or 1 x 1, 3 x 3 and 1 x 1."
    )
    layers: Annotated[list[BlockCount], Field(min_length=1, max_length=8)] = Field(
        description="Blocks of each stage; each but the first halves height and width."
    )
    num_classes: Size = Field(description="Features that it gives.")
    stem: Literal["imagenet", "cifar"] = Field(
        default="imagenet",
        description="A 7 x 7 convolution of stride 2 and a pool, or a 3 x 3 convolution.",
    )
    width: Size = Field(
        default=64, description="Channels of the first stage; they double in each other."
    )
    norm: Literal["BatchNorm2d", "GroupNorm", "none"] = Field(
        default="BatchNorm2d", description="Behind each convolution; without, they have biases."
    )
    norm_groups: Size = Field(default=32, description="For GroupNorm: groups of channels.")
    shortcut: Literal["projection", "padding"] = Field(
        default="projection",
        description="Where shapes change: a 1 x 1 convolution, or channels of zeros (option A).",
    )
    groups: Size = Field(default=1, description="For Bottleneck: groups of 3 x 3 convolutions.")
    width_per_group: Size = Field(
        default=_BASE_WIDTH, description="For Bottleneck: channels of a group for width 64."
    )

    @property
    def expansion(self) -> int:
        """Output channels of a block, as a multiple of its stage's channels."""
        return 4 if self.block == "Bottleneck" else 1

    def stage_channels(self) -> list[int]:
        """Return the channels of each stage, before expansion."""
        return [self.width * 2**stage for stage in range(len(self.layers))]

    def inner_channels(self, channels: int) -> int:
        """Return the channels of a block's inner convolutions."""
        if self.block == "BasicBlock":
            return channels
        return channels * self.width_per_group // _BASE_WIDTH * self.groups

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """See `Family.mismatches`."""
        if self.block == "BasicBlock":
            for key, default in (("groups", 1), ("width_per_group", _BASE_WIDTH)):
                if getattr(self, key) != default:
                    yield MismatchError(
                        f"BasicBlock has no {key}",
                        key=key,
                        expected=f"{default}, or block: Bottleneck",
                        found=str(getattr(self, key)),
                    )
        inner = self.inner_channels(self.width)
        if inner < 1:
            yield MismatchError(
                "no channels are left in a block", key="width_per_group", expected="a larger number"
            )
        if self.norm == "GroupNorm":
            smallest = min(self.width, inner)
            for size in sorted({self.width, inner} if smallest else {self.width}):
                problem = "norm_groups do not divide the channels"
                yield from check_divisor(self.norm_groups, size, "norm_groups", problem)

    def outputs(self, shape: Shape) -> tuple[Shape, ...]:
        """See `Family.outputs`."""
        return ((self.num_classes,),)

    def counts(self, shape: Shape) -> Counts:
        """See `Family.counts`."""
        kernel = 49 if self.stem == "imagenet" else 9
        weights, vectors = shape[0] * self.width * kernel, self._vectors(self.width)
        channels = self.width
        for stage, (planes, blocks) in enumerate(
            zip(self.stage_channels(), self.layers, strict=True)
        ):
            inner, output = self.inner_channels(planes), planes * self.expansion
            for block_input, times in ((channels, 1), (output, blocks - 1)):
                weights += times * self._block_weights(block_input, inner, output)
                norms = [inner, inner, output] if self.expansion > 1 else [inner, output]
                vectors += times * sum(map(self._vectors, norms))
            if self.shortcut == "projection" and (stage > 0 or channels != output):
                weights += channels * output
                vectors += self._vectors(output)
            channels = output
        weights += channels * self.num_classes
        vectors += self.num_classes
        return Counts(weights=weights, vectors=vectors, layers=8 * sum(self.layers))

    def _block_weights(self, block_input: int, inner: int, output: int) -> int:
        if self.block == "BasicBlock":
            return 9 * (block_input * inner + inner * output)
        return block_input * inner + 9 * inner * inner // self.groups + inner * output

    def _vectors(self, channels: int) -> int:
        """Count the parameters of a norm, or of the biases in its place."""
        return channels if self.norm == "none" else 2 * channels
