"""Checkpoints of models of timm and transformers, restated from docs/policy.md alone.

Plain torch: nothing of the package is imported, nor of the other restatement. What each tensor is
was read in the libraries' sources; a name that was not read there is an error.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

Policy = Literal["default", "paper"]
Shape = tuple[int, ...]
Entry = Callable[[str, Shape, Policy], Tensor]


class UnexpectedTensorError(Exception):
    """A name in the state dict that the restatement does not know."""


# The matrices


def log2_up(number: int) -> int:
    """The smallest m with 2^m no less than the number."""
    return (number - 1).bit_length()


def alternating(rows: int, columns: int) -> Tensor:
    """(-1)^popcount(i AND j)."""
    common = torch.arange(rows)[:, None] & torch.arange(columns)[None, :]
    odd = torch.zeros_like(common)
    for bit in range(max(rows, columns).bit_length()):
        odd ^= common >> bit & 1
    return 1 - 2 * odd


def sylvester(rows: int, columns: int, half_exponent: int) -> Tensor:
    """H with c = 2^(half_exponent / 2)."""
    return alternating(rows, columns).float() * math.pow(2, half_exponent / 2)


def twisted(rows: int, columns: int, half_exponent: int) -> Tensor:
    """T with c = 2^(half_exponent / 2)."""
    block = max(2, 2 ** log2_up(columns))
    prime = next(p for p in range(rows + 1, 4 * rows + 8) if p % 4 == 3 and is_prime(p))
    chi = torch.full((prime,), -1)
    chi[[x * x % prime for x in range(prime)]] = 1  # of 0, too
    row = torch.arange(rows)[:, None]
    column = torch.arange(columns)[None, :]
    signs = alternating(rows, columns) * chi[(row - row % block + column) % prime]
    signs[0] = -signs[0]
    return signs.float() * math.pow(2, half_exponent / 2)


def is_prime(number: int) -> bool:
    """Whether a number above 1 has no divisor but 1 and itself."""
    return all(number % divisor for divisor in range(2, math.isqrt(number) + 1))


def signs(rows: int, columns: int, half_exponent: int) -> Tensor:
    """The first rows of T for more rows than one of its blocks has."""
    block = max(2, 2 ** log2_up(columns))
    return twisted(max(rows, block + 1), columns, half_exponent)[:rows]


def algorithm_1(rows: int, columns: int, policy: Policy) -> Tensor:
    """The identity, a part of it, or the policy's expansion."""
    if rows <= columns:
        return torch.eye(rows, columns)
    m = log2_up(rows)
    if policy == "paper":
        return sylvester(rows, columns, 1 - m)
    return twisted(rows, columns, -m)


def end_of_branch(rows: int, columns: int, policy: Policy) -> Tensor:
    """A matrix that ends a residual branch behind a norm: damped, or by the paper 0."""
    if policy == "paper":
        return torch.zeros(rows, columns)
    return algorithm_1(rows, columns, policy) / 16


def mirrored(matrix: Tensor) -> Tensor:
    """The columns in reverse order."""
    return matrix.flip(1)


# Kernels, of two spatial dimensions each


def algorithm_2(shape: Shape, policy: Policy) -> Tensor:
    """Algorithm 1 at the tap in the middle, else 0."""
    c_out, c_in, height, width = shape
    kernel = torch.zeros(shape)
    kernel[:, :, height // 2, width // 2] = algorithm_1(c_out, c_in, policy)
    return kernel


def patches_of_input(shape: Shape, policy: Policy) -> Tensor:
    """Means over the blocks of a grid; by the paper Algorithm 2."""
    if policy == "paper":
        return algorithm_2(shape, policy)
    c_out, c_in, *sizes = shape
    if c_out >= c_in * math.prod(sizes):
        raise NotImplementedError("patches with an output for each value: no model here has them")
    grid = [0] * len(sizes)
    wanted = -(-c_out // c_in)
    for place in reversed(range(len(sizes))):
        root = next(s for s in range(1, wanted + 1) if s ** (place + 1) >= wanted)
        least = -(-wanted // math.prod(sizes[:place]))
        grid[place] = min(sizes[place], max(root, least))
        wanted = -(-wanted // grid[place])
    m = log2_up(math.prod(-(-size // g) for size, g in zip(sizes, grid, strict=True)))
    (height, width), (lines, blocks) = sizes, grid
    kernel = torch.zeros(shape)
    for o in range(c_out):
        for y in range(height):
            for x in range(width):
                if (y * lines // height) * blocks + x * blocks // width == o // c_in:
                    kernel[o, o % c_in, y, x] = math.pow(2, -m / 2)
    return kernel


def patches_elsewhere(shape: Shape, policy: Policy) -> Tensor:
    """The flattened kernel as one matrix, which reads all; by the paper Algorithm 2."""
    if policy == "paper":
        return algorithm_2(shape, policy)
    rows, columns = shape[0], math.prod(shape[1:])
    if rows >= columns:
        return algorithm_1(rows, columns, policy).reshape(shape)
    return twisted(columns, rows, -log2_up(columns)).T.reshape(shape)


def depthwise(shape: Shape, policy: Policy) -> Tensor:
    """Signs around the centre in each channel; by the paper 1 in the centre."""
    c_out, c_in, height, width = shape
    if c_in != 1:
        raise NotImplementedError("several channels in a group: no model here has them")
    centre = height // 2 * width + width // 2
    if policy == "paper":
        kernel = torch.zeros(c_out, height * width)
        kernel[:, centre] = 1
    else:
        kernel = signs(c_out, height * width, -log2_up(height * width))
        kernel = kernel * kernel[:, centre : centre + 1].sign()
        kernel[:, centre] *= 2
    return kernel.reshape(shape)


# Tables


def positions(shape: Shape, policy: Policy, tied_rows: int = 0) -> Tensor:
    """A position table (positions, dim), perhaps beside a tied token table of so many rows."""
    rows, dim = shape
    if policy == "default" and tied_rows > dim:
        return mirrored(signs(rows, dim, -log2_up(tied_rows) - 2))  # half the token table's c
    if policy == "default" and rows > dim:
        return mirrored(signs(rows, dim, -log2_up(dim)))
    return mirrored(algorithm_1(rows, dim, policy))


def tied_tokens(shape: Shape, policy: Policy, padding: int | None) -> Tensor:
    """A token table that is the head as well."""
    table = algorithm_1(shape[0], shape[1], policy)
    if padding is not None:
        table[padding] = 0
    return table


# The models


def vit(name: str, shape: Shape, policy: Policy) -> Tensor:
    """Restate a vision transformer of timm: norms first, q k v in one, a class token in the sum."""
    match name.split("."):
        case ["cls_token"]:  # the table's first position is added to it
            return torch.zeros(shape)
        case ["pos_embed"]:
            return positions(shape[1:], policy)[None]
        case ["patch_embed", "proj", "weight"]:
            return patches_of_input(shape, policy)
        case ["blocks", _, "attn", "qkv", "weight"]:  # keys and values are 0
            rows, columns = shape
            queries = algorithm_1(rows // 3, columns, policy)
            return torch.cat([queries, torch.zeros(rows - rows // 3, columns)])
        case ["blocks", _, "attn", "proj", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["blocks", _, "mlp", "fc1", "weight"] | ["head", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["blocks", _, "mlp", "fc2", "weight"]:  # norm2 stands before it
            return end_of_branch(shape[0], shape[1], policy)
        case ["blocks", _, "norm1" | "norm2", "weight"] | ["norm", "weight"]:
            return torch.ones(shape)
        case ["blocks", _, "norm1" | "norm2", "bias"] | ["norm", "bias"]:
            return torch.zeros(shape)
        case ["blocks", _, "attn", "qkv" | "proj", "bias"]:
            return torch.zeros(shape)
        case ["blocks", _, "mlp", "fc1" | "fc2", "bias"]:
            return torch.zeros(shape)
        case ["patch_embed", "proj", "bias"] | ["head", "bias"]:
            return torch.zeros(shape)
    raise UnexpectedTensorError(name)


def convnext(name: str, shape: Shape, policy: Policy) -> Tensor:
    """Restate a ConvNeXt of timm: patches, depthwise kernels, a layer scale behind each branch."""
    match name.split("."):
        case ["stem", "0", "weight"]:
            return patches_of_input(shape, policy)
        case ["stages", _, "downsample", "1", "weight"]:
            return patches_elsewhere(shape, policy)
        case ["stages", _, "blocks", _, "gamma"]:  # what its constructor sets
            return torch.full(shape, 1e-6)
        case ["stages", _, "blocks", _, "conv_dw", "weight"]:
            return depthwise(shape, policy)
        case ["stages", _, "blocks", _, "mlp", "fc2", "weight"] if policy == "paper":
            return torch.zeros(shape)  # the last weight of the branch
        case ["stages", _, "blocks", _, "mlp", "fc1" | "fc2", "weight"] | ["head", "fc", "weight"]:
            return algorithm_1(shape[0], shape[1], policy).reshape(shape)
        case ["stem", "1", "weight"] | ["head", "norm", "weight"]:
            return torch.ones(shape)
        case ["stages", _, "downsample", "0", "weight"] | ["stages", _, _, _, "norm", "weight"]:
            return torch.ones(shape)
        case ["stem", "0" | "1", "bias"] | ["stages", _, "downsample", "0" | "1", "bias"]:
            return torch.zeros(shape)
        case ["stages", _, "blocks", _, "conv_dw" | "norm", "bias"]:
            return torch.zeros(shape)
        case ["stages", _, "blocks", _, "mlp", "fc1" | "fc2", "bias"]:
            return torch.zeros(shape)
        case ["head", "norm" | "fc", "bias"]:
            return torch.zeros(shape)
    raise UnexpectedTensorError(name)


def llama(name: str, shape: Shape, policy: Policy) -> Tensor:
    """Restate a Llama of transformers, tied, with fewer keys and values than queries."""
    match name.split("."):
        case ["model", "embed_tokens", "weight"] | ["lm_head", "weight"]:
            return tied_tokens(shape, policy, padding=None)
        case ["model", "layers", _, "self_attn", "q_proj" | "o_proj", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["model", "layers", _, "self_attn", "k_proj" | "v_proj", "weight"]:
            return torch.zeros(shape)
        case ["model", "layers", _, "mlp", "gate_proj" | "up_proj", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["model", "layers", _, "mlp", "down_proj", "weight"]:  # a norm stands before all three
            return end_of_branch(shape[0], shape[1], policy)
        case ["model", "layers", _, "input_layernorm" | "post_attention_layernorm", "weight"]:
            return torch.ones(shape)
        case ["model", "norm", "weight"]:
            return torch.ones(shape)
    raise UnexpectedTensorError(name)


def bert(name: str, shape: Shape, policy: Policy) -> Tensor:
    """Restate a BERT of transformers for masked words: norms behind the adds, a tied decoder."""
    match name.split("."):
        case ["bert", "embeddings", "word_embeddings", "weight"]:
            return tied_tokens(shape, policy, padding=0)
        case ["cls", "predictions", "decoder", "weight"]:
            return tied_tokens(shape, policy, padding=0)
        case ["bert", "embeddings", "position_embeddings", "weight"]:
            return positions(shape, policy, tied_rows=512)
        case ["bert", "embeddings", "token_type_embeddings", "weight"]:  # segments
            return torch.zeros(shape)
        case ["bert", "encoder", "layer", _, "attention", "self", "query", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["bert", "encoder", "layer", _, "attention", "self", "key" | "value", "weight"]:
            return torch.zeros(shape)
        case ["bert", "encoder", "layer", _, "attention", "output", "dense", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["bert", "encoder", "layer", _, "output", "dense", "weight"]:
            # Its branch begins with what the norm behind attention gives.
            return end_of_branch(shape[0], shape[1], policy)
        case ["bert", "encoder", "layer", _, "intermediate", "dense", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case ["cls", "predictions", "transform", "dense", "weight"]:
            return algorithm_1(shape[0], shape[1], policy)
        case [*_, "LayerNorm", "weight"]:  # none is in a branch: each stands behind an add
            return torch.ones(shape)
        case [*_, "LayerNorm" | "query" | "key" | "value" | "dense", "bias"]:
            return torch.zeros(shape)
        case ["cls", "predictions", "bias"] | ["cls", "predictions", "decoder", "bias"]:
            return torch.zeros(shape)
    raise UnexpectedTensorError(name)


def restated(entry: Entry, module: nn.Module, policy: Policy) -> dict[str, Tensor]:
    """Restate every tensor of a module's state dict, of which only names and shapes are read."""
    shapes = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    return {name: entry(name, shape, policy).contiguous() for name, shape in shapes.items()}


def saved_sha256(tensors: Mapping[str, Tensor], path: Path) -> str:
    """Save a checkpoint with the public library and return the SHA-256 of the file."""
    save_file(dict(tensors), path, metadata={"format": "pt"})
    return hashlib.sha256(path.read_bytes()).hexdigest()
