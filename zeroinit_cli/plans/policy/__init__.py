"""The policy: kind of tensor -> rule. Numbers only; `models` says what kind a tensor is.

The two lines of code in each docstring are a call and the rule that it gives. They run as tests.
"""

from zeroinit_cli.plans.policy.kernels import (
    Geometry,
    algorithm_2,
    convolution,
    flattened_kernel,
    patch_convolution,
    patch_stem,
    stem_convolution,
    transposed_convolution,
    upsampling_taps,
)
from zeroinit_cli.plans.policy.maps import (
    algorithm_1,
    bilinear,
    damped,
    flattened,
    fused_linear,
    fused_projections,
    linear,
    recurrent_input,
    recurrent_state,
    stack_of_linear,
    transposed_linear,
    twisting_prime,
)
from zeroinit_cli.plans.policy.tables import embedding, position_table

__all__ = [
    "Geometry",
    "algorithm_1",
    "algorithm_2",
    "bilinear",
    "convolution",
    "damped",
    "embedding",
    "flattened",
    "flattened_kernel",
    "fused_linear",
    "fused_projections",
    "linear",
    "patch_convolution",
    "patch_stem",
    "position_table",
    "recurrent_input",
    "recurrent_state",
    "stack_of_linear",
    "stem_convolution",
    "transposed_convolution",
    "transposed_linear",
    "twisting_prime",
    "upsampling_taps",
]
