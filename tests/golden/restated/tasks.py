"""Networks for video, segmentation, detection and optical flow."""

from tests.golden.restated.convolutional import BOTTLENECK
from tests.golden.restated.entries import (
    Rule,
    chained,
    chained_last,
    chained_stem,
    flat,
    grouped,
    kept,
    transposed,
    weight,
)
from tests.golden.restated.family import Family, norm

# relu(conv2(conv1(x)) + x), conv2 being a convolution and its norm; in R(2+1)D two convolutions
# with a norm between them, and then the norm.
_VIDEO_STEM = (r"stem\.0\.weight", flat)
R3D = Family(
    branches=(norm(r"layer\d\.\d\.conv2\.1\.weight", r"layer\d\.\d\.conv2\.0\.weight"),),
    special=(_VIDEO_STEM,),
)
R2PLUS1D = Family(
    branches=(norm(r"layer\d\.\d\.conv2\.1\.weight", r"layer\d\.\d\.conv2\.0\.3\.weight"),),
    special=(_VIDEO_STEM,),
)


def detector(*special: tuple[str, Rule]) -> Family:
    """A ResNet with what detects.

    The sums of LR-ASPP and of a feature pyramid join different scales and are no residual ones:
    only the backbone's branches close. The heads of the detectors have none.
    """
    return Family(BOTTLENECK.branches, (*BOTTLENECK.special, *special))


# What stands between the pyramid and the heads is not traced, so that no way leads through it: of
# the pyramid and the RPN one has two kernels only, of the masks or keypoints it has more.
_MASK = (r"mask_predictor\.conv5_mask\.weight", transposed(stride=2, padding=0))
MASK_RCNN = detector(
    _MASK,
    (r"mask_predictor\.mask_fcn_logits\.weight", chained_last),
    (r"mask_head\..*weight", chained),
)
KEYPOINT_RCNN = detector(
    (r"keypoint_predictor\.kps_score_lowres\.weight", transposed(stride=2, padding=1)),
    (r"keypoint_head\..*weight", chained),
)
MASK_RCNN_V2 = detector(_MASK)  # norms in the pyramid and the heads

# The bias of the class scores holds the prior probability of an object. Behind the outputs stand
# sigmoids or boxes, and no map.
_PRIOR = (r"classification_head\.cls_logits\.bias", kept)
RETINANET = detector(
    _PRIOR,
    (r"cls_logits\.weight|bbox_reg\.weight", chained_last),
    (r"(fpn|(classification|regression)_head\.conv)\..*weight", chained),
)

# Norms in the heads: the pyramid's last two kernels, and the heads' first, up to its norm.
RETINANET_V2 = detector(
    _PRIOR,
    (r"extra_blocks\.p[67]\.weight", chained),
    (r"(classification|regression)_head\.conv\.0\.0\.weight", chained_last),
)

# The same, but the last two read the pyramid's coarsest map, and not the backbone's.
FCOS = detector(
    _PRIOR,
    (r"extra_blocks\.p[67]\.weight|(inner|layer)_blocks\.2\.0\.weight", chained),
    (r"(classification|regression)_head\.conv\.0\.weight", chained_last),
)

# A scale of 20 for what VGG gives, by construction. The heads' first kernels read that, divided
# by its length; all others stand in a chain, in which each kernel of the heads is the last.
SSD = Family(
    special=(
        (r"backbone\.features\.0\.weight", chained_stem),
        (r"backbone\.scale_weight", kept),
        (r"module_list\.0\.weight", weight),
        (r"module_list\.\d\.weight", chained_last),
        (r"weight", chained),
    )
)

# MobileNet v3 in two halves: members 0 to 12 and the expansion of 13; the rest of 13, 14, 15, 16.
_SSDLITE = r"features\.(0\.(1\.block\.1|(3|8|9|10)\.block\.2|(5|6|12)\.block\.3)|1\.[12]\.block\.3)"
SSDLITE = Family(
    branches=(norm(rf"{_SSDLITE}\.1\.weight", rf"{_SSDLITE}\.0\.weight"),),
    special=(
        (r"backbone\.features\.0\.0\.0\.weight", flat),
        (r"features\.0\.(1\.block\.0|([2-9]|1[0-2])\.block\.1)\.0\.weight", grouped),
        (r"features\.1\.(0|[12]\.block)\.1\.0\.weight", grouped),
        (r"extra\.\d\.1\.0\.weight", grouped),
        (r"module_list\.\d\.0\.0\.weight", grouped),
    ),
)

# relu(x + relu(norm(...))): a weight of 0 before a ReLU would be for ever, so it is no end; a
# norm's scale is one where it has a scale, in the large net's context encoder. The sums of a
# ConvGRU are no residual ones; the layer that ends the flow's own update serves in every step.
#
# The flow is detached at the beginning of each step, so that no way leads from the flow head to
# the motion encoder: the longest is that encoder and the GRU.
_RAFT_GRU = (r"convgru\d\.conv[zrq]\.weight", chained_last)
# The context encoder has no norm at all, and its output is context to the GRU.
RAFT_SMALL = Family(
    special=(
        (r"feature_encoder\.convnormrelu\.0\.weight", flat),
        (r"context_encoder\.convnormrelu\.0\.weight", chained_stem),
        (r"context_encoder\..*weight", chained),
        (r"motion_encoder\.conv(flow[12])?\.0\.weight", chained),
        _RAFT_GRU,
    )
)
# Correlations pass through one more kernel, three with the motion encoder's last and the GRU's;
# the map before them has no norm.
RAFT_LARGE = Family(
    branches=(norm(r"context_encoder\.layer\d\.\d\.convnormrelu2\.1\.weight", None),),
    special=(
        (r"(feature|context)_encoder\.convnormrelu\.0\.weight", flat),
        (r"feature_encoder\.conv\.weight", chained),
        (r"motion_encoder\.conv(corr[12]|flow[12])?\.0\.weight", chained),
        _RAFT_GRU,
    ),
)
