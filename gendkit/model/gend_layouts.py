"""The architectures of the released GenD models: how each is built, and how its tensors are named.

A backbone's name in `config.json` enters; a spec and a module with random weights leave, and for
each tensor of that module the names it has in the checkpoint.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from torch import nn

from gendkit.errors import InvalidCheckpoint
from gendkit.model.backbone import build_backbone
from gendkit.model.towers import clip_tower
from gendkit.plugin.manager import plugins
from gendkit.plugin.specs import BackboneSpec

SIZES = "vision_config.json"
NAMES = MappingProxyType(
    {
        "clip-vitl14": "openai/clip-vit-large-patch14",
        "pe-core-l14": "vit_pe_core_large_patch14_336",
        "dinov3-vitl16": "facebook/dinov3-vitl16-pretrain-lvd1689m",
    }
)
"""The names in `config.json` of the encoders that gendkit knows by another one."""


@dataclass(frozen=True, kw_only=True)
class Layout:
    """How one architecture stands in the layout.

    Attributes
    ----------
    build
        From the name in `config.json` and sizes (empty if unknown) to a spec and a module.
    names
        From a tensor's name in our module to those it is joined from, first axis first, below
        `feature_extractor.`.
    sizes
        From a module to what `vision_config.json` says of it.
    """

    build: Callable[[str, Mapping[str, Any]], tuple[BackboneSpec, nn.Module]]
    names: Callable[[str], tuple[str, ...]]
    sizes: Callable[[nn.Module], Mapping[str, Any]]


def layout_of(name: str) -> Layout:
    """Tell the architecture by the backbone's name, as the reference implementation does.

    Raises
    ------
    InvalidCheckpoint
        If it is of none that GenD has.
    """
    for part, layout in LAYOUTS.items():
        if part in name.lower():
            return layout
    raise InvalidCheckpoint(
        f"backbone {name!r} is of no architecture that GenD has; expected a name with "
        f"{', '.join(LAYOUTS)}."
    )


# --- CLIP: Hugging Face's names, open_clip's modules ---------------------------------------------

_LARGE = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24,
    "num_attention_heads": 16, "patch_size": 14, "image_size": 224,
}  # fmt: skip
_BASE = {
    "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "patch_size": 16, "image_size": 224,
}  # fmt: skip
CLIP_SIZES: MappingProxyType[str, Mapping[str, Any]] = MappingProxyType(
    {
        "openai/clip-vit-large-patch14": _LARGE,
        "openai/clip-vit-large-patch14-336": {**_LARGE, "image_size": 336},
        "openai/clip-vit-base-patch16": _BASE,
        "openai/clip-vit-base-patch32": {**_BASE, "patch_size": 32},
    }
)
_CLIP_NAMES = {
    "class_embedding": "embeddings.class_embedding",
    "positional_embedding": "embeddings.position_embedding.weight",
    "conv1.weight": "embeddings.patch_embedding.weight",
}
_CLIP_PARTS = {
    "ln_pre": "pre_layrnorm",
    "ln_post": "post_layernorm",
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
    "transformer.resblocks": "encoder.layers",
}


def _build_clip(name: str, sizes: Mapping[str, Any]) -> tuple[BackboneSpec, nn.Module]:
    known = {**CLIP_SIZES.get(name, {}), **sizes}
    if not known:
        raise InvalidCheckpoint(
            f"the sizes of {name!r} are not known; put them beside it in {SIZES}. Known are "
            f"{', '.join(CLIP_SIZES)}."
        )
    module, spec = clip_tower(known), plugins().spec("backbone", "clip-vitl14")
    if all(known[size] == value for size, value in _LARGE.items()):
        return spec, module
    return _other(spec, name, known, lambda **_: clip_tower(known)), module


def _clip_names(ours: str) -> tuple[str, ...]:
    name = ours.removeprefix("visual.")
    name = _CLIP_NAMES.get(name, name)
    for part, theirs in _CLIP_PARTS.items():
        name = re.sub(rf"(^|\.){re.escape(part)}\.", rf"\g<1>{theirs}.", name)
    if joined := re.fullmatch(r"(.*)\.attn\.in_proj_(weight|bias)", name):
        return tuple(f"vision_model.{joined[1]}.self_attn.{p}_proj.{joined[2]}" for p in "qkv")
    return (f"vision_model.{name}",)


def _clip_sizes(module: nn.Module) -> dict[str, Any]:
    visual: Any = module.visual
    first = visual.transformer.resblocks[0]
    width, _, patch, _ = visual.conv1.weight.shape
    patches = visual.positional_embedding.shape[0] - 1
    return {
        "hidden_size": width,
        "intermediate_size": first.mlp.c_fc.out_features,
        "num_hidden_layers": len(visual.transformer.resblocks),
        "num_attention_heads": first.attn.num_heads,
        "patch_size": patch,
        "image_size": patch * math.isqrt(patches),
        "hidden_act": "gelu" if isinstance(first.mlp.gelu, nn.GELU) else "quick_gelu",
        "layer_norm_eps": visual.ln_post.eps,
    }


# --- PE-Core: timm's names and modules -----------------------------------------------------------


def _build_pe(name: str, sizes: Mapping[str, Any]) -> tuple[BackboneSpec, nn.Module]:
    """Build timm's encoder as the reference does, which resamples its positions in each pass."""
    import timm

    spec = plugins().spec("backbone", "pe-core-l14")
    if not timm.is_model(name.partition(".")[0]):
        raise InvalidCheckpoint(f"timm has no model {name!r}.")
    depth = {"depth": int(sizes["num_hidden_layers"])} if "num_hidden_layers" in sizes else {}
    model = timm.create_model(
        name, pretrained=False, num_classes=0, dynamic_img_size=True, **depth
    ).eval()
    return _other(spec, name, {"hidden_size": model.num_features}, lambda **_: model), model


# --- DINOv3: Hugging Face's names, timm's modules ------------------------------------------------

_DINO_PARTS = {
    "reg_token": "embeddings.register_tokens",
    "cls_token": "embeddings.cls_token",
    "patch_embed.proj.": "embeddings.patch_embeddings.",
    "blocks.": "layer.",
    ".gamma_1": ".layer_scale1.lambda1",
    ".gamma_2": ".layer_scale2.lambda1",
    ".mlp.fc1.": ".mlp.up_proj.",
    ".mlp.fc2.": ".mlp.down_proj.",
    ".attn.proj.": ".attention.o_proj.",
    ".attn.q_bias": ".attention.q_proj.bias",
    ".attn.v_bias": ".attention.v_proj.bias",
}


def _build_dinov3(name: str, sizes: Mapping[str, Any]) -> tuple[BackboneSpec, nn.Module]:
    if "vitl16" not in name:
        raise InvalidCheckpoint(f"of DINOv3's encoders only vitl16 is known here, got {name!r}.")
    spec, depth = plugins().spec("backbone", "dinov3-vitl16"), sizes.get("num_hidden_layers")
    return spec, build_backbone(spec, pretrained=False, depth=depth)


def _dinov3_names(ours: str) -> tuple[str, ...]:
    if joined := re.fullmatch(r"blocks\.(\d+)\.attn\.qkv\.weight", ours):
        return tuple(f"backbone.layer.{joined[1]}.attention.{p}_proj.weight" for p in "qkv")
    name = ours
    for part, theirs in _DINO_PARTS.items():
        name = name.replace(part, theirs)
    return (f"backbone.{name}",)


def _blocks(module: nn.Module) -> dict[str, Any]:
    blocks: Any = module.blocks
    return {"num_hidden_layers": len(blocks)}


def _other(
    spec: BackboneSpec, name: str, sizes: Mapping[str, Any], build: Callable[..., Any]
) -> BackboneSpec:
    """Return the spec of an encoder that no plugin names, with another one's preprocessing."""
    kebab = re.sub(r"[^a-z0-9]+", "-", name.rpartition("/")[2].lower()).strip("-")
    return replace(
        spec,
        name=kebab,
        summary=f"{name}, read from a GenD checkpoint",
        dim=int(sizes["hidden_size"]),
        image_size=int(sizes.get("image_size", spec.image_size)),
        build=build,
    )


LAYOUTS: MappingProxyType[str, Layout] = MappingProxyType(
    {
        "clip": Layout(build=_build_clip, names=_clip_names, sizes=_clip_sizes),
        "vit_pe": Layout(build=_build_pe, names=lambda ours: (f"backbone.{ours}",), sizes=_blocks),
        "dinov3": Layout(build=_build_dinov3, names=_dinov3_names, sizes=_blocks),
    }
)
"""By what a backbone's name contains."""
