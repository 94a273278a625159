"""Activations and dropout. None has `inplace`: it would change what a skip has kept."""

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.fields import Number, Probability, Size
from zeroinit_cli.spec.layers.base import (
    Layer,
    MismatchError,
    Resolved,
    SameShape,
    SpatialLayer,
    in_each_rank,
    index_of,
    variant,
)


class LeakyReLU(SameShape):
    """x above 0, a little of x below."""

    shorthand: ClassVar[str | None] = "negative_slope"

    negative_slope: Number = Field(default=0.01, description="Slope below 0.")


class PReLU(Layer):
    """LeakyReLU with a slope that is learned."""

    num_parameters: Size = Field(default=1, description="Slopes: 1, or one for each channel.")
    init: Number = Field(default=0.25, description="The slope at the start; ZerO keeps it.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        if self.num_parameters not in (1, shape[0]):
            raise MismatchError(
                f"PReLU has {self.num_parameters} slopes for {shape[0]} channels",
                key="num_parameters",
                expected=f"1 or {shape[0]}",
                found=str(self.num_parameters),
            )
        return self.result(shape, Counts(vectors=self.num_parameters))


class ELU(SameShape):
    """x above 0, alpha (exp(x) - 1) below."""

    alpha: Number = Field(default=1.0, description="Where it ends below.")


class CELU(SameShape):
    """ELU whose slope has no step."""

    alpha: Annotated[float, Field(gt=0, le=1e6)] = Field(
        default=1.0, description="Where it ends below."
    )


class GELU(SameShape):
    """x times the normal distribution's function at x."""

    approximate: Literal["none", "tanh"] = Field(default="none", description="How it is computed.")


class Hardtanh(SameShape):
    """x between two bounds."""

    min_val: Number = Field(default=-1.0, description="The lower bound.")
    max_val: Number = Field(default=1.0, description="The upper bound.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        if self.min_val >= self.max_val:
            raise MismatchError(
                "the bounds are in the wrong order",
                key="min_val",
                expected=f"less than max_val {self.max_val}",
                found=str(self.min_val),
            )
        return self.result(shape)


class Softplus(SameShape):
    """A smooth ReLU."""

    beta: Number = Field(default=1.0, description="How sharp it bends.")
    threshold: Number = Field(default=20.0, description="Above it, x itself.")


class Hardshrink(SameShape):
    """0 near 0, x elsewhere."""

    lambd: Number = Field(default=0.5, description="How near.")


class Softshrink(SameShape):
    """0 near 0, x drawn nearer elsewhere."""

    lambd: Number = Field(default=0.5, ge=0, description="How near.")


class _AlongDimension(Layer):
    dim: int = Field(default=-1, ge=-8, le=8, description="Along which; 0 is the batch.")

    def index(self, shape: Shape) -> int:
        """Return the index of the dimension in the shape.

        Raises:
            MismatchError: there is no such dimension.
        """
        index = index_of(self.dim, shape)
        if not 0 <= index < len(shape):
            raise MismatchError(
                f"{self.kind} along no dimension of {list(shape)}",
                key="dim",
                expected=f"1 to {len(shape)}, or {-len(shape)} to -1",
                found=str(self.dim),
            )
        return index

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.index(shape)
        return self.result(shape)


class GLU(_AlongDimension):
    """One half of a dimension times the sigmoid of the other."""

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        index = self.index(shape)
        if shape[index] % 2:
            raise MismatchError(
                "GLU halves an odd dimension",
                key="dim",
                expected="a dimension of even size",
                found=f"{shape[index]} of {list(shape)}",
            )
        half = (*shape[:index], shape[index] // 2, *shape[index + 1 :])
        return self.result(half)


class Dropout(SameShape):
    """Drops entries while training."""

    shorthand: ClassVar[str | None] = "p"

    p: Probability = Field(default=0.5, description="Chance of each to be dropped.")


class _ChannelDropout(Dropout, SpatialLayer):
    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_space(shape)
        return self.result(shape)


LAYERS: tuple[type[Layer], ...] = (
    variant(SameShape, "ReLU", "max(x, 0)."),
    variant(SameShape, "ReLU6", "min(max(x, 0), 6)."),
    LeakyReLU,
    PReLU,
    ELU,
    CELU,
    variant(SameShape, "SELU", "ELU scaled to keep mean and variance."),
    GELU,
    variant(SameShape, "SiLU", "x sigmoid(x)."),
    variant(SameShape, "Mish", "x tanh(softplus(x))."),
    variant(SameShape, "Hardswish", "SiLU of straight lines."),
    variant(SameShape, "Hardsigmoid", "Sigmoid of straight lines."),
    Hardtanh,
    variant(SameShape, "Sigmoid", "1 / (1 + exp(-x))."),
    variant(SameShape, "LogSigmoid", "The logarithm of Sigmoid."),
    variant(SameShape, "Tanh", "The hyperbolic tangent."),
    variant(SameShape, "Tanhshrink", "x - tanh(x)."),
    Softplus,
    variant(SameShape, "Softsign", "x / (1 + |x|)."),
    Hardshrink,
    Softshrink,
    variant(_AlongDimension, "Softmax", "Shares of 1 along a dimension."),
    variant(_AlongDimension, "LogSoftmax", "The logarithm of Softmax."),
    GLU,
    Dropout,
    variant(Dropout, "AlphaDropout", "Dropout that keeps mean and variance, for SELU."),
    *in_each_rank(_ChannelDropout, "Dropout", "Drops whole channels of {}."),
)
