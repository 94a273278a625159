"""Transformers: vision, decoder-only and encoder."""

from collections.abc import Iterator
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from zeroinit_cli.spec.blueprint import Counts, Shape
from zeroinit_cli.spec.families.base import Family
from zeroinit_cli.spec.fields import (
    MOST_WINDOW,
    Activation,
    BlockCount,
    Epsilon,
    Number,
    Probability,
    Size,
)
from zeroinit_cli.spec.layers.base import (
    MismatchError,
    check_divisor,
    check_padding_row,
    encoder_block,
)

_HEADS = "the heads do not divide the width"
_MODULES = 16  # in a block, roughly


class ViT(Family):
    """A vision transformer (arXiv:2010.11929): torchvision's, so with its names and attention."""

    input_names: ClassVar[tuple[str, ...]] = ("channels", "height", "width")

    patch_size: Annotated[int, Field(ge=1, le=MOST_WINDOW)] = Field(
        description="Height and width of a patch; divides those of the input."
    )
    num_layers: BlockCount = Field(description="Blocks.")
    num_heads: Size = Field(description="Heads of attention; divides hidden_dim.")
    hidden_dim: Size = Field(description="Features of a patch.")
    num_classes: Size = Field(description="Features that it gives.")
    mlp_dim: Size | None = Field(
        default=None, description="Features within each block's MLP; 4 hidden_dim by default."
    )
    dropout: Probability = Field(default=0.0, description="Behind positions and layers.")
    attention_dropout: Probability = Field(default=0.0, description="Of attention's weights.")

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """See `Family.mismatches`."""
        _, height, width = shape
        yield from check_divisor(self.num_heads, self.hidden_dim, "num_heads", _HEADS)
        if height != width:
            yield MismatchError(
                "vit needs a square input", expected="height = width", found=str(list(shape))
            )
        else:
            problem = "the patches do not divide the input"
            yield from check_divisor(self.patch_size, height, "patch_size", problem)

    def outputs(self, shape: Shape) -> tuple[Shape, ...]:
        """See `Family.outputs`."""
        return ((self.num_classes,),)

    def counts(self, shape: Shape) -> Counts:
        """See `Family.counts`."""
        channels, height, width = shape
        hidden = self.hidden_dim
        block = encoder_block(hidden, self.mlp_dim or 4 * hidden)
        positions = (height // self.patch_size) * (width // self.patch_size) + 1
        # the class token, the patches' biases, the positions, the last norm; the head's biases
        vectors = hidden * (1 + 1 + positions + 2) + self.num_classes
        return Counts(
            weights=channels * self.patch_size**2 * hidden
            + self.num_layers * block.weights
            + hidden * self.num_classes,
            vectors=vectors + self.num_layers * block.vectors,
            layers=_MODULES * self.num_layers,
        )


class _TokenFamily(Family):
    """A transformer over tokens."""

    input_names: ClassVar[tuple[str, ...]] = ("length",)

    vocab_size: Size = Field(description="Different tokens.")
    max_seq_len: Size = Field(description="Tokens in the longest sequence.")
    num_layers: BlockCount = Field(description="Blocks.")
    num_heads: Size = Field(description="Heads of attention.")
    hidden_dim: Size = Field(description="Features of a token.")

    def default_input(self) -> Shape:
        """See `Family.default_input`."""
        return (self.max_seq_len,)

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """See `Family.mismatches`."""
        if shape[0] > self.max_seq_len:
            yield MismatchError(
                "the input is longer than max_seq_len",
                key="max_seq_len",
                expected=f"at least {shape[0]}",
                found=str(self.max_seq_len),
            )


class GPT(_TokenFamily):
    """A decoder-only transformer: GPT-2, Llama and what lies between."""

    num_kv_heads: Size | None = Field(
        default=None, description="Heads of keys and values; num_heads by default."
    )
    head_dim: Size | None = Field(
        default=None, description="Features of a head; hidden_dim / num_heads by default."
    )
    mlp_dim: Size | None = Field(
        default=None, description="Features within each block's MLP; 4 hidden_dim by default."
    )
    gated: bool = Field(
        default=False, description="down(activation(gate(x)) * up(x)) in place of two layers."
    )
    activation: Activation = Field(default="GELU", description="Within each block's MLP.")
    norm: Literal["LayerNorm", "RMSNorm"] = Field(
        default="LayerNorm", description="Before attention, before the MLP, and at the end."
    )
    norm_eps: Epsilon = Field(default=1e-5, description="Added to variance or mean square.")
    positions: Literal["learned", "rotary"] = Field(
        default="learned", description="A table that is added, or a rotation of queries and keys."
    )
    rope_theta: Annotated[Number, Field(gt=1)] = Field(
        default=10_000.0, description="For rotary: base of the wavelengths."
    )
    bias: bool = Field(default=True, description="Add vectors in linear layers and LayerNorm.")
    tie_head: bool = Field(default=True, description="One table for tokens in and out.")
    dropout: Probability = Field(default=0.0, description="Of attention, branches and tokens.")

    def head_features(self) -> int:
        """Return the features of a head."""
        return self.head_dim or self.hidden_dim // self.num_heads

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """See `Family.mismatches`."""
        yield from super().mismatches(shape)
        if self.head_dim is None:
            yield from check_divisor(self.num_heads, self.hidden_dim, "num_heads", _HEADS)
        if self.num_kv_heads is not None:
            problem = "the heads of keys and values do not divide the heads"
            yield from check_divisor(self.num_kv_heads, self.num_heads, "num_kv_heads", problem)
        if self.positions == "rotary" and self.head_features() % 2:
            yield MismatchError(
                "rotary positions turn pairs of features",
                key="positions",
                expected="an even number of features in a head",
                found=str(self.head_features()),
            )

    def outputs(self, shape: Shape) -> tuple[Shape, ...]:
        """See `Family.outputs`."""
        return ((*shape, self.vocab_size),)

    def counts(self, shape: Shape) -> Counts:
        """See `Family.counts`."""
        hidden, inner = self.hidden_dim, self.mlp_dim or 4 * self.hidden_dim
        queries = self.num_heads * self.head_features()
        keys = (self.num_kv_heads or self.num_heads) * self.head_features()
        norm = hidden * (2 if self.norm == "LayerNorm" and self.bias else 1)
        up = inner * (2 if self.gated else 1)
        block = hidden * (2 * queries + 2 * keys) + hidden * (up + inner)
        biases = (queries + 2 * keys + hidden + up + hidden) * self.bias
        tables = self.vocab_size * (1 if self.tie_head else 2)
        learned = self.positions == "learned"
        rotations = 0 if learned else self.max_seq_len * self.head_features()
        return Counts(
            weights=hidden * (tables + self.max_seq_len * learned) + self.num_layers * block,
            vectors=norm + self.num_layers * (2 * norm + biases),
            buffers=rotations,
            layers=_MODULES * self.num_layers,
        )


class Encoder(_TokenFamily):
    """A transformer encoder over tokens: BERT and its kin."""

    num_heads: Size = Field(description="Heads of attention; divides hidden_dim.")
    num_segments: Annotated[int, Field(ge=0, le=1000)] = Field(
        default=2, description="Kinds of segments, with a table; 0: no table."
    )
    mlp_dim: Size | None = Field(
        default=None, description="Features within each block's MLP; 4 hidden_dim by default."
    )
    activation: Activation = Field(default="GELU", description="Within each block's MLP.")
    norm_eps: Epsilon = Field(default=1e-12, description="Added to the variance.")
    norm_first: bool = Field(
        default=False, description="Norms before attention and MLP, and one at the end."
    )
    padding_idx: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="The token that fills up; its row is 0 and stays so."
    )
    pooler: bool = Field(
        default=True, description="Linear and tanh on the first token, beside the sequence."
    )
    num_classes: Size | None = Field(
        default=None, description="Classify by the first token, in place of both."
    )
    dropout: Probability = Field(default=0.1, description="Of attention, branches and tokens.")

    def mismatches(self, shape: Shape) -> Iterator[MismatchError]:
        """See `Family.mismatches`."""
        yield from super().mismatches(shape)
        yield from check_divisor(self.num_heads, self.hidden_dim, "num_heads", _HEADS)
        yield from check_padding_row(self.padding_idx, self.vocab_size)

    def outputs(self, shape: Shape) -> tuple[Shape, ...]:
        """See `Family.outputs`."""
        if self.num_classes is not None:
            return ((self.num_classes,),)
        tokens = (*shape, self.hidden_dim)
        return (tokens, (self.hidden_dim,)) if self.pooler else (tokens,)

    def counts(self, shape: Shape) -> Counts:
        """See `Family.counts`."""
        hidden = self.hidden_dim
        block = encoder_block(hidden, self.mlp_dim or 4 * hidden)
        rows = self.vocab_size + self.max_seq_len + self.num_segments
        heads = hidden * self.pooler + (self.num_classes or 0)  # outputs of the linear layers
        norms = 2 * hidden * (1 + self.norm_first)
        return Counts(
            weights=hidden * (rows + heads) + self.num_layers * block.weights,
            vectors=norms + heads + self.num_layers * block.vectors,
            layers=_MODULES * self.num_layers,
        )
