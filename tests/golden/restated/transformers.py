"""Networks with attention, of images and of video."""

from tests.golden.restated.entries import (
    closed_qkv,
    flat,
    grouped,
    kept,
    last_unit,
    open_qkv,
    patches,
    positions,
    zero,
)
from tests.golden.restated.family import Family, layer, norm

# Both Linear of a torchvision MLP are its members 0 and 3; x + mlp(norm(x)) ends in the second,
# which a norm stands before.
_MLP = layer(r"mlp\.3\.weight")

# x + attention(norm(x)): the values are 0, and that closes it.
VIT = Family(
    branches=(_MLP,),
    special=(
        (r"self_attention\.in_proj_weight", closed_qkv),
        (r"self_attention\.in_proj_bias", zero),
        (r"pos_embedding", positions),
        (r"class_token", zero),
        (r"conv_proj\.weight", patches),
    ),
)

# The same; the table of relative positions is added to the logits.
SWIN = Family(
    branches=(_MLP,),
    special=(
        (r"attn\.qkv\.weight", closed_qkv),
        (r"relative_position_bias_table", zero),
        (r"relative_position_index", kept),
        (r"features\.0\.0\.weight|patch_embed\.proj\.weight", patches),
    ),
)

# x + norm1(attention(x)) and x + norm2(mlp(x)): keys are normalized, so attention stays open, and
# the norms close. The table of relative positions comes from a small network with plain weights.
SWIN_V2 = Family(
    branches=(
        norm(r"norm1\.weight", r"attn\.proj\.weight"),
        norm(r"norm2\.weight", r"mlp\.3\.weight"),
    ),
    special=(
        (r"attn\.qkv\.weight", open_qkv),
        (r"logit_scale|relative_coords_table|relative_position_index", kept),
        (r"features\.0\.0\.weight", patches),
    ),
)

# proj(x) + an MBConv that begins with a norm and ends in a convolution with a bias; attention as
# in Swin; an MLP with its norm.
MAXVIT = Family(
    branches=(layer(r"MBconv\.layers\.conv_c\.weight"), layer(r"mlp_layer\.3\.weight")),
    special=(
        (r"stem\.0\.0\.weight", flat),
        (r"MBconv\.layers\.conv_b\.0\.weight", grouped),
        (r"attn_layer\.1\.to_qkv\.weight", closed_qkv),
        (r"relative_position_bias_table", zero),
        (r"relative_position_index", kept),
    ),
)

# Keys and values are pooled and normalized, so attention stays open; its output projection ends
# the branch. Where the width changes, the shortcut is a projection of what the block's norm gives,
# so that the branch begins behind that norm, else before it: a norm stands before its end anyway.
_MVIT_BRANCHES = (layer(r"attn\.project\.0\.weight"), _MLP)
_MVIT = (
    (r"conv_proj\.weight", flat),
    (r"attn\.qkv\.weight", open_qkv),
    (r"attn\.pool_[qkv]\.pool\.weight", grouped),
)

# Three tables of positions are summed: only the largest is not 0. It has no row for the class
# token, which the first norm therefore sees alone.
MVIT_V1 = Family(
    branches=_MVIT_BRANCHES,
    special=(
        *_MVIT,
        (r"class_token", last_unit),
        (r"pos_encoding\.spatial_pos", positions),
        (r"pos_encoding\.(temporal|class)_pos", zero),
    ),
)

# Tables of relative positions instead. The pooled queries are added to what attention gives,
# before the output projection: that is no residual sum. No position is
# added to the class token, and the first norm would divide 0 by its deviation.
MVIT_V2 = Family(
    branches=_MVIT_BRANCHES,
    special=(*_MVIT, (r"class_token", last_unit), (r"attn\.rel_pos_[hwt]", zero)),
)
