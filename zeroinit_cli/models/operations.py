"""What functions of torch do to data: what carries it, and what a zero becomes.

A branch that gives 0 gives 0 after whatever is transparent: dropout, and all that is linear and
has no parameter (reshape, permute, pooling, upsampling, padding with 0). An activation with
f(0) = 0 keeps the zero too, but where f'(0) = 0 nothing behind it ever learns.
"""

from typing import Any

from zeroinit_cli.models.nodes import Node


def words(text: str) -> frozenset[str]:
    """The words of a text, for long sets of names."""
    return frozenset(text.split())


NO_DATA = words(
    "arange device dim dtype element_size empty empty_like eye finfo full full_like "
    "get_device is_complex is_contiguous is_cuda is_floating_point layout len linspace logspace "
    "ndim ndimension nelement new_empty new_full new_ones new_zeros normal numel ones ones_like "
    "rand rand_like randint randint_like randn randn_like randperm requires_grad shape "
    "size storage_offset stride zeros zeros_like"
)
"""Functions, methods and attributes whose result has none of their argument's values."""

FIRST_ALONE = words("expand_as reshape_as to type_as view_as")
"""What takes values from its first argument, and from others no more than a shape or a type."""

ADDS = words("add")

JOINS = words("cat concat concatenate hstack stack vstack")

DIFFERENCES = words("rsub sub subtract")

DISGUISED_ADDS = DIFFERENCES | words(
    "addbmm addcdiv addcmul addmm addmv addr baddbmm index_add lerp scatter_add"
)
"""Functions that can hide a residual add."""

PRODUCTS = words("mul multiply")
QUOTIENTS = words("div truediv divide true_divide")
SPLITS = words("chunk hsplit dsplit vsplit split split_with_sizes tensor_split")
PICKS = words("getitem get pop select")

WEIGHT_FUNCTIONS = words(
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d linear"
)
"""Layers as functions: input, then weight."""

RECURRENT = words("gru gru_cell lstm lstm_cell rnn_relu rnn_relu_cell rnn_tanh rnn_tanh_cell")
"""Layers that apply several weights step by step."""

LOOKUPS = words("embedding embedding_bag")
"""Functions that look rows up in a table: indices, then the table."""

WEIGHT_NORM = "_weight_norm"
SCALED_DOT_PRODUCT = "scaled_dot_product_attention"
MULTI_HEAD = "multi_head_attention_forward"

MATRIX_PRODUCTS = words("_grouped_mm addmm baddbmm bilinear bmm einsum grouped_mm matmul mm mv")

NORM_FUNCTIONS = {
    "batch_norm": 3,
    "group_norm": 2,
    "instance_norm": 3,
    "layer_norm": 2,
    "normalize": None,
    "rms_norm": 2,
}
"""Norms as functions, and which argument is their scale."""

_EPS = {"batch_norm": 7, "group_norm": 4, "instance_norm": 7, "layer_norm": 4, "rms_norm": 3}
_SMALLEST_EPS = 1e-5  # that torch's norms have by default

STATISTICS = words("amax linalg_norm mean norm std sum var var_mean vector_norm")
ROOTS = words("linalg_norm norm pow rsqrt sqrt std vector_norm")
ON_THE_WAY_TO_A_ROOT = words(
    "abs add clamp clamp_min double expand float getitem pow reciprocal square to truediv "
    "type_as unsqueeze view reshape"
)

UNCHANGING = words("alias bfloat16 clone contiguous detach double float half to type type_as")

TRANSPARENT = UNCHANGING | words(
    "T _squeeze _unsqueeze adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d avg_pool1d "
    "avg_pool2d avg_pool3d channel_shuffle chunk data drop_block2d drop_block3d "
    "dropout dropout1d dropout2d dropout3d expand expand_as feature_dropout flatten flip "
    "fold getitem interpolate mT max_pool1d max_pool2d max_pool3d mean moveaxis movedim "
    "narrow native_channel_shuffle neg permute pixel_shuffle pixel_unshuffle ravel rearrange "
    "reduce repeat repeat_interleave reshape reshape_as roll select split squeeze "
    "stochastic_depth sum swapaxes swapdims t tile transpose unbind unflatten unfold unsqueeze "
    "upsample upsample_bilinear upsample_nearest view view_as"
)
FILLING = {"pad": 3, "masked_fill": 2}
"""What is transparent where it fills in 0, and which argument that is."""

DEAD_AT_ZERO = words("_threshold abs hardshrink relu relu6 softshrink square tanhshrink threshold")
ALIVE_AT_ZERO = words(
    "celu elu gelu glu hardswish hardtanh leaky_relu mish prelu rrelu selu silu softsign tanh"
)
GATES = {
    **dict.fromkeys(words("sigmoid hardsigmoid softmax"), 2),
    **dict.fromkeys(words("tanh relu silu gelu hardswish hardtanh"), 1),
}
"""Functions that make a factor a gate: 2 where they are never 0, else 1."""
ENLARGING = words(
    "conv_transpose1d conv_transpose2d conv_transpose3d interpolate max_unpool1d max_unpool2d "
    "max_unpool3d pixel_shuffle upsample upsample_bilinear upsample_nearest"
)


def function_name(node: Node) -> str:
    """What a node does: a function's name without the mark of writing in place, or its kind."""
    return node.target.rstrip("_") or node.target if node.op == "function" else node.op


def argument(node: Node, position: int, name: str) -> Any:
    """Find an argument of a function, given by its place or by its name; None if it is neither."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name)


def letters_of(einsum: Node, operand: Node) -> tuple[str, str, str]:
    """The letters of an operand of an einsum, of the other operands, and of what it gives."""
    equation, *operands = einsum.args
    if len(operands) == 1 and isinstance(operands[0], list | tuple):
        operands = list(operands[0])
    inputs, arrow, output = str(equation).replace(" ", "").partition("->")
    terms = inputs.split(",")
    if not arrow:  # what stands there once, by the alphabet
        output = "".join(sorted(each for each in inputs if inputs.count(each) == 1 and each != ","))
    place = operands.index(operand) if operand in operands else 0
    return terms[place], "".join(terms[:place] + terms[place + 1 :]), output


def scale_of(norm: Node) -> Node | None:
    """Find the scale of a norm; None where it has none."""
    position = NORM_FUNCTIONS[function_name(norm)]
    scale = None if position is None else argument(norm, position, "weight")
    return scale if isinstance(scale, Node) else None


def eps_of(norm: Node) -> float | None:
    """Find what a norm adds to the variance; None for what has none."""
    position = _EPS.get(function_name(norm))
    return None if position is None else argument(norm, position, "eps") or _SMALLEST_EPS


def is_dead_at_zero(node: Node) -> bool:
    """Whether a node is an activation whose derivative at 0 is 0."""
    name = function_name(node)
    lowest = argument(node, 1, "min_val") if name == "hardtanh" else None
    return name in DEAD_AT_ZERO or (isinstance(lowest, int | float) and lowest >= 0)
