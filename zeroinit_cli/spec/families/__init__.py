"""Families: architectures by a few numbers."""

from zeroinit_cli.spec.families.base import Family, LayeredFamily
from zeroinit_cli.spec.families.plain import CNN, MLP
from zeroinit_cli.spec.families.resnet import ResNet
from zeroinit_cli.spec.families.transformers import GPT, Encoder, ViT

FAMILIES: dict[str, type[Family] | type[LayeredFamily]] = {
    "mlp": MLP,
    "cnn": CNN,
    "resnet": ResNet,
    "vit": ViT,
    "gpt": GPT,
    "encoder": Encoder,
}
"""Key under `model` -> the fields of that family."""
