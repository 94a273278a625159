"""What functions of torch do to the values that a run adds, by their names."""

from collections.abc import Sequence

from tests.outside.flow import ADDS, PART, Step

PARTS = {PART, "__getitem__", "select", "narrow"}
VIEWS = PARTS | {
    "view", "reshape", "permute", "transpose", "contiguous", "to", "type", "float", "half",
    "bfloat16", "double", "unsqueeze", "squeeze", "flatten", "unflatten", "expand", "expand_as",
    "type_as", "clone", "detach", "t", "__get__", "swapaxes", "movedim", "moveaxis", "chunk",
    "split", "unbind", "view_as", "reshape_as", "roll", "pad",
    "dropout", "dropout_", "dropout1d", "dropout2d", "alpha_dropout", "feature_dropout",
}  # fmt: skip
PRODUCTS = {
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d",
    "conv_transpose3d", "addmm", "baddbmm", "addbmm", "bmm", "matmul", "__matmul__", "__rmatmul__",
    "einsum", "mm", "mv", "bilinear", "multi_head_attention_forward", "lstm", "gru", "rnn_tanh",
    "rnn_relu", "_grouped_mm", "grouped_mm",
}  # fmt: skip
TIMES = {"mul", "mul_", "__mul__", "__rmul__", "__imul__", "div", "div_", "__truediv__"}
ENLARGED = {"interpolate", "upsample", "pixel_shuffle", "grid_sample", "max_unpool2d"} | {
    f"conv_transpose{rank}d" for rank in (1, 2, 3)
}


def is_layer(steps: Sequence[Step], number: int) -> bool:
    """Whether a step applies a weight to what comes from the input."""
    step = steps[number]
    return (
        step.name in PRODUCTS
        and any(steps[each].fed for each in step.parents)
        and any(steps[each].learned and not steps[each].fed for each in step.parents)
    )


def of_number(steps: Sequence[Step], number: int) -> bool:
    """Whether a step adds a number alone, as Python's sum begins with 0."""
    return steps[number].name in ADDS and len(steps[number].parents) == 1


def through_views(steps: Sequence[Step], number: int) -> int:
    """What a value is a view of."""
    while steps[number].parents and (steps[number].name in VIEWS or of_number(steps, number)):
        number = steps[number].parents[0]
    return number
