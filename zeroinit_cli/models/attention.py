"""Blocks of attention by the type of their module: which weights are q, k and v.

Attention without an entry has no block of its own: its projections are Linear layers like any
others, and its branch ends in the last of them.
"""

from dataclasses import dataclass

from torch import nn

from zeroinit_cli.models.classes import class_paths


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """One type of attention block.

    Attributes:
        fused: the parameter or submodule whose weight holds q, k and v, in this order; None where
            each has a submodule of its own.
        separate: the submodules that project q, k and v, in this order, where nothing is fused.
        output: the submodule that projects what attention gives.
        closable: neither k nor v is normalized before use, and nothing but attention times v
            reaches the output projection, so that v = 0 makes the block give 0.
        opaque: the block is one node of the graph; else the graph looks into it.
    """

    fused: str | None = None
    separate: tuple[str, str, str] | None = None
    output: str
    closable: bool
    opaque: bool = True


_QKV = ("q_proj", "k_proj", "v_proj")


_BLOCKS = {
    "torch.nn.modules.activation.MultiheadAttention": Attention(
        fused="in_proj_weight", output="out_proj", closable=True
    ),
    "torchvision.models.maxvit.RelativePositionalMultiHeadAttention": Attention(
        fused="to_qkv", output="merge", closable=True
    ),
    # Version 2 divides q and k by their norms: k = 0 would give gradients without bound.
    "torchvision.models.swin_transformer.ShiftedWindowAttentionV2": Attention(
        fused="qkv", output="proj", closable=False
    ),
    "torchvision.models.swin_transformer.ShiftedWindowAttention": Attention(
        fused="qkv", output="proj", closable=True
    ),
    # Pools and normalizes k and v, and adds the pooled q to what attention gives.
    "torchvision.models.video.mvit.MultiscaleAttention": Attention(
        fused="qkv", output="project.0", closable=False, opaque=False
    ),
    "torchvision.models.video.swin_transformer.ShiftedWindowAttention3d": Attention(
        fused="qkv", output="proj", closable=True
    ),
    "zeroinit_cli.nets.transformer.SelfAttention": Attention(
        separate=_QKV, output="o_proj", closable=True
    ),
    "transformers.models.llama.modeling_llama.LlamaAttention": Attention(
        separate=_QKV, output="o_proj", closable=True
    ),
    "transformers.models.gpt2.modeling_gpt2.GPT2Attention": Attention(
        fused="c_attn", output="c_proj", closable=True
    ),
}


def attention_of(module: nn.Module) -> Attention | None:
    """The entry of a module's type or of its nearest base class, if it is a known block."""
    found = (_BLOCKS.get(path) for path in class_paths(module))
    return next((block for block in found if block is not None), None)


def opaque_attention_of(module: nn.Module) -> Attention | None:
    """The entry of a block that is one node of the graph."""
    block = attention_of(module)
    return block if block is not None and block.opaque else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Composite:
    """A torch layer that is one step of a run, but whose residual branches are known.

    Attributes:
        attentions: submodules that each end one branch.
        weights: submodules whose weight ends one branch.
    """

    attentions: tuple[str, ...]
    weights: tuple[str, ...]


def composite_of(module: nn.Module) -> Composite | None:
    """The branches of a torch transformer layer, pre- or post-norm alike.

    A subclass with methods of its own is not what torch's layer is known to be.
    """
    for kind, composite in _COMPOSITES.items():
        if isinstance(module, kind) and not any(
            getattr(type(module), name) is not method
            for name, method in vars(kind).items()
            if name == "forward" or name.endswith("_block")
        ):
            return composite
    return None


_COMPOSITES: dict[type[nn.Module], Composite] = {
    nn.TransformerEncoderLayer: Composite(attentions=("self_attn",), weights=("linear2",)),
    nn.TransformerDecoderLayer: Composite(
        attentions=("self_attn", "multihead_attn"), weights=("linear2",)
    ),
}
