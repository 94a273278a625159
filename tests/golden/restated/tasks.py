"""Networks for video, segmentation, detection and optical flow."""

from tests.golden.restated.convolutional import BOTTLENECK
from tests.golden.restated.entries import flat, grouped, kept, transposed
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

# The sums of LR-ASPP and of a feature pyramid join different scales and are no residual ones:
# only the backbone's branches close. The heads of the detectors have none.
MASK_RCNN = Family(
    BOTTLENECK.branches,
    (
        *BOTTLENECK.special,
        (r"mask_predictor\.conv5_mask\.weight", transposed(stride=2, padding=0)),
    ),
)
KEYPOINT_RCNN = Family(
    BOTTLENECK.branches,
    (
        *BOTTLENECK.special,
        (r"keypoint_predictor\.kps_score_lowres\.weight", transposed(stride=2, padding=1)),
    ),
)

# The bias of the class scores holds the prior probability of an object.
RETINANET = Family(
    BOTTLENECK.branches, (*BOTTLENECK.special, (r"classification_head\.cls_logits\.bias", kept))
)

# A scale of 20 for what VGG gives, by construction.
SSD = Family(special=((r"backbone\.features\.0\.weight", flat), (r"backbone\.scale_weight", kept)))

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
_RAFT_STEM = (r"(feature|context)_encoder\.convnormrelu\.0\.weight", flat)
RAFT_SMALL = Family(special=(_RAFT_STEM,))
RAFT_LARGE = Family(
    branches=(norm(r"context_encoder\.layer\d\.\d\.convnormrelu2\.1\.weight", None),),
    special=(_RAFT_STEM,),
)
