"""Vision transformers: torchvision's own, for images of any number of channels."""

from torch import nn

from zeroinit_cli.nets.importing import import_torchvision


def vision_transformer(
    *, in_channels: int, hidden_dim: int, patch_size: int, mlp_dim: int | None, **fields: int
) -> nn.Module:
    """The module; the arguments are the fields of a spec's `vit`, and what its input says."""
    import_torchvision()
    from torchvision.models import VisionTransformer

    module: nn.Module = VisionTransformer(
        hidden_dim=hidden_dim, patch_size=patch_size, mlp_dim=mlp_dim or 4 * hidden_dim, **fields
    )
    if in_channels != 3:  # torchvision's takes colours alone
        module.conv_proj = nn.Conv2d(
            in_channels, hidden_dim, kernel_size=patch_size, stride=patch_size
        )
    return module
