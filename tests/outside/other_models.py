"""Models of smaller packages, and of a few lines of torch that stand for what people write."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tests.outside.written_models import (
    Discriminator,
    MixerNet,
    RotaryLM,
    ScanLM,
    Tagger,
    TemporalNet,
    seq2seq,
    stacked_encoder,
)
from zeroinit_cli.nets.torchvision import import_torchvision

Built = tuple[nn.Module, Any]  # and what its forward is fed


def _ids(*shape: int) -> Tensor:
    return torch.randint(1, 60, shape, generator=torch.Generator().manual_seed(0))


def _floats(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def _x_transformers_decoder() -> Built:
    from x_transformers import Decoder, TransformerWrapper

    layers = Decoder(dim=32, depth=2, heads=4, attn_dim_head=8, rotary_pos_emb=True, ff_glu=True)
    return TransformerWrapper(num_tokens=64, max_seq_len=32, attn_layers=layers), _ids(2, 9)


def _x_transformers_encoder() -> Built:
    from x_transformers import Encoder, ViTransformerWrapper

    layers = Encoder(dim=32, depth=2, heads=4, attn_dim_head=8, use_rmsnorm=True, attn_qk_norm=True)
    net = ViTransformerWrapper(image_size=32, patch_size=8, num_classes=10, attn_layers=layers)
    return net, _floats(2, 3, 32, 32)


def _x_transformers_both() -> Built:
    from x_transformers import XTransformer

    net = XTransformer(
        dim=32,
        enc_num_tokens=64,
        enc_depth=2,
        enc_heads=4,
        enc_max_seq_len=32,
        dec_num_tokens=64,
        dec_depth=2,
        dec_heads=4,
        dec_max_seq_len=32,
    )
    return net, (_ids(2, 9), _ids(2, 7))


_UNET = {
    "sample_size": 16,
    "block_out_channels": (16, 32),
    "norm_num_groups": 4,
    "layers_per_block": 1,
}


def _diffusers_unet() -> Built:
    from diffusers import UNet2DModel

    net = UNet2DModel(
        **_UNET,
        attention_head_dim=8,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )
    return net, {"sample": _floats(2, 3, 16, 16), "timestep": torch.tensor([3, 5])}


def _conditioned() -> dict[str, Any]:
    return {
        "sample": _floats(2, 4, 16, 16),
        "timestep": torch.tensor([3, 5]),
        "encoder_hidden_states": _floats(2, 7, 24),
    }


_CONDITIONED = {
    "cross_attention_dim": 24,
    "attention_head_dim": 4,
    "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
}


def _diffusers_conditioned_unet() -> Built:
    from diffusers import UNet2DConditionModel

    net = UNet2DConditionModel(
        **_UNET, **_CONDITIONED, up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")
    )
    return net, _conditioned()


def _diffusers_controlnet() -> Built:
    from diffusers import ControlNetModel

    fields = {name: value for name, value in _UNET.items() if name != "sample_size"}
    net = ControlNetModel(**fields, **_CONDITIONED, conditioning_embedding_out_channels=(8, 8))
    return net, {**_conditioned(), "controlnet_cond": _floats(2, 3, 32, 32)}


def _diffusers_dit() -> Built:
    from diffusers import DiTTransformer2DModel

    net = DiTTransformer2DModel(
        num_attention_heads=4,
        attention_head_dim=8,
        in_channels=4,
        num_layers=2,
        norm_num_groups=4,
        sample_size=8,
        patch_size=2,
        num_embeds_ada_norm=10,
    )
    fed = {
        "hidden_states": _floats(2, 4, 8, 8),
        "timestep": torch.tensor([3, 5]),
        "class_labels": torch.tensor([1, 2]),
    }
    return net, fed


def _diffusers_autoencoder() -> Built:
    from diffusers import AutoencoderKL

    net = AutoencoderKL(
        block_out_channels=(8, 16),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        norm_num_groups=4,
        latent_channels=4,
    )
    return net, _floats(2, 3, 16, 16)


def _smp(name: str) -> Callable[[], Built]:
    def built() -> Built:
        import_torchvision()
        import segmentation_models_pytorch as smp

        net: nn.Module = getattr(smp, name)("resnet18", encoder_weights=None, classes=2)
        return net, _floats(2, 3, 64, 64)

    return built


def _graph(name: str, **fields: Any) -> Callable[[], Built]:
    def built() -> Built:
        import torch_geometric.nn

        ends = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 3, 5]])
        net: nn.Module = getattr(torch_geometric.nn, name)(16, 32, 3, 4, **fields)
        return net, (_floats(6, 16), torch.cat([ends, ends.flip(0)], 1))

    return built


def _open_clip() -> Built:
    import_torchvision()
    from open_clip.model import CLIP

    net = CLIP(
        embed_dim=16,
        vision_cfg={"image_size": 32, "patch_size": 8, "layers": 2, "width": 32, "head_width": 8},
        text_cfg={"context_length": 9, "vocab_size": 64, "width": 32, "heads": 4, "layers": 2},
    )
    return net, {"image": _floats(2, 3, 32, 32), "text": _ids(2, 9)}


def _peft_lora() -> Built:
    import peft

    from tests.outside import transformers_models

    lora = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj", "gate_proj", "lm_head"])
    llama: Any = transformers_models.build("llama")
    return peft.get_peft_model(llama, lora), dict(transformers_models.inputs("llama"))


def _conformer() -> Built:
    from conformer import Conformer

    net = Conformer(dim=32, depth=2, dim_head=8, heads=4, conv_kernel_size=7)
    return net, _floats(2, 12, 32)


def _vit_pytorch() -> Built:
    from vit_pytorch import ViT

    net = ViT(image_size=32, patch_size=8, num_classes=10, dim=32, depth=2, heads=4, mlp_dim=64)
    return net, _floats(2, 3, 32, 32)


def _vit_pytorch_simple() -> Built:
    from vit_pytorch import SimpleViT

    net = SimpleViT(
        image_size=32, patch_size=8, num_classes=10, dim=32, depth=2, heads=4, mlp_dim=64
    )
    return net, _floats(2, 3, 32, 32)


def _vit_pytorch_parallel() -> Built:
    from vit_pytorch.parallel_vit import ViT

    net = ViT(image_size=32, patch_size=8, num_classes=10, dim=32, depth=2, heads=4, mlp_dim=64)
    return net, _floats(2, 3, 32, 32)


def _monai_unet() -> Built:
    from monai.networks.nets import UNet

    net = UNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=2,
        channels=(8, 16, 32),
        strides=(2, 2),
        num_res_units=2,
    )
    return net, _floats(2, 1, 16, 16, 16)


def _monai_unetr() -> Built:
    from monai.networks.nets import UNETR

    net = UNETR(
        in_channels=1,
        out_channels=2,
        img_size=(32, 32, 32),
        feature_size=8,
        hidden_size=48,
        mlp_dim=64,
        num_heads=4,
    )
    return net, _floats(2, 1, 32, 32, 32)


def _monai_swin_unetr() -> Built:
    from monai.networks.nets import SwinUNETR

    net = SwinUNETR(in_channels=1, out_channels=2, feature_size=12, depths=(1, 1, 1, 1))
    return net, _floats(1, 1, 64, 64, 64)


def _transformer_of_torch() -> Built:
    return seq2seq(), (_floats(2, 9, 32), _floats(2, 7, 32))


ROWS: Mapping[str, Callable[[], Built]] = {
    "x_transformers_decoder": _x_transformers_decoder,
    "x_transformers_encoder": _x_transformers_encoder,
    "x_transformers_both": _x_transformers_both,
    "diffusers_unet": _diffusers_unet,
    "diffusers_conditioned_unet": _diffusers_conditioned_unet,
    "diffusers_controlnet": _diffusers_controlnet,
    "diffusers_dit": _diffusers_dit,
    "diffusers_autoencoder": _diffusers_autoencoder,
    "smp_unet": _smp("Unet"),
    "smp_deeplab": _smp("DeepLabV3Plus"),
    "graph_gcn": _graph("GCN"),
    "graph_gat": _graph("GAT", heads=4),
    "graph_gin": _graph("GIN"),
    "open_clip": _open_clip,
    "peft_lora": _peft_lora,
    "conformer": _conformer,
    "vit_pytorch": _vit_pytorch,
    "vit_pytorch_simple": _vit_pytorch_simple,
    "vit_pytorch_parallel": _vit_pytorch_parallel,
    "monai_unet": _monai_unet,
    "monai_unetr": _monai_unetr,
    "monai_swin_unetr": _monai_swin_unetr,
    "rotary_lm": lambda: (RotaryLM(), _ids(2, 9)),
    "transformer_of_torch": _transformer_of_torch,
    "encoder_of_torch": lambda: (stacked_encoder(), _floats(2, 9, 32)),
    "scan_lm": lambda: (ScanLM(), _ids(2, 9)),
    "mixer_of_einops": lambda: (MixerNet(), _floats(2, 3, 32, 32)),
    "lstm_tagger": lambda: (Tagger(nn.LSTM), _ids(2, 9)),
    "gru_tagger": lambda: (Tagger(nn.GRU), _ids(2, 9)),
    "weight_norm_tcn": lambda: (TemporalNet(), _floats(2, 8, 20)),
    "spectral_norm_gan": lambda: (Discriminator(), _floats(2, 3, 16, 16)),
}


def build(name: str) -> nn.Module:
    """A model of the table, with its own start."""
    return ROWS[name]()[0]


def inputs(name: str) -> Any:
    """What the model of the table is fed: a tensor, a tuple of arguments or a dict of keywords."""
    with torch.random.fork_rng(devices=[]):  # building draws weights that nobody wants
        return ROWS[name]()[1]
