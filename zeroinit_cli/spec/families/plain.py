"""Plain nets, short forms of `layers`: multilayer perceptrons and convolutional nets."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from zeroinit_cli.spec.blueprint import Shape
from zeroinit_cli.spec.families.base import LayeredFamily
from zeroinit_cli.spec.fields import MOST_WINDOW, Activation, Probability, Size

Window = Annotated[int, Field(ge=1, le=MOST_WINDOW)]
Stage = Annotated[list[Size], Field(min_length=1, max_length=1000)]


class MLP(LayeredFamily):
    """Linear layers with activations between; an input of several dimensions is flattened."""

    hidden_features: Annotated[list[Size], Field(max_length=1000)] = Field(
        description="Features of each hidden layer, first to last."
    )
    out_features: Size = Field(description="Features that it gives.")
    activation: Activation = Field(default="ReLU", description="Behind each hidden layer.")
    norm: Literal["none", "BatchNorm1d", "LayerNorm"] = Field(
        default="none", description="Before each activation."
    )
    bias: bool = Field(default=True, description="Add vectors in linear layers.")
    dropout: Probability = Field(default=0.0, description="Behind each activation.")

    def as_layers(self, shape: Shape) -> list[dict[str, Any]]:
        """See `LayeredFamily.as_layers`."""
        layers: list[dict[str, Any]] = [{"Flatten": {}}] if len(shape) > 1 else []
        for features in self.hidden_features:
            layers.append({"Linear": {"out_features": features, "bias": self.bias}})
            layers += _norm(self.norm)
            layers.append(_activation(self.activation))
            layers += [{"Dropout": self.dropout}] if self.dropout else []
        return [*layers, {"Linear": {"out_features": self.out_features, "bias": self.bias}}]


class CNN(LayeredFamily):
    """Convolutions in stages with a pool behind each, then linear layers."""

    input_names: ClassVar[tuple[str, ...] | None] = ("channels", "height", "width")

    stages: Annotated[list[Stage], Field(min_length=1, max_length=100)] = Field(
        description="For each stage the channels of its convolutions."
    )
    num_classes: Size = Field(description="Features that it gives.")
    kernel_size: Window = Field(default=3, description="Of every convolution.")
    padding: Literal["same", "valid"] = Field(
        default="same", description="Zeros around every convolution's input, or none."
    )
    norm: Literal["none", "BatchNorm2d", "InstanceNorm2d"] = Field(
        default="none", description="Before each activation of a convolution."
    )
    activation: Activation = Field(default="ReLU", description="Behind each layer but the last.")
    pool: Literal["MaxPool2d", "AvgPool2d", "none"] = Field(
        default="MaxPool2d", description="Behind each stage."
    )
    pool_size: Window = Field(default=2, description="Window and stride of the pools.")
    global_pool: bool = Field(
        default=False, description="Take the mean over height and width before linear layers."
    )
    hidden_features: Annotated[list[Size], Field(max_length=1000)] = Field(
        default=[], description="Features of hidden linear layers before the last."
    )
    bias: bool = Field(default=True, description="Add vectors in convolutions and linear layers.")
    dropout: Probability = Field(default=0.0, description="Behind hidden linear layers.")

    def as_layers(self, shape: Shape) -> list[dict[str, Any]]:
        """See `LayeredFamily.as_layers`."""
        layers: list[dict[str, Any]] = []
        for stage in self.stages:
            for channels in stage:
                convolution = {
                    "out_channels": channels,
                    "kernel_size": self.kernel_size,
                    "padding": self.padding,
                    "bias": self.bias,
                }
                layers.append({"Conv2d": convolution})
                layers += _norm(self.norm)
                layers.append(_activation(self.activation))
            layers += [] if self.pool == "none" else [{self.pool: self.pool_size}]
        layers += [{"AdaptiveAvgPool2d": 1}] if self.global_pool else []
        head = MLP(
            hidden_features=self.hidden_features,
            out_features=self.num_classes,
            activation=self.activation,
            bias=self.bias,
            dropout=self.dropout,
        )
        return layers + head.as_layers((1, 1, 1))


def _norm(kind: str) -> list[dict[str, Any]]:
    return [] if kind == "none" else [{kind: {}}]


def _activation(activation: str) -> dict[str, Any]:
    """Write an activation as a layer."""
    if activation == "GELU(tanh)":
        return {"GELU": {"approximate": "tanh"}}
    return {activation: {}}
