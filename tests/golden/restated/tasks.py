"""Networks for video, segmentation, detection and optical flow."""

from tests.golden.restated.convolutional import BOTTLENECK
from tests.golden.restated.entries import grouped, kept, transposed
from tests.golden.restated.family import Branch, Family

# relu(conv2(conv1(x)) + x), conv2 being a convolution and its norm; in R(2+1)D two convolutions
# with a norm between them, and then the norm.
R3D = Family(branches=(Branch(r"layer\d\.\d\.conv2\.1\.weight", r"layer\d\.\d\.conv2\.0\.weight"),))
R2PLUS1D = Family(
    branches=(Branch(r"layer\d\.\d\.conv2\.1\.weight", r"layer\d\.\d\.conv2\.0\.3\.weight"),)
)

# The sums of LR-ASPP and of a feature pyramid join different scales and are no residual ones:
# only the backbone's branches close. The heads of the detectors have none.
MASK_RCNN = Family(
    BOTTLENECK.branches,
    ((r"mask_predictor\.conv5_mask\.weight", transposed(stride=2, padding=0)),),
)
KEYPOINT_RCNN = Family(
    BOTTLENECK.branches,
    ((r"keypoint_predictor\.kps_score_lowres\.weight", transposed(stride=2, padding=1)),),
)

# The bias of the class scores holds the prior probability of an object.
RETINANET = Family(BOTTLENECK.branches, ((r"classification_head\.cls_logits\.bias", kept),))

# A scale of 20 for what VGG gives, by construction.
SSD = Family(special=((r"backbone\.scale_weight", kept),))

# MobileNet v3 in two halves: members 0 to 12 and the expansion of 13; the rest of 13, 14, 15, 16.
_SSDLITE = r"features\.(0\.(1\.block\.1|(3|8|9|10)\.block\.2|(5|6|12)\.block\.3)|1\.[12]\.block\.3)"
SSDLITE = Family(
    branches=(Branch(rf"{_SSDLITE}\.1\.weight", rf"{_SSDLITE}\.0\.weight"),),
    special=(
        (r"features\.0\.(1\.block\.0|([2-9]|1[0-2])\.block\.1)\.0\.weight", grouped),
        (r"features\.1\.(0|[12]\.block)\.1\.0\.weight", grouped),
        (r"extra\.\d\.1\.0\.weight", grouped),
        (r"module_list\.\d\.0\.0\.weight", grouped),
    ),
)

# relu(x + relu(norm(...))): what is zeroed before a ReLU stays zero for ever, so nothing is. The
# sums of a ConvGRU are no residual ones, nor is the flow's own update: its coordinates are a grid.
RAFT = Family()
