"""What modules are, asked by class."""

from torch import nn

_FROZEN_NORM = "torchvision.ops.misc.FrozenBatchNorm2d"
_NORMS = (nn.modules.batchnorm._NormBase, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm)
CONVOLUTION = nn.modules.conv._ConvNd
TRANSPOSED_CONVOLUTION = nn.modules.conv._ConvTransposeNd
_TRANSPOSED_LINEAR = "transformers.pytorch_utils.Conv1D"
_DEFORMABLE = "torchvision.ops.deform_conv.DeformConv2d"


def class_paths(module: nn.Module) -> list[str]:
    """The module's class and its bases by full name, the nearest first.

    Classes of other libraries are known by name: not every process has imported them.
    """
    return [f"{kind.__module__}.{kind.__qualname__}" for kind in type(module).__mro__]


def is_named(module: nn.Module, path: str) -> bool:
    """Isinstance, for a class of another library."""
    return path in class_paths(module)


def is_norm(module: nn.Module) -> bool:
    """Whether the module normalizes, so that its scale is 1 and its shift 0."""
    return isinstance(module, _NORMS) or is_named(module, _FROZEN_NORM)


def is_batch_norm(module: nn.Module) -> bool:
    """Whether the module divides by the deviation of each channel over the batch."""
    return isinstance(module, nn.modules.batchnorm._BatchNorm)


def is_convolution(module: nn.Module) -> bool:
    """A convolution of any rank, transposed or deformable ones included."""
    return isinstance(module, CONVOLUTION) or is_named(module, _DEFORMABLE)


def is_transposed_linear(module: nn.Module) -> bool:
    """A linear layer that stores its weight (fan_in, fan_out)."""
    return is_named(module, _TRANSPOSED_LINEAR)


def is_weight_layer(module: nn.Module) -> bool:
    """A layer whose output is linear in one weight."""
    return isinstance(module, nn.Linear) or is_convolution(module) or is_transposed_linear(module)


def type_name(module: nn.Module) -> str:
    """The name of the module's class, as users know it."""
    # torch's own name for the Linear layer in its attention, which differs from Linear in no value
    hidden = nn.modules.linear.NonDynamicallyQuantizableLinear
    return next(kind for kind in type(module).__mro__ if kind is not hidden).__name__
