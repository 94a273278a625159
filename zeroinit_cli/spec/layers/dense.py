"""Linear layers, tables, and layers that only change the shape."""

from typing import ClassVar, Literal

from pydantic import Field

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.fields import Epsilon, Probability, ShapeField, Size
from zeroinit_cli.spec.layers.base import (
    Layer,
    MismatchError,
    Resolved,
    SameShape,
    check_divisor,
    check_padding_row,
    count,
    encoder_block,
    index_of,
    raise_first,
)


class Linear(Layer):
    """A linear map of the last dimension."""

    shorthand: ClassVar[str | None] = "out_features"

    out_features: Size = Field(description="Features that it gives.")
    in_features: Size | None = Field(
        default=None, description="Features that it takes; inferred, checked where given."
    )
    bias: bool = Field(default=True, description="Add a vector.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        features = shape[-1]
        self.expects("features", self.in_features, features, key="in_features")
        counts = Counts(weights=features * self.out_features, vectors=self.out_features * self.bias)
        return self.result((*shape[:-1], self.out_features), counts, in_features=features)


class Embedding(Layer):
    """A table that integers look up: the first layer of a net on tokens."""

    num_embeddings: Size = Field(description="Rows: how many different integers there are.")
    embedding_dim: Size = Field(description="Features of a row.")
    padding_idx: int | None = Field(default=None, ge=0, description="A row that is 0 and stays so.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        raise_first(check_padding_row(self.padding_idx, self.num_embeddings))
        counts = Counts(weights=self.num_embeddings * self.embedding_dim)
        return self.result((*shape, self.embedding_dim), counts)


class TransformerEncoderLayer(Layer):
    """Self-attention and two linear layers, each with a skip and a norm, on [length, features]."""

    shorthand: ClassVar[str | None] = "nhead"

    nhead: Size = Field(description="Heads of attention; divides the features.")
    d_model: Size | None = Field(
        default=None, description="Features; inferred, checked where given."
    )
    dim_feedforward: Size = Field(default=2048, description="Features between the linear layers.")
    dropout: Probability = Field(default=0.1, description="Chance of each entry to be dropped.")
    activation: Literal["relu", "gelu"] = Field(
        default="relu", description="Between the linear layers."
    )
    layer_norm_eps: Epsilon = Field(default=1e-5, description="Added to the variance.")
    norm_first: bool = Field(default=False, description="Norms before attention, not after.")
    bias: bool = Field(default=True, description="Add vectors in linear layers and norms.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        self.needs_rank(shape, "length", "features")
        features = shape[-1]
        self.expects("features", self.d_model, features, key="d_model")
        problem = "the heads do not divide the features"
        raise_first(check_divisor(self.nhead, features, "nhead", problem))
        counts = encoder_block(features, self.dim_feedforward)
        if not self.bias:  # the scales of the two norms are left
            counts = Counts(weights=counts.weights, vectors=2 * features)
        return self.result(shape, counts, d_model=features, batch_first=True)


class Identity(SameShape):
    """Gives what it takes."""


class Flatten(Layer):
    """Makes one dimension of several."""

    start_dim: int = Field(default=1, ge=1, le=8, description="The first; 0 is the batch.")
    end_dim: int = Field(default=-1, ge=-8, le=8, description="The last; -1 is the very last.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        start, last = self.start_dim - 1, index_of(self.end_dim, shape)
        if not start <= last < len(shape):
            raise MismatchError(
                "no such dimensions",
                expected=f"1 <= start_dim <= end_dim < {len(shape) + 1}",
                found=f"start_dim {self.start_dim}, end_dim {self.end_dim} on {list(shape)}",
            )
        end = last + 1
        return self.result((*shape[:start], count(shape[start:end]), *shape[end:]))


class Unflatten(Layer):
    """Makes several dimensions of one."""

    unflattened_size: ShapeField = Field(description="The dimensions to make.")
    dim: int = Field(default=1, ge=1, le=8, description="The dimension to divide; 0 is the batch.")

    def resolve(self, shape: Shape) -> Resolved:
        """See `Layer.resolve`."""
        if self.dim > len(shape):
            expected = f"at most {len(shape)}"
            raise MismatchError(
                "no such dimension", key="dim", expected=expected, found=str(self.dim)
            )
        place, size = self.dim - 1, tuple(self.unflattened_size)
        if count(size) != shape[place]:
            raise MismatchError(
                f"Unflatten makes {count(size)} of a dimension of {shape[place]}",
                key="unflattened_size",
                expected=f"sizes whose product is {shape[place]}",
                found=str(list(size)),
            )
        return self.result((*shape[:place], *size, *shape[self.dim :]), unflattened_size=size)


LAYERS: tuple[type[Layer], ...] = (
    Linear,
    Embedding,
    TransformerEncoderLayer,
    Identity,
    Flatten,
    Unflatten,
)
