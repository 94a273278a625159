"""What closes the residual branches of each family, in words: names, and what they hold."""

import re
from collections.abc import Callable

import pytest

from tests.models.models import planned
from zeroinit_cli.plans.layouts import Mirrored, Scaled, Split, Viewed
from zeroinit_cli.plans.rules import Constant, Identity, Ones, Rule, Zeros

NORM_ENDS = [
    # model, the scales of the last norm of every block, how many
    ("resnet18", r"layer\d\.\d\.bn2\.weight", 8),
    ("resnet50", r"layer\d\.\d\.bn3\.weight", 16),
    ("resnext50_32x4d", r"layer\d\.\d\.bn3\.weight", 16),
    ("quantized_resnet18", r"layer\d\.\d\.bn2\.weight", 8),
    ("r3d_18", r"layer\d\.\d\.conv2\.1\.weight", 8),
    ("regnet_y_400mf", r"trunk_output\.block\d\.block\d-\d\.f\.c\.1\.weight", 16),
    ("mobilenet_v2", r"features\.(3|5|6|8|9|10|12|13|15|16)\.conv\.3\.weight", 10),
    ("mnasnet0_5", r"layers\.\d+\.[1-9]\.layers\.7\.weight", 10),
    ("efficientnet_b0", r"features\.\d\.[1-9]\.block\.\d\.1\.weight", 9),
    ("fcn_resnet50", r"backbone\.layer\d\.\d\.bn3\.weight", 16),
    ("fasterrcnn_resnet50_fpn", r"backbone\.body\.layer\d\.\d\.bn3\.weight", 16),
    ("swin_v2_t", r"features\.[1357]\.\d\.norm[12]\.weight", 24),
]
WEIGHT_ENDS = [
    ("vit_b_32", r"encoder\.layers\.encoder_layer_\d+\.mlp\.3\.weight", 12),
    ("swin_t", r"features\.[1357]\.\d\.mlp\.3\.weight", 12),
    ("swin3d_t", r"features\.[0-9]\.\d\.mlp\.3\.weight", 12),
    ("mvit_v1_b", r"blocks\.\d+\.(attn\.project\.0|mlp\.3)\.weight", 32),
    ("mvit_v2_s", r"blocks\.\d+\.(attn\.project\.0|mlp\.3)\.weight", 32),
]
ATTENTION_ENDS = [
    ("vit_b_32", r"encoder\.layers\.encoder_layer_\d+\.self_attention\.in_proj_weight", 12),
    ("swin_t", r"features\.[1357]\.\d\.attn\.qkv\.weight", 12),
    ("swin3d_t", r"features\.\d\.\d\.attn\.qkv\.weight", 12),
    ("maxvit_t", r"blocks\.\d\.layers\.\d\.layers\.\w+\.attn_layer\.1\.to_qkv\.weight", 22),
]
NOTHING = [
    "vgg11_bn",
    "densenet121",
    "googlenet",
    "inception_v3",
    "shufflenet_v2_x0_5",
    "raft_small",
]


def zero_weights(model: str) -> set[str]:
    """Weights and scales that are 0."""
    return _ruled(model, lambda rule: rule == Zeros())


def damped_scales(model: str) -> set[str]:
    """Scales of 1/4."""
    return _ruled(model, lambda rule: rule == Constant(value=0.25))


def damped_weights(model: str) -> set[str]:
    """Weights of 1/16 of Algorithm 1."""
    return _ruled(model, lambda rule: isinstance(rule, Scaled) and rule.half_exponent == -8)


def _ruled(model: str, fits: Callable[[Rule], bool]) -> set[str]:
    return {
        tensor.info.name
        for tensor in planned(model).tensors
        if tensor.info.name.endswith("weight") and fits(tensor.rule)
    }


@pytest.mark.parametrize(("model", "pattern", "count"), NORM_ENDS)
def test_each_branch_that_ends_in_a_norm_is_damped_there_and_nothing_is_zero(
    model: str, pattern: str, count: int
) -> None:
    scales = damped_scales(model)
    assert {name for name in scales if not re.fullmatch(pattern, name)} == set()
    assert (len(scales), zero_weights(model)) == (count, set())


@pytest.mark.parametrize(("model", "pattern", "count"), WEIGHT_ENDS)
def test_each_branch_that_ends_in_a_weight_is_damped_there_and_nothing_is_zero(
    model: str, pattern: str, count: int
) -> None:
    weights = damped_weights(model)
    assert {name for name in weights if not re.fullmatch(pattern, name)} == set()
    assert (len(weights), damped_scales(model), zero_weights(model)) == (count, set(), set())


@pytest.mark.parametrize(("model", "pattern", "count"), NORM_ENDS[:1])
def test_every_other_norm_keeps_scale_one(model: str, pattern: str, count: int) -> None:
    norms = [
        each for each in planned(model).tensors if each.reason.startswith("BatchNorm2d: scale")
    ]
    assert {each.rule for each in norms} == {Ones()}
    assert len(norms) == 20 - count


@pytest.mark.parametrize(("model", "pattern", "count"), ATTENTION_ENDS)
def test_closed_attention_has_queries_by_algorithm_1_and_keys_and_values_0(
    model: str, pattern: str, count: int
) -> None:
    closed = [
        each
        for each in planned(model).tensors
        if each.reason.endswith("q by Algorithm 1, k and v 0")
    ]
    assert len(closed) == count
    for each in closed:
        assert re.fullmatch(pattern, each.info.name), each.info.name
        rows = each.info.shape[0] // 3
        assert each.rule == Split(parts=((rows, Identity()), (rows, Zeros()), (rows, Zeros())))


@pytest.mark.parametrize("model", NOTHING)
def test_families_without_a_branch_that_can_be_closed_have_no_zero_weight(model: str) -> None:
    assert zero_weights(model) == set()


def test_rafts_branches_are_left_open_because_a_relu_ends_them() -> None:
    texts = [each.text for each in planned("raft_small").warnings if each.kind == "open-branch"]
    assert texts
    assert all("(ReLU) stands before the add and is dead at 0" in text for text in texts)


def test_convnexts_branches_keep_their_layer_scale() -> None:
    scales = [
        each for each in planned("convnext_tiny").tensors if each.info.name.endswith("layer_scale")
    ]
    assert len(scales) == 18
    assert {each.rule.kind for each in scales} == {"kept"}
    assert zero_weights("convnext_tiny") == set()


def test_position_tables_are_mirrored() -> None:
    [table] = [
        each for each in planned("vit_b_32").tensors if each.info.name == "encoder.pos_embedding"
    ]
    assert table.rule == Viewed(rows=50, of=Mirrored(of=Identity()))


ADDS = [
    ("resnet18", {"identity": 5, "fork": 3}),
    ("lraspp_mobilenet_v3_large", {"identity": 10, "resized": 1}),
    (  # but for those of its pyramid, all in what turns its heads' outputs into corners of boxes
        "retinanet_resnet50_fpn",
        {
            "identity": 12,
            "fork": 4,
            "resized": 2,
            "parameter": 2,
            "products": 2,
            "forks": 2,
            "equal": 2,
            "no_layer": 8,
        },
    ),
    ("raft_large", {"identity": 8, "fork": 4, "products": 2}),
    ("mvit_v1_b", {"identity": 26, "fork": 6, "parameter": 2}),
    ("mvit_v2_s", {"identity": 29, "fork": 19, "scores": 16, "part": 32}),
]
CLASSES = {
    "no_layer": "not residual: no layer stands between the operands",
    "identity": "residual: one operand goes into the other",
    "fork": "residual: both leave one fork, one by a longer way",
    "resized": "not residual: the longer way alone is enlarged before it is added",
    "products": "not residual: adds products",
    "parameter": "not residual: adds what does not depend on the input",
    "scores": "not residual: adds to the scores of attention",
    "part": "part of a sum that goes on: see its last add",
    "forks": "not residual: the operands come from different forks",
    "equal": "not residual: both ways have as many weight layers",
}


@pytest.mark.parametrize(("model", "expected"), ADDS)
def test_the_class_of_every_add_is_pinned(model: str, expected: dict[str, int]) -> None:
    found = [kind for _, kind in planned(model).adds]
    assert {name: found.count(words) for name, words in CLASSES.items() if words in found} == (
        expected
    )
    assert len(found) == sum(expected.values())


def test_of_a_pyramid_and_of_two_heads_the_resized_sum_is_the_one_that_is_not_residual() -> None:
    for model, place in [
        ("lraspp_mobilenet_v3_large", "classifier"),
        ("retinanet_resnet50_fpn", "backbone.fpn"),
    ]:
        places = {
            where.partition(":")[0]
            for where, kind in planned(model).adds
            if kind == CLASSES["resized"]
        }
        assert places == {place}
