"""Networks of convolutions that classify images, and their quantizable twins."""

from tests.golden.restated.entries import (
    chained,
    chained_last,
    chained_stem,
    flat,
    grouped,
    kept,
    patches,
    zero,
)
from tests.golden.restated.family import Branch, Family, norm


def plain(stem: str) -> Family:
    """No additions, so nothing to close: these concatenate or do not even that."""
    return Family(special=((stem, flat),))


def chain(stem: str, last: str) -> Family:
    """No norms either, from the input to the output."""
    return Family(special=((stem, chained_stem), (last, chained_last), (r"weight", chained)))


ALEXNET = chain(r"features\.0\.weight", r"classifier\.6\.weight")  # VGG, too
SQUEEZENET = chain(r"features\.0\.weight", r"classifier\.1\.weight")
VGG_BN = plain(r"features\.0\.weight")
DENSENET = plain(r"features\.conv0\.weight")
GOOGLENET = plain(r"^conv1\.conv\.weight")
INCEPTION = plain(r"Conv2d_1a_3x3\.conv\.weight")
S3D = plain(r"features\.0\.0\.0\.weight")

# ShuffleNet concatenates too; the second convolution of a branch is depthwise.
SHUFFLENET = Family(
    special=((r"^conv1\.0\.weight", flat), (r"branch1\.0\.weight|branch2\.3\.weight", grouped))
)

# relu(x + bn2(conv2(...))), relu(x + bn3(conv3(...))). The shortcut may be one convolution with
# its norm.
_RESNET_STEM = (r"(^|backbone\.(body\.)?)conv1\.weight", flat)
BASIC = Family(
    branches=(norm(r"layer\d\.\d+\.bn2\.weight", r"layer\d\.\d+\.conv2\.weight"),),
    special=(_RESNET_STEM,),
)
BOTTLENECK = Family(
    branches=(norm(r"layer\d\.\d+\.bn3\.weight", r"layer\d\.\d+\.conv3\.weight"),),
    special=(_RESNET_STEM,),
)
RESNEXT = Family(
    BOTTLENECK.branches, (*BOTTLENECK.special, (r"layer\d\.\d+\.conv2\.weight", grouped))
)

# x + conv(x), where neither stride nor width changes: not in the first block of a stage. A block
# is expand, depthwise, project, norm; the very first block does not expand.
_MOBILENET_STEM = (r"(features|backbone(\.body)?)\.0\.0\.weight", flat)
_V2 = r"features\.(3|5|6|8|9|10|12|13|15|16)\.conv"
MOBILENET_V2 = Family(
    branches=(norm(rf"{_V2}\.3\.weight", rf"{_V2}\.2\.weight"),),
    special=(_MOBILENET_STEM, (r"features\.(1\.conv\.0|\d+\.conv\.1)\.0\.weight", grouped)),
)

# The same, and a squeeze-and-excitation before some of the projections, so that these are the
# block's member 1, 2 or 3.
_V3_LARGE = r"(1\.block\.1|(3|8|9|10)\.block\.2|(5|6|12|14|15)\.block\.3)"
_V3_DEPTHWISE = r"(1\.block\.0|([2-9]|1\d)\.block\.1)\.0\.weight"
MOBILENET_V3_LARGE = Family(
    branches=(norm(rf"{_V3_LARGE}\.1\.weight", rf"{_V3_LARGE}\.0\.weight"),),
    special=(_MOBILENET_STEM, (_V3_DEPTHWISE, grouped)),
)
_V3_SMALL = r"(3\.block\.2|(5|6|8|10|11)\.block\.3)"
MOBILENET_V3_SMALL = Family(
    branches=(norm(rf"{_V3_SMALL}\.1\.weight", rf"{_V3_SMALL}\.0\.weight"),),
    special=(_MOBILENET_STEM, (_V3_DEPTHWISE, grouped)),
)

# layers(x) + x in every block of a stack but its first.
_MNASNET = r"layers\.(8|9|1[0-3])\.[1-9]\.layers"
MNASNET = Family(
    branches=(norm(rf"{_MNASNET}\.7\.weight", rf"{_MNASNET}\.6\.weight"),),
    special=((r"^layers\.0\.weight", flat), (r"layers\.3\.weight", grouped)),
)

# In every block of a stage but its first; blocks of the first stage do not expand.
_MBCONV = r"features\.(1\.[1-9]\d*\.block\.2|[2-7]\.[1-9]\d*\.block\.3)"
EFFICIENTNET = Family(
    branches=(norm(rf"{_MBCONV}\.1\.weight", rf"{_MBCONV}\.0\.weight"),),
    special=(
        (r"features\.0\.0\.weight", flat),
        (r"features\.(1\.\d+\.block\.0|[2-7]\.\d+\.block\.1)\.0\.weight", grouped),
    ),
)

# The first stage, of one convolution, norm and SiLU a block, keeps its width, so that its first
# block is residual too. SiLU has a slope at 0, so what is before it ends the branch.
_FUSED = r"features\.(1\.\d+\.block\.0|[23]\.[1-9]\d*\.block\.1|[4-7]\.[1-9]\d*\.block\.3)"
EFFICIENTNET_V2 = Family(
    branches=(norm(rf"{_FUSED}\.1\.weight", rf"{_FUSED}\.0\.weight"),),
    special=(
        (r"features\.0\.0\.weight", flat),
        (r"features\.[4-7]\.\d+\.block\.1\.0\.weight", grouped),
    ),
)

# Every block: proj(x) + f(x), f ending in a convolution and a norm.
REGNET = Family(
    branches=(norm(r"f\.c\.1\.weight", r"f\.c\.0\.weight"),),
    special=((r"stem\.0\.weight", flat), (r"f\.b\.0\.weight", grouped)),
)

# x + layer_scale * block(x): the scale is 1e-6 by construction and stays. The paper's way closes
# the last Linear all the same.
CONVNEXT = Family(
    branches=(Branch(default=None, paper=(r"block\.5\.weight", zero)),),
    special=(
        (r"layer_scale", kept),
        (r"features\.0\.0\.weight", patches),
        (r"features\.[246]\.1\.weight", flat),
        (r"block\.0\.weight", grouped),
    ),
)
