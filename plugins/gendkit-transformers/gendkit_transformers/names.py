"""Canonical names: those that gendkit's own encoders of the same architecture have.

A state of a tower enters, whole or a part of it; the same tensors leave under other names. Only
queries, keys and values, and the two halves of a gated MLP, are joined where gendkit's encoder has
one tensor of them. So the same weights have the same hash, and share adapters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

State = Mapping[str, "Tensor"]
Rules = Sequence[tuple[str, str]]

# Files of a whole model have `vision_model.` before a tower's names.
_PREFIX = re.compile(r"^(tower\.)?(vision_model\.)?")
_UNUSED = ("embeddings.mask_token", "embeddings.position_ids")
"""Ends of names that have no part in a feature."""

_CLIP: Rules = (
    (r"embeddings\.class_embedding", "class_embedding"),
    (r"embeddings\.position_embedding\.weight", "positional_embedding"),
    (r"embeddings\.patch_embedding\.", "conv1."),
    (r"pre_layrnorm\.", "ln_pre."),
    (r"post_layernorm\.", "ln_post."),
    (r"encoder\.layers\.(\d+)\.", r"transformer.resblocks.\1."),
    (r"\.layer_norm([12])\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.", ".attn."),
    (r"^", "visual."),
)
_DINOV2: Rules = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.register_tokens", "reg_token"),
    (r"embeddings\.position_embeddings", "pos_embed"),
    (r"embeddings\.patch_embeddings\.projection\.", "patch_embed.proj."),
    (r"^layernorm\.", "norm."),
    (r"encoder\.layer\.(\d+)\.", r"blocks.\1."),
    (r"\.attention\.output\.dense\.", ".attn.proj."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.(?:attention\.)?([qkv])(?:uery|ey|alue|_proj)\.", r".attn.\1_proj."),
    (r"\.layer_scale([12])\.lambda1", r".ls\1.gamma"),
    (r"\.mlp\.weights_in\.", ".mlp.fc1."),
    (r"\.mlp\.(down_proj|weights_out)\.", ".mlp.fc2."),
    (r"^", "vit."),
)
_DINOV3: Rules = (
    (r"embeddings\.cls_token", "cls_token"),
    (r"embeddings\.register_tokens", "reg_token"),
    (r"embeddings\.patch_embeddings\.", "patch_embed.proj."),
    (r"^(model\.)?layer\.(\d+)\.", r"blocks.\2."),
    (r"\.attention\.o_proj\.", ".attn.proj."),
    (r"\.attention\.([qkv])_proj\.bias", r".attn.\1_bias"),
    (r"\.attention\.", ".attn."),
    (r"\.layer_scale([12])\.lambda1", r".gamma_\1"),
    (r"\.mlp\.down_proj\.", ".mlp.fc2."),
)


def clip(state: State) -> dict[str, Tensor]:
    """Return a CLIP tower's tensors under open_clip's names, as `clip-vitl14` has them."""
    return _joined(_renamed(state, _CLIP), ".attn.{}_proj.{}", "qkv", ".attn.in_proj_{}")


def siglip(state: State) -> dict[str, Tensor]:
    """Return a SigLIP tower's tensors under its own names, whatever it was a part of."""
    return _renamed(state, ())


def dinov2(state: State) -> dict[str, Tensor]:
    """Return a DINOv2 encoder's tensors under timm's names, as `dinov2-vits14` has them."""
    named = _joined(_renamed(state, _DINOV2), ".attn.{}_proj.{}", "qkv", ".attn.qkv.{}")
    return _joined(named, ".mlp.{}_proj.{}", ("gate", "up"), ".mlp.fc1.{}")


def dinov3(state: State) -> dict[str, Tensor]:
    """Return a DINOv3 encoder's tensors under timm's names, as `dinov3-vitl16` has them."""
    gated = any(".mlp.gate_proj." in name for name in state)
    parts = (
        (r"\.mlp\.gate_proj\.", ".mlp.fc1_g."),
        (r"\.mlp\.up_proj\.", ".mlp.fc1_x." if gated else ".mlp.fc1."),
    )
    return _joined(_renamed(state, (*_DINOV3, *parts)), ".attn.{}_proj.{}", "qkv", ".attn.qkv.{}")


def _renamed(state: State, rules: Rules) -> dict[str, Tensor]:
    """Apply all rules to each name, one after the other."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name.endswith(_UNUSED):
            continue
        new = _PREFIX.sub("", name)
        for pattern, to in rules:
            new = re.sub(pattern, to, new)
        out[new] = tensor
    return out


def _joined(state: State, part: str, keys: Sequence[str], whole: str) -> dict[str, Tensor]:
    """Join tensors of one layer along their first axis, in the order of `keys`.

    Those of which some are missing, as in a part of a state, stay apart.
    """
    import torch

    out = dict(state)
    for name in state:
        for kind in ("weight", "bias"):
            end = part.format(keys[0], kind)
            if not name.endswith(end):
                continue
            layer = name.removesuffix(end)
            names = [layer + part.format(key, kind) for key in keys]
            if all(n in state for n in names):
                out[layer + whole.format(kind)] = torch.cat([out.pop(n) for n in names])
    return out
