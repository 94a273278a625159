"""The specs in model_specs/: their public counts, and the whole way from file to forward."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from scipy.linalg import hadamard
from torch import nn

import zeroinit_cli
from tests.cli.command import Command
from tests.long import some_long
from zeroinit_cli import build
from zeroinit_cli.models import plan_source
from zeroinit_cli.nets.torchvision import import_torchvision
from zeroinit_cli.options import Options
from zeroinit_cli.sources import parse_source
from zeroinit_cli.spec.check import read_spec

ROOT = Path(__file__).parents[2] / "model_specs"


@dataclass(frozen=True)
class Known:
    """What is publicly known of a model, and the shape that its forward must give."""

    parameters: int
    output: tuple[int, ...]
    published: str


KNOWN = {
    "autoencoder": Known(258_723, (3, 64, 64), "by hand: 3 convolutions and 3 transposed ones"),
    "bert-base": Known(109_482_240, (512, 768), "bert-base-uncased, with pooler"),
    "cifar-resnet20": Known(269_722, (10,), "0.27M, arXiv:1512.03385 table 6"),
    "cifar-resnet110": Known(1_727_962, (10,), "1.7M, arXiv:1512.03385 table 6"),
    "gpt2-124m": Known(124_439_808, (1024, 50257), "gpt2"),
    "lenet5": Known(61_706, (10,), "LeNet-5 as taught"),
    "mnist-mlp": Known(784 * 784 + 784 * 1024 + 1024 * 1024 + 1024 * 10, (10,), "the notebook"),
    "nanogpt-shakespeare": Known(10_646_784 + 256 * 384, (256, 65), "10.65M without positions"),
    "residual-500": Known(2_320_618, (10,), "by hand: 448 + 500 * 4640 + 170"),
    "resnet18-by-layers": Known(11_689_512, (1000,), "torchvision.models.resnet18"),
    "two-towers": Known(53_729, (1,), "by hand"),
    "unet": Known(56_706, (2, 64, 64), "by hand"),
    "vit-b-16": Known(86_567_656, (1000,), "torchvision.models.vit_b_16"),
    "vit-tiny-16": Known(5_717_416, (1000,), "timm's vit_tiny_patch16_224"),
}
LARGE = {
    # Too large, or for the one of 1,202 layers too slow, for a test: see tests/spec/large.py.
    "cifar-resnet1202": Known(19_421_274, (10,), "19.4M, arXiv:1512.03385 table 6"),
    "gpt2-1.5b": Known(1_557_611_200, (1024, 50257), "gpt2-xl"),
    "llama3-8b": Known(8_030_261_248, (8192, 128256), "Llama 3 8B"),
}

SLOW = ("bert-base", "gpt2-124m", "residual-500", "vit-b-16")


def test_every_spec_is_in_the_table() -> None:
    assert sorted({*KNOWN, *LARGE}) == sorted(path.stem for path in ROOT.glob("*.yaml"))


def inputs_of(name: str) -> list[torch.Tensor]:
    """A batch of one of every input."""
    spec = read_spec(ROOT / f"{name}.yaml")
    if spec.inferred.ids:
        return [torch.zeros(1, *shape, dtype=torch.int64) for _, shape in spec.inputs]
    return [torch.linspace(0, 1, int(np.prod(s))).reshape(1, *s) for _, s in spec.inputs]


@pytest.mark.parametrize("name", some_long(sorted(KNOWN), lambda name: name in SLOW))
def test_from_the_file_to_a_forward(zeroinit: Command, tmp_path: Path, name: str) -> None:
    known = KNOWN[name]
    shutil.copy(ROOT / f"{name}.yaml", tmp_path)
    checked = zeroinit("spec", "check", f"{name}.yaml")
    assert f": {known.parameters:,} parameters, " in checked.out
    assert zeroinit("plan", f"{name}.yaml").code == 0
    generated = zeroinit("generate", f"{name}.yaml", "-o", "init.safetensors")
    assert generated.code == 0, generated.err

    module = build(f"{name}.yaml").eval()
    assert sum(parameter.numel() for parameter in module.parameters()) == known.parameters
    module.load_state_dict(load_file("init.safetensors"), strict=True)
    with torch.no_grad():
        output = module(*inputs_of(name))
    first = output[0] if isinstance(output, tuple) else output
    assert tuple(first.shape) == (1, *known.output)
    assert torch.isfinite(first).all()

    verified = zeroinit("verify")
    assert verified.out == (
        "ok: init.safetensors (the source gives the locked plan, the plan gives the locked "
        "bytes, the file has them)\n"
    )
    Path("init.safetensors").unlink()  # hundreds of megabytes


@pytest.mark.parametrize("name", sorted(LARGE))
def test_the_large_ones_are_planned_with_their_published_counts(name: str) -> None:
    known = LARGE[name]
    spec = read_spec(ROOT / f"{name}.yaml")
    assert spec.inferred.parameters == known.parameters
    assert spec.inferred.outputs == (known.output,)
    plan = plan_source(parse_source(str(ROOT / f"{name}.yaml")), Options())
    buffers = ("running_mean", "running_var", "num_batches_tracked")
    counted = [each for each in plan.tensors if not each.info.name.endswith(buffers)]
    assert sum(each.info.numel for each in counted if not each.tied_to) == known.parameters
    assert plan.warnings == ()


def notebook_weight(fan_out: int, fan_in: int) -> NDArray[np.float32]:
    """The authors' formula: eye @ hadamard / 2^(m / 2) @ eye, and eye where nothing grows."""
    if fan_out <= fan_in:
        return np.eye(fan_out, fan_in, dtype=np.float32)
    m = (fan_out - 1).bit_length()
    matrix = hadamard(2**m) / 2 ** (m / 2)
    weight: NDArray[np.float32] = (np.eye(fan_out, 2**m) @ matrix @ np.eye(2**m, fan_in)).astype(
        np.float32
    )
    return weight


def test_the_mnist_mlp_has_the_bytes_of_the_notebooks_formula(tmp_path: Path) -> None:
    """Which is the paper's matrix with another constant than the paper's."""
    notebook = zeroinit_cli.Policy(expansion="sylvester", scale="orthonormal")
    plan = zeroinit_cli.plan(str(ROOT / "mnist-mlp.yaml"), policy=notebook)
    zeroinit_cli.save(plan, tmp_path / "x.safetensors")
    weights = list(load_file(tmp_path / "x.safetensors").values())
    shapes = [(784, 784), (1024, 784), (1024, 1024), (10, 1024)]
    assert sorted(tuple(weight.shape) for weight in weights) == sorted(shapes)
    for weight in weights:
        fan_out, fan_in = weight.shape
        assert weight.numpy().tobytes() == notebook_weight(fan_out, fan_in).tobytes()


def test_resnet18_by_layers_computes_what_torchvisions_does() -> None:
    import_torchvision()
    from torchvision.models import resnet18

    ours, theirs = build(ROOT / "resnet18-by-layers.yaml"), resnet18()
    mapped = dict(zip(order_of_use(ours), order_of_use(theirs), strict=True))
    state = theirs.state_dict()
    renamed = {
        name: state[f"{mapped[name.rpartition('.')[0]]}.{name.rpartition('.')[2]}"]
        for name in ours.state_dict()
    }
    ours.load_state_dict(renamed, strict=True)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), theirs.eval()(images))


def order_of_use(module: nn.Module) -> list[str]:
    """The layers with parameters, in the order in which a forward first calls them."""
    calls: list[str] = []
    for name, layer in module.named_modules():
        if next(layer.children(), None) is None and next(layer.parameters(), None) is not None:
            layer.register_forward_hook(lambda *_, name=name: calls.append(name))
    with torch.no_grad():
        module.eval()(torch.zeros(1, 3, 64, 64))
    return calls


VIT = "zeroinit: 1\ninput: [3, 224, 224]\nmodel:\n  vit: {patch_size: 16, num_layers: 12, "
SAME_PLANS = [
    ("vit_b_16", VIT + "num_heads: 12, hidden_dim: 768, num_classes: 1000}\n"),
    *(
        (name, f"zeroinit: 1\ninput: [3, 224, 224]\nmodel:\n  resnet: {{{fields}}}\n")
        for name, fields in (
            ("resnet18", "block: BasicBlock, layers: [2, 2, 2, 2], num_classes: 1000"),
            ("resnet50", "block: Bottleneck, layers: [3, 4, 6, 3], num_classes: 1000"),
            (
                "resnext50_32x4d",
                "block: Bottleneck, layers: [3, 4, 6, 3], num_classes: 1000, groups: 32, "
                "width_per_group: 4",
            ),
            (
                "wide_resnet50_2",
                "block: Bottleneck, layers: [3, 4, 6, 3], num_classes: 1000, width_per_group: 128",
            ),
        )
    ),
    ("squeezenet1_1", "zeroinit: 1\nmodel: {torchvision: squeezenet1_1}\n"),
]


@pytest.mark.parametrize(("name", "text"), SAME_PLANS, ids=[name for name, _ in SAME_PLANS])
def test_a_spec_of_torchvisions_architecture_has_torchvisions_plan(
    tmp_path: Path, name: str, text: str
) -> None:
    (tmp_path / "x.yaml").write_text(text)
    ours = plan_source(parse_source(str(tmp_path / "x.yaml")), Options())
    assert ours.digest() == plan_source(parse_source(name), Options()).digest()
